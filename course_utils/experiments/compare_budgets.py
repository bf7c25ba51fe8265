"""Compare networks with and without convolutions at equal budgets, also on moved images (§1.1).

    python -m course_utils.experiments.compare_budgets

writes `assets/results/budgets.json`; that takes about 10 minutes on one core.

Each network is trained by the recipe of the first CNN on the same images, over five seeds. Its test
images are then moved sideways; in training no image was moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn
from tqdm.auto import tqdm

from course_utils.core import seeded
from course_utils.data import Dataset, load_dataset
from course_utils.experiments.first_cnn import first_cnn_recipe
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.metrics import evaluate
from course_utils.models import AveragingCNN, DenseBaseline, SimpleCNN
from course_utils.training import Precision, fit

NAME = "budgets"
COMMAND = command_of(__file__)
SEEDS = (0, 1, 2, 3, 4)
SHIFTS = tuple(range(-6, 7))


class Entry(NamedTuple):
    """A network and the number of epochs that it is trained."""

    build: Callable[[], nn.Module]
    epochs: int


ENTRIES = {
    "MLP, parameters of the CNN": Entry(lambda: DenseBaseline(hidden=(25,)), 4),
    "MLP, multiply-adds of the CNN": Entry(lambda: DenseBaseline(hidden=(1299,)), 4),
    "MLP, multiply-adds of the CNN, 24 epochs": Entry(lambda: DenseBaseline(hidden=(1299,)), 24),
    "CNN": Entry(SimpleCNN, 4),
    "CNN, 24 epochs": Entry(SimpleCNN, 24),
    "averaging CNN": Entry(AveragingCNN, 4),
    "averaging CNN, 24 epochs": Entry(AveragingCNN, 24),
}


def moved_accuracy(model: nn.Module, data: Dataset, shift: int) -> float:
    """Return the accuracy on the test images, moved to the right by `shift` pixels.

    What leaves the image at one side comes in at the other.
    """
    moved = replace(data.test, images=torch.roll(data.test.images, shift, dims=-1))
    return evaluate(model, moved, mean=data.mean, std=data.std).accuracy


def compare(
    data: Dataset, entries: dict[str, Entry] = ENTRIES, seeds: tuple[int, ...] = SEEDS
) -> Iterator[list[Record]]:
    """Train each network with each seed; yield the records of one training, one for each shift."""
    for name, entry in entries.items():
        for seed in seeds:
            model = seeded(entry.build, seed)
            recipe = first_cnn_recipe() | {"epochs": entry.epochs, "seed": seed}
            fit(model, data, **recipe, precision=Precision(threads=1), progress=False)
            run = {"network": name, "epochs": entry.epochs, "seed": seed}
            yield [run | {"shift": s, "accuracy": moved_accuracy(model, data, s)} for s in SHIFTS]


def main() -> None:
    """Run all trainings and write the results."""
    torch.set_num_threads(1)
    data = load_dataset("fashion-mnist")
    runs = tqdm(compare(data), total=len(ENTRIES) * len(SEEDS), desc=NAME, unit="training")
    records = [record for run in runs for record in run]
    path = save_results(NAME, records, command=COMMAND, settings={"data": data.name})
    print(f"{len(records)} records in {path}")


if __name__ == "__main__":
    main()
