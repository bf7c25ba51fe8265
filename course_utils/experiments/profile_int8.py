"""Find out where the time of one picture goes in int8, and what other networks do to it.

    python -m course_utils.experiments.profile_int8

writes `assets/results/int8_profile.json`; that took half a minute on one core. The network is
`small_resnet`, the batch is one picture.

All times are lower quartiles: those of a machine that does little else.

- "times as fast": as PyTorch. "in turns" is one pass of each network after the other; "repeated"
  is `measure_latency`, which runs a short network twice before each pass that counts.
- "parts": shares of a pass of the int8 file by ONNX Runtime's own profiler, whose clock counts
  whole microseconds: kinds of operations, and all that is not inside an operation.
- "call": the time of a call without PyTorch's tensors ("arrays"), and with input and output at
  fixed places in memory ("bound"), as a part of that of `OnnxNetwork`.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils.compress import OnnxNetwork, has_vnni, onnx_int8, pt2e_int8, to_onnx
from course_utils.core import evaluation_mode
from course_utils.data import load_dataset
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.metrics import measure_latency
from course_utils.models import load_pretrained

NAME = "int8_profile"
COMMAND = command_of(__file__)
REPEATS, ROUNDS, SECONDS = 3, 200, 0.5
PICTURES = 300
KINDS = {
    "QLinearConv": "convolutions",
    "QuantizeLinear": "to codes and back",
    "DequantizeLinear": "to codes and back",
}
"""Operation of ONNX Runtime -> its word in the results; all others are "other operations"."""


def in_turns(networks: Mapping[str, nn.Module], images: Tensor) -> dict[str, float]:
    """Return the lower quartile of the seconds of a pass; in each round each network runs once."""
    times: dict[str, list[float]] = {name: [] for name in networks}
    order = list(networks)
    with torch.no_grad():
        for _ in range(ROUNDS):
            for name in order:
                times[name].append(seconds_of(lambda: networks[name](images)))  # noqa: B023
            order.reverse()
    return {name: statistics.quantiles(some, n=4)[0] for name, some in times.items()}


def seconds_of(call: Callable[[], Any]) -> float:
    """Return how long a call works, not counting other programs."""
    started = time.process_time()
    call()
    return time.process_time() - started


def parts(events: list[Mapping[str, Any]]) -> dict[str, float]:
    """Return the share of a pass that each kind of operation takes, from a profiler's events.

    The shares are medians over the passes, and of the middle pass.
    """
    passes = [one["dur"] for one in events if one["name"] == "model_run"]
    kernels: dict[str, list[float]] = {}
    kinds: dict[str, str] = {}
    for one in events:
        if one.get("cat") == "Node" and one["name"].endswith("_kernel_time"):
            kernels.setdefault(one["name"], []).append(one["dur"])
            kinds[one["name"]] = KINDS.get(one["args"]["op_name"], "other operations")
    whole = statistics.median(passes)
    found = dict.fromkeys([*dict.fromkeys(KINDS.values()), "other operations"], 0.0)
    for name, some in kernels.items():
        found[kinds[name]] += statistics.median(some) / whole
    return found | {"between operations": max(0.0, 1 - sum(found.values()))}


def profiled(path: Path, images: Tensor, folder: Path) -> list[Mapping[str, Any]]:
    """Return the events of ONNX Runtime's profiler for `ROUNDS` passes, without the first ones."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "profile")
    session = _opened(path, options)
    for _ in range(ROUNDS):
        session.run(None, {session.get_inputs()[0].name: images.numpy()})
    return json.loads(Path(session.end_profiling()).read_text())


def calls(path: Path, images: Tensor) -> dict[str, float]:
    """Return the time of other ways to run a file, as a part of that of `OnnxNetwork`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session, network = _opened(path, options), OnnxNetwork(path)
    (name,), array = [one.name for one in session.get_inputs()], images.numpy()
    binding = session.io_binding()
    binding.bind_cpu_input(name, array)
    binding.bind_output(session.get_outputs()[0].name)
    ways = {
        "network": lambda: network(images),
        "arrays": lambda: session.run(None, {name: array}),
        "bound": lambda: session.run_with_iobinding(binding),
    }
    found = {}
    for way, call in ways.items():
        found[way] = statistics.quantiles((seconds_of(call) for _ in range(ROUNDS)), n=4)[0]
    return {way: found[way] / found["network"] for way in ("arrays", "bound")}


def _opened(path: Path, options: Any) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def profile(model: nn.Module, calibration: Tensor, folder: Path) -> Iterator[Record]:
    """Yield all records of a network, on the first picture."""
    images = calibration[:1]
    floats = to_onnx(model, images, folder / "floats.onnx")
    codes = onnx_int8(floats, folder / "codes.onnx", calibration, reduce_range=True)
    networks = {"PyTorch": model, "ONNX Runtime": OnnxNetwork(floats)}
    networks["ONNX Runtime int8, 7 bits"] = OnnxNetwork(codes)
    networks["PT2E"] = pt2e_int8(model, calibration)  # a slow neighbour, with much code of its own
    more = {"seconds": SECONDS, "clock": time.process_time}
    for repeat in range(REPEATS):
        with evaluation_mode(model):
            turns = in_turns(networks, images)
        repeated = measure_latency(networks, images, **more)
        quartiles = {name: one.quartiles[0] for name, one in repeated.items()}
        for how, found in (("in turns", turns), ("repeated", quartiles)):
            for name, one in found.items():
                yield _record("times as fast", f"{name}, {how}", repeat, found["PyTorch"] / one)
        for name, share in parts(profiled(codes, images, folder)).items():
            yield _record("parts", name, repeat, share)
        for name, share in calls(codes, images).items():
            yield _record("call", name, repeat, share)


def _record(what: str, name: str, repeat: int, value: float) -> Record:
    return {"what": what, "name": name, "repeat": repeat, "value": float(f"{value:.3g}")}


def main() -> None:
    """Run everything and write the results."""
    torch.set_num_threads(1)
    data, model = load_dataset("fashion-mnist"), load_pretrained("small_resnet")
    calibration = data.normalise(data.train.few(PICTURES).images)
    with tempfile.TemporaryDirectory() as folder:
        found = profile(model, calibration, Path(folder))
        records = list(tqdm(found, desc=NAME, unit="record"))
    settings = {"batch": 1, "threads": 1, "VNNI": has_vnni(), "clock": "process time"}
    save_results(NAME, records, command=COMMAND, settings=settings)


if __name__ == "__main__":
    main()
