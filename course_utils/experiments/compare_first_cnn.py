"""Train the first CNN as it is, with frozen kernels, and at other rates (§2.2.2).

    python -m course_utils.experiments.compare_first_cnn

writes `assets/results/first_cnn_variations.json`; that takes about 5 minutes on one core.

All use the recipe of the first CNN, and each is run with five seeds. A frozen layer keeps the
random numbers that it starts with. For comparison, a linear classifier sees the pixels themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn
from tqdm.auto import tqdm

from course_utils.core import seeded
from course_utils.data import Dataset, load_dataset
from course_utils.experiments.first_cnn import first_cnn_recipe
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.metrics import evaluate
from course_utils.models import DenseBaseline, SimpleCNN
from course_utils.training import Precision, fit, one_cycle

NAME = "first_cnn_variations"
COMMAND = command_of(__file__)
SEEDS = (0, 1, 2, 3, 4)


def linear_classifier(data: Dataset, seed: int) -> nn.Module:
    """Return a dense layer from the pixels to the classes."""
    channels, *size = data.image_shape
    return seeded(lambda: DenseBaseline(channels, len(data.classes), tuple(size), ()), seed)


class Variation(NamedTuple):
    """The layers that are not trained, the factor of the learning rate, and the network."""

    frozen: tuple[str, ...] = ()
    rate: float = 1.0
    network: Callable[..., nn.Module] = SimpleCNN.for_data


VARIATIONS = {
    "all layers trained": Variation(),
    "conv1 frozen": Variation(frozen=("conv1",)),
    "conv1 and conv2 frozen": Variation(frozen=("conv1", "conv2")),
    "linear classifier": Variation(network=linear_classifier),
    "ten times the learning rate": Variation(rate=10.0),
    "a tenth of the learning rate": Variation(rate=0.1),
}


def recipe_at(rate: float) -> dict[str, Any]:
    """Return the recipe of the first CNN with `rate` times its learning rate."""
    recipe = first_cnn_recipe()
    peak = rate * recipe["learning_rate"]
    return recipe | {"learning_rate": peak, "scheduler": partial(one_cycle, peak=peak)}


def alike(before: nn.Conv2d, after: nn.Conv2d) -> float:
    """Return the mean cosine similarity of each kernel before and after training, from -1 to 1."""
    pair = (layer.weight.detach().flatten(1) for layer in (before, after))
    return nn.functional.cosine_similarity(*pair).mean().item()


def compare(
    data: Dataset,
    variations: dict[str, Variation] = VARIATIONS,
    seeds: tuple[int, ...] = SEEDS,
    **changes: Any,
) -> Iterator[list[Record]]:
    """Train each variation with each seed; yield the records of one training, one for each epoch.

    The test accuracy and the similarity of the kernels of conv1 are those after the last epoch.

    Args:
        changes: arguments of `fit` that replace those of the recipe.
    """
    for name, variation in variations.items():
        for seed in seeds:
            start, model = (variation.network(data, seed=seed) for _ in range(2))
            for layer in variation.frozen:
                getattr(model, layer).requires_grad_(False)
            settings = recipe_at(variation.rate) | {"seed": seed, "progress": False} | changes
            history = fit(model, data, **settings, precision=Precision(threads=1))
            result = evaluate(model, data.test, mean=data.mean, std=data.std)
            run = {"variation": name, "seed": seed, "test_accuracy": result.accuracy}
            has_kernels = hasattr(model, "conv1")
            run["kernels_alike"] = alike(start.conv1, model.conv1) if has_kernels else None
            epochs = zip(history.epoch, history.validation_accuracy, strict=True)
            yield [run | {"epoch": e, "validation_accuracy": share} for e, share in epochs]


def main() -> None:
    """Run all trainings and write the results."""
    torch.set_num_threads(1)
    data = load_dataset("fashion-mnist")
    runs = tqdm(compare(data), total=len(VARIATIONS) * len(SEEDS), desc=NAME, unit="training")
    records = [record for run in runs for record in run]
    path = save_results(NAME, records, command=COMMAND, settings={"data": data.name})
    print(f"{len(records)} records in {path}")


if __name__ == "__main__":
    main()
