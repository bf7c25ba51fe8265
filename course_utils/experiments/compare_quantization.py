"""Measure the trained networks in fewer bits: accuracy, file size, and time.

    python -m course_utils.experiments.compare_quantization

writes `assets/results/quantization.json` and `assets/results/quantization_speed.json`; that took
about six minutes on one core.

A seed is a draw of calibration pictures, and the seed of a training where there is one. The times
are ratios to the network in PyTorch, of the same run, in seconds of work. They depend on the
processor: the file says whether it had VNNI. PyTorch can be told to use the instructions of an
older processor (AVX2). ONNX Runtime cannot be told, so its times are always those of this
processor, and what it would answer on an older one is computed by `without_vnni`.
"""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils.compress import (
    OnnxNetwork,
    fake_quantize,
    has_vnni,
    onnx_int8,
    prune,
    pt2e_int8,
    round_weights,
    to_onnx,
    without_vnni,
)
from course_utils.data import Dataset, load_dataset
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.metrics import evaluate, measure_latency, typical_ratio
from course_utils.models import load_pretrained
from course_utils.training import Precision, fit, one_cycle

NAME, SPEED = "quantization", "quantization_speed"
COMMAND = command_of(__file__)
NETWORKS = ("small_resnet", "first_cnn")
SEEDS = (0, 1, 2)
PICTURES = 300
CALIBRATIONS = (1, 10, 300)
BITS = (8, 6, 5, 4, 3, 2)
LOW_BITS = (4, 3)
"""Of weights and activations, in training with rounded numbers."""

EPOCHS, TRAINED_ON, PEAK = 1, 4500, 1e-3
PRUNED_SHARE, PRUNED_EPOCHS = 0.5, 3
BATCHES = (1, 64)
REPEATS, SECONDS = 3, 0.3
PLAIN = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
"""Environment variables that let PyTorch use the instructions of an older processor only."""

ONE_THREAD = Precision(threads=1)


class Measured:
    """Measures a network's accuracy on the test pictures, and names what was measured."""

    def __init__(self, network: str, data: Dataset) -> None:
        self.network, self.data = network, data

    def record(
        self, comparison: str, method: str, setting: int, seed: int, model: nn.Module, size: int = 0
    ) -> Record:
        """Return a record; `setting` is the number of bits or of calibration pictures."""
        options = {"mean": self.data.mean, "std": self.data.std, "device": "cpu"}
        found = evaluate(model, self.data.test, **options)
        return {
            "network": self.network,
            "comparison": comparison,
            "method": method,
            "setting": setting,
            "seed": seed,
            "correct": found.correct,
            "total": found.total,
            "bytes": size or None,
        }

    def calibration(self, seed: int, count: int | None = None) -> Tensor:
        """Return normalised training pictures for a calibration: `PICTURES`, or another number."""
        count = count or PICTURES
        return self.data.normalise(self.data.train.few(max(count, 10), seed=seed).images)[:count]


def int8(measured: Measured, model: nn.Module, folder: Path) -> Iterator[Record]:
    """Measure a network in floats and in int8; its ONNX file stays in the folder."""
    record, name = measured.record, measured.network
    source = to_onnx(model, measured.calibration(0)[:1], folder / f"{name}.onnx")
    yield record("int8", "PyTorch", 32, 0, model, saved_bytes(model))
    yield record("int8", "ONNX Runtime", 32, 0, OnnxNetwork(source), source.stat().st_size)
    for seed in SEEDS:
        pictures = measured.calibration(seed)
        converted = pt2e_int8(model, pictures)
        yield record("int8", "PT2E", 8, seed, converted, saved_bytes(converted))
        for reduced, bits in ((True, 7), (False, 8)):
            target = folder / f"{name}_int{bits}.onnx"
            onnx_int8(source, target, pictures, reduce_range=reduced)
            size = target.stat().st_size
            yield record("int8", "ONNX Runtime", bits, seed, OnnxNetwork(target), size)
    # With 7 bits nothing is cut off, so an old processor computes the same as this one.
    old = without_vnni(model, measured.calibration(0))
    yield record("int8", "without VNNI", 8, 0, old)


def calibrations(measured: Measured, folder: Path) -> Iterator[Record]:
    """Measure int8 with few and with many calibration pictures, and two kinds of ranges."""
    source, target = folder / f"{measured.network}.onnx", folder / "calibrated.onnx"
    for method in ("min-max", "percentile"):
        for count in CALIBRATIONS:
            for seed in SEEDS:
                pictures = measured.calibration(seed, count)
                onnx_int8(source, target, pictures, method=method, reduce_range=True)
                yield measured.record("calibration", method, count, seed, OnnxNetwork(target))


def bits(measured: Measured, model: nn.Module) -> Iterator[Record]:
    """Measure rounded weights, with a scale for each channel and with one for the whole layer."""
    for count in BITS:
        for method, own in (("per channel", True), ("per tensor", False)):
            rounded = round_weights(model, count, per_channel=own)
            yield measured.record("bits", method, count, 0, rounded)


def training(measured: Measured, model: nn.Module) -> Iterator[Record]:
    """Measure few bits without and with training; and floats that are trained for as long."""
    data = replace(measured.data, train=measured.data.train.few(TRAINED_ON))
    for seed in SEEDS:
        control = trained(copy.deepcopy(model), data, seed)
        yield measured.record("training", "floats, trained on", 32, seed, control)
        for count in LOW_BITS:
            options = {"weight_bits": count, "activation_bits": count}
            rounded = fake_quantize(model, measured.calibration(seed), **options)
            yield measured.record("training", "after training", count, seed, rounded)
            trained(rounded, data, seed)
            yield measured.record("training", "in training", count, seed, rounded)


def smaller(measured: Measured, model: nn.Module, folder: Path) -> Iterator[Record]:
    """Measure half of the channels, in floats and in int8."""
    for seed in SEEDS:
        pruned = prune(model, PRUNED_SHARE)
        trained(pruned, measured.data, seed, epochs=PRUNED_EPOCHS)
        name, pictures = f"{measured.network}_pruned_{seed}", measured.calibration(seed)
        source = to_onnx(pruned, pictures[:1], folder / f"{name}.onnx")
        target = onnx_int8(source, folder / f"{name}_int7.onnx", pictures, reduce_range=True)
        for method, one, network, size in (
            ("PyTorch", 32, pruned, saved_bytes(pruned)),
            ("ONNX Runtime", 32, OnnxNetwork(source), source.stat().st_size),
            ("ONNX Runtime", 7, OnnxNetwork(target), target.stat().st_size),
        ):
            yield measured.record("pruned", method, one, seed, network, size)


def trained(model: nn.Module, data: Dataset, seed: int, epochs: int = EPOCHS) -> nn.Module:
    """Train on, with a rate that rises and falls again; return the model."""
    fit(
        model,
        data,
        epochs=epochs,
        learning_rate=PEAK,
        scheduler=lambda optimizer, steps: one_cycle(optimizer, steps, peak=PEAK),
        label_smoothing=0.1,
        seed=seed,
        device="cpu",
        precision=ONE_THREAD,
        progress=False,
    )
    return model


def speed(network: str, instructions: str) -> Iterator[Record]:
    """Measure the times of a network and of its int8 copies, as ratios to PyTorch."""
    model, data = load_pretrained(network), load_dataset("fashion-mnist")
    pictures = Measured(network, data).calibration(0)
    networks: dict[str, nn.Module] = {"PyTorch": model, "PT2E": pt2e_int8(model, pictures)}
    with tempfile.TemporaryDirectory() as folder:
        # Times depend on the widths and not on the weights, so nothing is trained here.
        for name, one in (("", model), ("pruned, ", prune(model, PRUNED_SHARE))):
            path, target = (Path(folder) / f"{name}{end}.onnx" for end in ("float", "int8"))
            networks[f"{name}PyTorch"] = one
            networks[f"{name}ONNX Runtime"] = OnnxNetwork(to_onnx(one, pictures[:1], path))
            for bits in (7, 8):
                onnx_int8(path, target, pictures, reduce_range=bits == 7)
                networks[f"{name}ONNX Runtime int8, {bits} bits"] = OnnxNetwork(target)
    images = data.normalise(data.test.images[: max(BATCHES)])
    for repeat in range(REPEATS):
        for batch in BATCHES:
            # The work of this process only: other programs would slow long passes more than short.
            options = {"seconds": SECONDS, "clock": time.process_time}
            found = measure_latency(networks, images[:batch], **options)
            for name, one in found.items():
                yield {
                    "network": network,
                    "PyTorch's instructions": instructions,
                    "method": name,
                    "batch": batch,
                    "repeat": repeat,
                    "times as fast": typical_ratio(found["PyTorch"], one),
                }


def saved_bytes(model: nn.Module) -> int:
    """Return the size of the file of a network's state dict."""
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return len(buffer.getbuffer())


def accuracies(data: Dataset, folder: Path) -> Iterator[Record]:
    """Yield all records of accuracy."""
    for name in NETWORKS:
        model, measured = load_pretrained(name), Measured(name, data)
        yield from int8(measured, model, folder)
        yield from calibrations(measured, folder)
        yield from bits(measured, model)
        if name == NETWORKS[0]:
            yield from training(measured, model)
            yield from smaller(measured, model, folder)


def speeds() -> Iterator[Record]:
    """Yield all records of time, in new processes: PyTorch reads `PLAIN` when it starts."""
    for instructions, variables in (("all", {}), ("AVX2", PLAIN)):
        for network in NETWORKS:
            command = [sys.executable, "-m", COMMAND.split()[-1], network, instructions]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr)
            yield from json.loads(done.stdout.splitlines()[-1])


def main(arguments: list[str] | None = None) -> None:
    """Run everything and write both files.

    With the argument "speed", write only the file of times; with a network and instructions, only
    print its times.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    torch.set_num_threads(1)
    if len(arguments) == 2:
        print(json.dumps(list(speed(*arguments))))
        return
    settings: dict[str, Any] = {"calibration pictures": PICTURES, "pruned share": PRUNED_SHARE}
    if arguments != ["speed"]:
        data = load_dataset("fashion-mnist")
        with tempfile.TemporaryDirectory() as folder:
            found = accuracies(data, Path(folder))
            records = list(tqdm(found, desc=NAME, unit="record"))
        more = {"data": data.name, "epochs": EPOCHS, "trained on": TRAINED_ON}
        more["pruned epochs"] = PRUNED_EPOCHS
        save_results(NAME, records, command=COMMAND, settings=settings | more)
    times = list(tqdm(speeds(), desc=SPEED, unit="record"))
    more = {"clock": "process time", "threads": 1, "VNNI": has_vnni(), "repeats": REPEATS}
    save_results(SPEED, times, command=COMMAND, settings=settings | more)


if __name__ == "__main__":
    main()
