"""Train the article's network with many learning rates and widths: a map to search on (§3.1.2).

    python -m course_utils.experiments.search_landscape

writes `assets/results/search_landscape.json`; that takes about a minute on one core.

Every combination of ten learning rates and five numbers of kernels in conv1 is trained for three
epochs of 3,000 images of Fashion-MNIST, as the article trains (Adam, a constant rate). With the
table a search needs no training, so it can be repeated a thousand times. One seed is enough: the
table is a place to search in, and not a measurement of networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from tqdm.auto import tqdm

from course_utils.data import Dataset, load_dataset
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.models import SimpleCNN
from course_utils.search import Settings, build
from course_utils.training import Diverged, Precision, fit

NAME = "search_landscape"
COMMAND = command_of(__file__)
SEEDS = (0,)
EPOCHS, IMAGES = 3, 3000
RATES = tuple(float(f"{10 ** (-4 + third / 3):.3g}") for third in range(10))
WIDTHS = (2, 4, 8, 16, 32)


def compare(
    data: Dataset,
    rates: Sequence[float] = RATES,
    widths: Sequence[int] = WIDTHS,
    seeds: Sequence[int] = SEEDS,
) -> Iterator[Record]:
    """Train every combination; yield its record, without an accuracy if the loss became NaN."""
    example = torch.zeros(2, *data.image_shape)
    for seed in seeds:
        few = replace(data, train=data.train.few(min(IMAGES, len(data.train)), seed=seed))
        article = SimpleCNN.for_data(data, seed=seed)
        for width in widths:
            for rate in rates:
                point = {"conv1.out_channels": width, "learning_rate": rate}
                model = build(article, point, example, weights="fresh", seed=seed)
                arguments = Settings.of(point).fit_arguments() | {"seed": seed, "progress": False}
                accuracy = None
                try:
                    history = fit(
                        model, few, epochs=EPOCHS, **arguments, precision=Precision(threads=1)
                    )
                    accuracy = history.validation_accuracy[-1]
                except Diverged:
                    pass
                yield {"seed": seed} | point | {"accuracy": accuracy}


def main() -> None:
    """Train all of them and write the results."""
    torch.set_num_threads(1)
    total = len(SEEDS) * len(WIDTHS) * len(RATES)
    runs = tqdm(compare(load_dataset("fashion-mnist")), total=total, desc=NAME, unit="training")
    settings = {"epochs": EPOCHS, "images": IMAGES}
    path = save_results(NAME, list(runs), command=COMMAND, settings=settings)
    print(f"{total} records in {path}")


if __name__ == "__main__":
    main()
