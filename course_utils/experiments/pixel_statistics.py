"""Measure the mean and the standard deviation of pixels, and what ImageNet's would do (§2.3.2).

    COURSE_DATA_DIR=... python -m course_utils.experiments.pixel_statistics

writes `assets/results/pixel_statistics.json`, in seconds. It needs CIFAR-10, which the course does
not ship.
"""

from __future__ import annotations

from collections.abc import Iterator

from course_utils.data import Dataset, load_dataset
from course_utils.experiments.results import Record, command_of, save_results

NAME = "pixel_statistics"
COMMAND = command_of(__file__)
IMAGENET = {"red": (0.485, 0.229), "green": (0.456, 0.224), "blue": (0.406, 0.225)}
"""Mean and standard deviation of each channel, as torchvision's networks use them."""


def statistics(data: Dataset) -> Iterator[Record]:
    """Yield a record for each channel of the training images (validation images included).

    `offset` and `deviation` are the mean and the standard deviation that the pixels have after they
    were standardised with ImageNet's numbers: 0 and 1 would be right.
    """
    for channel, mean, std in zip(IMAGENET, data.mean.tolist(), data.std.tolist(), strict=True):
        middle, spread = IMAGENET[channel]
        record = {"data": data.name, "channel": channel, "mean": mean, "std": std}
        yield record | {"offset": (mean - middle) / spread, "deviation": std / spread}


def main() -> None:
    """Measure CIFAR-10 and write the results."""
    path = save_results(
        NAME, list(statistics(load_dataset("cifar10", validation=0.0))), command=COMMAND
    )
    print(f"The statistics of three channels are in {path}")


if __name__ == "__main__":
    main()
