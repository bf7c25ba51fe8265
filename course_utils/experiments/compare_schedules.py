"""Schedules and optimizers compared on `SimpleCNN` at equal budget.

    python -m course_utils.experiments.compare_schedules

writes `assets/results/learning_rate.json`; that took 11 minutes of one core.

Every method gets the same 6 epochs of 4,500 pictures of Fashion-MNIST, and a peak learning rate of
its own, for the one that suits a constant rate may harm a warm-up. Peaks are chosen from one grid,
the same for all that are compared, by the mean accuracy of two seeds; five other seeds are then
measured. Both are counted on the validation pictures and the training pictures that are not used,
5,500 in all; the test pictures are not touched.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from tqdm.auto import tqdm

from course_utils.data import Dataset, ImageSet, load_dataset
from course_utils.experiments.results import Record, save_results
from course_utils.metrics import evaluate
from course_utils.models import SimpleCNN
from course_utils.training import (
    COMPARED_OPTIMIZERS,
    SCHEDULES,
    Precision,
    RatePlan,
    Schedule,
    train_with,
)

NAME = "learning_rate"
COMMAND = "python -m course_utils.experiments.compare_schedules"
EPOCHS, PICTURES = 6, 4500
SGD_PEAKS = (0.0075, 0.015, 0.03, 0.06, 0.12)
ADAPTIVE_PEAKS = (0.0004, 0.001, 0.003, 0.01, 0.03)
TUNING_SEEDS = (100, 101)
SEEDS = (0, 1, 2, 3, 4)

Train = Callable[[RatePlan, int], float]
"""A plan and a seed to the accuracy, nan if the training diverged."""


def plans() -> dict[tuple[str, str], list[RatePlan]]:
    """(comparison, method) to the method's plans, one for each peak of its grid."""
    budget = {"epochs": EPOCHS, "pictures": PICTURES}
    found = {
        ("schedules", name): [RatePlan(schedule, peak, **budget) for peak in SGD_PEAKS]
        for name, schedule in SCHEDULES.items()
    }
    for name in COMPARED_OPTIMIZERS:
        grid = SGD_PEAKS if name == "SGD + momentum" else ADAPTIVE_PEAKS
        found["optimizers", name] = [
            RatePlan(Schedule("cosine"), peak, name, **budget) for peak in grid
        ]
    return found


def compare(
    methods: dict[tuple[str, str], list[RatePlan]],
    train: Train,
    *,
    tuning_seeds: tuple[int, ...] = TUNING_SEEDS,
    seeds: tuple[int, ...] = SEEDS,
) -> Iterator[Record]:
    """Choose a peak for each method, then measure the method; one record for each training."""
    for (comparison, method), grid in methods.items():
        means = {}
        for phase, chosen, numbers in (("tuning", grid, tuning_seeds), ("measured", None, seeds)):
            for plan in chosen or [max(grid, key=means.__getitem__)]:
                results = []
                for seed in numbers:
                    results.append(train(plan, seed))
                    yield {
                        "comparison": comparison,
                        "method": method,
                        "phase": phase,
                        "peak": plan.peak,
                        "seed": seed,
                        "accuracy": results[-1],
                    }
                # A rate that diverges once is not to be chosen.
                means[plan] = sum(results) if all(map(math.isfinite, results)) else -math.inf


def held_out(data: Dataset, used: ImageSet) -> ImageSet:
    """The training pictures that are not among `used`, and the validation pictures."""
    seen = {picture.numpy().tobytes() for picture in used.images}
    fresh = [i for i, p in enumerate(data.train.images) if p.numpy().tobytes() not in seen]
    rest = data.train.subset(torch.tensor(fresh))
    return ImageSet(
        torch.cat([rest.images, data.validation.images]),
        torch.cat([rest.labels, data.validation.labels]),
        data.train.classes,
    )


def trainer(data: Dataset) -> Train:
    """Trains `SimpleCNN` by a plan: plain float32 and one thread, as in `first_cnn`."""
    # The same pictures for every seed, so that those left over are the same, too.
    used = data.train.few(PICTURES)
    small, judged = replace(data, train=used), held_out(data, used)
    mean, std = small.mean, small.std

    @functools.cache  # cosine stands in both comparisons
    def train(plan: RatePlan, seed: int) -> float:
        kept: list[SimpleCNN] = []

        def model() -> SimpleCNN:
            kept.append(SimpleCNN.for_data(data))
            return kept[0]

        run = train_with(plan, small, model=model, seed=seed, precision=Precision(threads=1))
        if run.diverged:
            return math.nan
        return evaluate(kept[0], judged, mean=mean, std=std).accuracy

    return train


def main() -> None:
    """Run all trainings and replace the file of results."""
    torch.set_num_threads(1)
    data, methods = load_dataset("fashion-mnist"), plans()
    count = sum(len(grid) * len(TUNING_SEEDS) + len(SEEDS) for grid in methods.values())
    records: list[dict[str, Any]] = list(
        tqdm(compare(methods, trainer(data)), total=count, desc=NAME, unit="training")
    )
    settings = {"epochs": EPOCHS, "pictures": PICTURES, "batch size": 64, "data": data.name}
    path = save_results(NAME, records, command=COMMAND, settings=settings)
    print(f"{len(records)} trainings in {path}")


if __name__ == "__main__":
    main()
