"""Compare schedules and optimizers on `SimpleCNN` at equal budget.

    python -m course_utils.experiments.compare_schedules

writes `assets/results/learning_rate.json`; that took 11 minutes on one core.

Every method gets 6 epochs of the same 4,500 pictures of Fashion-MNIST. Every method has its own
peak learning rate, because the best one for a constant rate may be wrong for a warm-up. It is
chosen from a grid by the mean accuracy of two seeds; then five other seeds are measured. All
accuracies are measured on the validation pictures and the unused training pictures, 5,500 in all;
the test pictures are not used.
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
from course_utils.experiments.results import Record, command_of, save_results
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
COMMAND = command_of(__file__)
EPOCHS, PICTURES = 6, 4500
SGD_PEAKS = (0.0075, 0.015, 0.03, 0.06, 0.12)
ADAPTIVE_PEAKS = (0.0004, 0.001, 0.003, 0.01, 0.03)
TUNING_SEEDS = (100, 101)
SEEDS = (0, 1, 2, 3, 4)

Train = Callable[[RatePlan, int], float]
"""(plan, seed) -> accuracy, nan if the training diverged."""


def plans() -> dict[tuple[str, str], list[RatePlan]]:
    """Return (comparison, method) -> the method's plans, one for each peak of its grid."""
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
    """Choose a peak for each method, then measure the method; yield a record for each training."""
    for method, grid in methods.items():
        sums = {}
        for plan in grid:
            tuning = [_record(method, "tuning", plan, seed, train) for seed in tuning_seeds]
            yield from tuning
            accuracies = [record["accuracy"] for record in tuning]
            # A peak with which a training diverges is never chosen.
            sums[plan] = sum(accuracies) if all(map(math.isfinite, accuracies)) else -math.inf
        best = max(grid, key=sums.__getitem__)
        for seed in seeds:
            yield _record(method, "measured", best, seed, train)


def _record(method: tuple[str, str], phase: str, plan: RatePlan, seed: int, train: Train) -> Record:
    return {
        "comparison": method[0],
        "method": method[1],
        "phase": phase,
        "peak": plan.peak,
        "seed": seed,
        "accuracy": train(plan, seed),
    }


def held_out(data: Dataset, used: ImageSet) -> ImageSet:
    """Return the training pictures that are not in `used`, and the validation pictures."""
    seen = {picture.numpy().tobytes() for picture in used.images}
    fresh = [i for i, p in enumerate(data.train.images) if p.numpy().tobytes() not in seen]
    rest = data.train.subset(torch.tensor(fresh))
    return ImageSet(
        torch.cat([rest.images, data.validation.images]),
        torch.cat([rest.labels, data.validation.labels]),
        data.train.classes,
    )


def trainer(data: Dataset) -> Train:
    """Return a function that trains `SimpleCNN` by a plan, in float32 and with one thread."""
    # Every seed uses the same pictures, so the unused ones are the same, too.
    used = data.train.few(PICTURES)
    small, judged = replace(data, train=used), held_out(data, used)
    mean, std = small.mean, small.std

    @functools.cache  # cosine is in both comparisons
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
    """Run all trainings and write the results."""
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
