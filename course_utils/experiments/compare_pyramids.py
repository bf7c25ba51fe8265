"""Compare detectors with one level, three levels, and a feature pyramid, by size of the objects.

    python -m course_utils.experiments.compare_pyramids

writes `assets/results/pyramids.json`; that takes about 13 minutes of one core.

Three tasks:

- "cells": the photographs of blood cells, three kinds of objects of three sizes;
- "colour": drawn scenes with large shapes and small dots; the class of a dot is its colour;
- "context": the same scenes; the class of a dot is the shape that it sits in.

Each detector has the same backbone, width and training. Average precision is measured at an IoU of
0.5, on test pictures that no training has used. "cells" has few pictures: its objects are the same
for all seeds, so the intervals show the scatter of the training only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from tqdm.auto import tqdm

from course_utils.core import seeded
from course_utils.data import Dataset, draw_scenes, load_boxes
from course_utils.experiments.results import command_of, save_results
from course_utils.metrics import DetectionScores, average_precision
from course_utils.models import Detector
from course_utils.training import Precision, fit_detector, propose_all

NAME = "pyramids"
COMMAND = command_of(__file__)
SEEDS = (0, 1, 2)
DETECTORS: dict[str, dict[str, Any]] = {
    "one level": {"strides": (16,)},
    "three levels": {"top_down": False},
    "pyramid": {},
}
TRAIN, TEST = 1408, 200
EPOCHS = {"context": 4, "colour": 2, "cells": 2}


def data_of(task: str) -> Dataset:
    """Return the pictures of a task."""
    if task == "cells":
        return load_boxes("bccd")
    scenes = [
        draw_scenes(count, context=task == "context", seed=seed)
        for seed, count in enumerate((TRAIN, TEST))
    ]
    return Dataset(task, f"Scenes ({task})", scenes[0], scenes[0].subset([]), scenes[1])


def measure(task: str, data: Dataset, detector: str, seed: int) -> DetectionScores:
    """Train a detector, in float32 and with one thread, and measure it on the test pictures."""
    model = seeded(lambda: Detector(len(data.classes), **DETECTORS[detector]), seed)
    precision = Precision(channels_last=True, threads=1)
    options = {"seed": seed, "precision": precision, "progress": False}
    # Cells have no upright position, shapes have.
    fit_detector(model, data, epochs=EPOCHS[task], flips=task == "cells", **options)
    return average_precision([one.choose() for one in propose_all(model, data)], data.test)


def compare(
    tasks: Sequence[str] = tuple(EPOCHS),
    seeds: Sequence[int] = SEEDS,
    measured: Callable[[str, Dataset, str, int], DetectionScores] = measure,
) -> Iterator[dict[str, Any]]:
    """Yield a record for each task, detector and seed."""
    for task in tasks:
        data = data_of(task)
        for seed in seeds:
            for detector in DETECTORS:
                scores = measured(task, data, detector, seed)
                sizes = {name: getattr(scores, name) for name in ("small", "medium", "large")}
                yield {
                    "task": task,
                    "detector": detector,
                    "seed": seed,
                    "ap50": scores.mean,
                } | sizes


def main() -> None:
    """Run all trainings and write the results."""
    torch.set_num_threads(1)
    total = len(EPOCHS) * len(DETECTORS) * len(SEEDS)
    records = []
    for record in tqdm(compare(), total=total, desc=NAME, unit="training"):
        tqdm.write(str(record))
        records.append(record)
    settings = {f"epochs of {task}": epochs for task, epochs in EPOCHS.items()}
    path = save_results(NAME, records, command=COMMAND, settings=settings)
    print(f"{len(records)} trainings in {path}")


if __name__ == "__main__":
    main()
