"""Prune, distil and quantize: half of a network, taught by the whole one, in floats and in int8.

    python -m course_utils.experiments.compare_distilled

writes `assets/results/distilled.json`; that took two minutes on one core. Half of the channels of
`small_resnet` are removed, and the rest is trained on with three seeds, for as many epochs and at
the same rate as in `compare_quantization`, which has the same without a teacher; there the loss is
cross-entropy with smoothed labels, here it is that of distillation.

Each network is measured in PyTorch and, quantized to 7 bits, in ONNX Runtime. Nothing is chosen on
the test pictures: each network is measured once, after its last step. The times are ratios to
`small_resnet` in PyTorch, in seconds of work; `compare_quantization` says more about them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import nn
from tqdm.auto import tqdm

from course_utils.compress import OnnxNetwork, has_vnni, onnx_int8, prune, to_onnx
from course_utils.data import Dataset, load_dataset
from course_utils.experiments.compare_quantization import (
    BATCHES,
    ONE_THREAD,
    PEAK,
    PRUNED_EPOCHS,
    PRUNED_SHARE,
    SECONDS,
    Measured,
    saved_bytes,
)
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.metrics import measure_latency, typical_ratio
from course_utils.models import load_pretrained
from course_utils.training import Distillation, fit, one_cycle

NAME, TEACHER, STUDENT = "distilled", "small_resnet", "pruned, distilled"
COMMAND = command_of(__file__)
SEEDS = (0, 1, 2)
TEMPERATURE, MIX = 4.0, 0.9


def student(teacher: nn.Module, data: Dataset, seed: int) -> nn.Module:
    """Return half of the teacher's channels, taught by all of them."""
    pruned = prune(teacher, PRUNED_SHARE)
    fit(
        pruned,
        data,
        epochs=PRUNED_EPOCHS,
        learning_rate=PEAK,
        scheduler=partial(one_cycle, peak=PEAK),
        loss=Distillation(teacher, TEMPERATURE, MIX),
        seed=seed,
        device="cpu",
        precision=ONE_THREAD,
        progress=False,
    )
    return pruned


def compare(teacher: nn.Module, data: Dataset, seeds: tuple[int, ...] = SEEDS) -> Iterator[Record]:
    """Yield two records for each seed: of the student in floats and in int8."""
    for seed in seeds:
        taught, measured = student(teacher, data, seed), Measured(STUDENT, data)
        pictures = measured.calibration(seed)
        with tempfile.TemporaryDirectory() as folder:
            path = to_onnx(taught, pictures[:1], Path(folder, "floats.onnx"))
            path = onnx_int8(path, Path(folder, "int8.onnx"), pictures, reduce_range=True)
            networks = {32: (taught, saved_bytes(taught))}
            networks[7] = OnnxNetwork(path), path.stat().st_size
        models = {"teacher": teacher} | {bits: model for bits, (model, _) in networks.items()}
        speedups: dict[int, Record] = {bits: {} for bits in networks}
        for batch in BATCHES:
            images = data.normalise(data.test.images[:batch])
            found = measure_latency(models, images, seconds=SECONDS, clock=time.process_time)
            for bits in networks:
                ratio = typical_ratio(found["teacher"], found[bits])
                speedups[bits][f"speedup_{batch}"] = round(ratio, 2)
        for bits, (model, size) in networks.items():
            method = "ONNX Runtime" if bits < 32 else "PyTorch"
            record = measured.record("distilled", method, bits, seed, model, size)
            yield record | speedups[bits]


def main() -> None:
    """Run all trainings and write the results."""
    torch.set_num_threads(1)
    data, teacher = load_dataset("fashion-mnist"), load_pretrained(TEACHER)
    records = list(tqdm(compare(teacher, data), total=2 * len(SEEDS), desc=NAME, unit="network"))
    settings = {"teacher": TEACHER, "temperature": TEMPERATURE, "mix": MIX, "VNNI": has_vnni()}
    path = save_results(NAME, records, command=COMMAND, settings=settings)
    print(f"{len(records)} networks in {path}")


if __name__ == "__main__":
    main()
