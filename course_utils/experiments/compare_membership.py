"""Compare what networks betray about their training pictures (§5.3).

    python -m course_utils.experiments.compare_membership

writes `assets/results/membership.json`; that takes about 2 minutes on one core.

The network of notebook 02_2 is trained in three ways with about the same number of steps. The
attack of Yeom et al. (2018) then tells its training pictures from test pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from tqdm.auto import tqdm

from course_utils.core import seeded
from course_utils.data import Augment, Dataset, load_dataset
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.metrics import evaluate, membership_attack
from course_utils.models import SimpleCNN
from course_utils.training import Precision, fit, one_cycle

NAME = "membership"
COMMAND = command_of(__file__)
SEEDS = (0, 1, 2)
FEW, EPOCHS = 1000, 27
WAYS = ("overfitted", "regularised", "more pictures")


def recipe_of(way: str) -> dict[str, Any]:
    """Return the arguments of `fit` for one of `WAYS`.

    "regularised" mirrors and moves the pictures, smooths the labels, and lets the weights decay;
    "more pictures" trains on all of them, for fewer epochs.
    """
    peak = 0.005
    recipe = {"batch_size": 64, "learning_rate": peak, "scheduler": partial(one_cycle, peak=peak)}
    recipe["optimizer"] = partial(torch.optim.AdamW, weight_decay=0.0)
    if way == "regularised":
        recipe["optimizer"] = partial(torch.optim.AdamW, weight_decay=0.05)
        recipe |= {"label_smoothing": 0.1, "augment": Augment(flip=True, pad_crop=2)}
    return recipe


def compare(
    data: Dataset, *, few: int = FEW, epochs: int = EPOCHS, seeds: tuple[int, ...] = SEEDS
) -> Iterator[Record]:
    """Train each way with each seed, and yield its record.

    `training` and `test` are accuracies; the attack knows `few` training pictures and all test
    pictures.
    """
    channels, *size = data.image_shape
    scale = {"mean": data.mean, "std": data.std}
    members = data.train.few(few)
    for seed in seeds:
        for way in WAYS:
            model = seeded(lambda: SimpleCNN(channels, len(data.classes), tuple(size)), seed)
            small = way != "more pictures"
            # Nothing is chosen by the validation images, so time is saved without them.
            none = data.validation.subset([])
            train = members if small else data.train
            given = replace(data, train=train, validation=none, statistics=(data.mean, data.std))
            count = epochs if small else max(1, round(epochs * few / len(data.train)))
            settings = recipe_of(way) | {"epochs": count, "seed": seed, "progress": False}
            fit(model, given, **settings, precision=Precision(threads=1))
            seen, unseen = (evaluate(model, part, **scale) for part in (members, data.test))
            found = membership_attack(seen.losses, unseen.losses)
            yield {
                "way": way,
                "seed": seed,
                "training": seen.accuracy,
                "test": unseen.accuracy,
                "found": found.found,
                "false_alarms": found.false_alarms,
                "advantage": found.advantage,
                "auc": found.auc,
            }


def main() -> None:
    """Run all trainings and write the results."""
    torch.set_num_threads(1)
    data = load_dataset("fashion-mnist")
    records = list(tqdm(compare(data), total=len(WAYS) * len(SEEDS), desc=NAME, unit="training"))
    settings = {"data": data.name, "few": FEW, "epochs": EPOCHS, "test_pictures": len(data.test)}
    path = save_results(NAME, records, command=COMMAND, settings=settings)
    print(f"{len(records)} records in {path}")


if __name__ == "__main__":
    main()
