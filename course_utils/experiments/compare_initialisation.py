"""Train a deep network from several initialisations, with and without BatchNorm (§2.3.1).

    python -m course_utils.experiments.compare_initialisation

writes `assets/results/initialisation.json`; that takes about 3 minutes on one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import nn
from tqdm.auto import tqdm

from course_utils.data import Dataset, load_dataset
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.training import Precision, fit, initialise

NAME = "initialisation"
COMMAND = command_of(__file__)
SEEDS = (0, 1, 2, 3, 4)
RATE = 2e-3
STARTS = (
    *(("zeros", False, RATE), ("normal 0.01", False, RATE), ("default", False, RATE)),
    *(("xavier", False, RATE), ("he", False, RATE), ("he", False, RATE / 4)),
    *(("normal 1", False, RATE), ("normal 0.01", True, RATE)),
)
"""A scheme of `training.SCHEMES`, whether there is BatchNorm, and the learning rate."""


def deep_network(batch_norm: bool = False, depth: int = 20, width: int = 16) -> nn.Sequential:
    """Return `depth` convolutions and a linear layer: images (N, 1, 28, 28) in, logits (N, 10) out.

    The first two convolutions have stride 2.
    """
    layers: list[nn.Module] = []
    for number in range(depth):
        stride = 2 if number < 2 else 1
        layers.append(nn.Conv2d(width if number else 1, width, 3, stride=stride, padding=1))
        layers += [nn.BatchNorm2d(width)] if batch_norm else []
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(49 * width, 10))


def compare(
    data: Dataset,
    starts: Sequence[tuple[str, bool, float]] = STARTS,
    seeds: tuple[int, ...] = SEEDS,
    *,
    images: int = 3000,
    epochs: int = 2,
) -> Iterator[Record]:
    """Train from each start with each seed, and yield how each training began and ended.

    `logit_spread` is the standard deviation of a logit over 500 validation images, as the mean of
    the ten logits: 0 if the trained network returns the same for every image.
    """
    seen = data.normalise(data.validation.images[:500])
    for scheme, batch_norm, learning_rate in starts:
        for seed in seeds:
            small = replace(data, train=data.train.few(images, seed=seed))
            model = initialise(deep_network(batch_norm), scheme, seed=seed)
            run = {"scheme": scheme, "batch_norm": batch_norm, "learning_rate": learning_rate}
            history = fit(
                model,
                small,
                epochs=epochs,
                learning_rate=learning_rate,
                precision=Precision(threads=1),
                seed=seed,
                progress=False,
            )
            model.eval()
            with torch.no_grad():
                logit_spread = model(seen).std(dim=0).mean().item()
            yield run | {
                "seed": seed,
                "first_loss": history.step_loss[0],
                "accuracy": history.validation_accuracy[-1],
                "logit_spread": logit_spread,
            }


def main() -> None:
    """Run all trainings and write the results."""
    torch.set_num_threads(1)
    data = load_dataset("fashion-mnist")
    runs = compare(data)
    records = list(tqdm(runs, total=len(STARTS) * len(SEEDS), desc=NAME, unit="training"))
    path = save_results(NAME, records, command=COMMAND, settings={"images": 3000, "epochs": 2})
    print(f"{len(records)} records in {path}")


if __name__ == "__main__":
    main()
