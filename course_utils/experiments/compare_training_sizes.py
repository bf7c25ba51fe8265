"""Compare a CNN and a dense network by the number of training images (§1.1).

    python -m course_utils.experiments.compare_training_sizes

writes `assets/results/training_sizes.json`; that takes about 10 minutes on one core.

Both have about the same multiply-adds, and both take the same number of steps with every number of
images, by the recipe of the first CNN. Each seed draws other images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from course_utils.core import seeded
from course_utils.data import Dataset, load_dataset
from course_utils.experiments.first_cnn import first_cnn_recipe
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.metrics import evaluate
from course_utils.models import DenseBaseline, SimpleCNN
from course_utils.training import Precision, fit

NAME = "training_sizes"
COMMAND = command_of(__file__)
SEEDS = (0, 1, 2, 3, 4)
SIZES = (300, 1000, 3000, 9000)

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "MLP": lambda: DenseBaseline(hidden=(1299,)),
    "CNN": SimpleCNN,
}


def compare(
    data: Dataset,
    networks: dict[str, Callable[[], nn.Module]] = NETWORKS,
    sizes: tuple[int, ...] = SIZES,
    seeds: tuple[int, ...] = SEEDS,
    **changes: Any,
) -> Iterator[Record]:
    """Train each network with each number of images and each seed; yield a record of each.

    Args:
        changes: arguments of `fit` that replace those of the recipe.
    """
    for name, build in networks.items():
        for size in sizes:
            for seed in seeds:
                recipe = first_cnn_recipe() | {"seed": seed, "progress": False} | changes
                epochs = round(recipe["epochs"] * len(data.train) / size)  # as many steps
                nothing = data.validation.subset([])  # nothing is chosen by it
                part = replace(data, train=data.train.few(size, seed=seed), validation=nothing)
                model = seeded(build, seed)
                fit(model, part, **recipe | {"epochs": epochs}, precision=Precision(threads=1))
                result = evaluate(model, data.test, mean=part.mean, std=part.std)
                run = {"network": name, "images": size, "epochs": epochs, "seed": seed}
                yield run | {"accuracy": result.accuracy}


def main() -> None:
    """Run all trainings and write the results."""
    torch.set_num_threads(1)
    data = load_dataset("fashion-mnist")
    total = len(NETWORKS) * len(SIZES) * len(SEEDS)
    records = list(tqdm(compare(data), total=total, desc=NAME, unit="training"))
    path = save_results(NAME, records, command=COMMAND, settings={"data": data.name})
    print(f"{len(records)} records in {path}")


if __name__ == "__main__":
    main()
