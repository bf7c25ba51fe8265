"""Train on Fashion-MNIST with few shirts, with and without weights of the classes in the loss.

    python -m course_utils.experiments.rare_class

It takes about half a minute. Notebook 05_2 shows the results.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from course_utils.core import private_random_numbers
from course_utils.data import Dataset, load_dataset
from course_utils.experiments.results import command_of, save_results
from course_utils.metrics import class_report, evaluate, thinned
from course_utils.models import SimpleCNN
from course_utils.training import Precision, WeightedCrossEntropy, balanced_weights, fit

RARE = "Shirt"
STRENGTHS = (0.0, 0.5, 1.0)
SEEDS = (0, 1, 2)
COMMAND = command_of(__file__)
_PICTURES, _SHARE, _EPOCHS = 3000, 0.1, 4


def run(
    data: Dataset, strength: float, seed: int, pictures: int = _PICTURES, **changes: Any
) -> dict[str, Any]:
    """Train with weights of this strength, and return measures on the test pictures."""
    few = data.train.few(pictures, seed=seed)
    few = few.subset(thinned(few.labels, few.classes, RARE, _SHARE))
    small = replace(data, train=few)
    with private_random_numbers():
        torch.manual_seed(seed)
        model = SimpleCNN(data.image_shape[0], len(data.classes), data.image_shape[1:])
    loss = WeightedCrossEntropy(balanced_weights(few, strength=strength))
    settings = {"device": "cpu", "precision": Precision(threads=1), "progress": False}
    settings |= {"epochs": _EPOCHS, "learning_rate": 2e-3, "seed": seed, "loss": loss}
    fit(model, small, **(settings | changes))
    found = evaluate(model, data.test, mean=small.mean, std=small.std)
    report = class_report(found.labels, found.predictions, data.classes, resamples=100)
    rare = data.classes.index(RARE)
    return {
        "strength": strength,
        "seed": seed,
        "accuracy": found.accuracy,
        "macro_f1": report.macro.f1.middle,
        "precision": report.precision[rare].middle,
        "recall": report.recall[rare].middle,
        "f1": report.f1[rare].middle,
    }


def main() -> None:
    """Train with all strengths and seeds, and replace the file of results."""
    data = load_dataset("fashion-mnist")
    records = [run(data, strength, seed) for strength in STRENGTHS for seed in SEEDS]
    settings = {
        "data": data.name,
        "rare": RARE,
        "share": _SHARE,
        "pictures": _PICTURES,
        "epochs": _EPOCHS,
    }
    save_results("rare_class", records, command=COMMAND, settings=settings)


if __name__ == "__main__":
    main()
