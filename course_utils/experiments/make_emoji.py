"""Make the shipped data set of emoji from the npm package emoji-datasource-google.

    npm pack emoji-datasource-google@16.0.0 && tar xzf emoji-datasource-google-16.0.0.tgz
    python -m course_utils.experiments.make_emoji package

The pictures are Google's Noto emoji, 64 × 64, under the Apache License 2.0; they come onto white.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from course_utils.core import atomic_write
from course_utils.data import ImageSet, load_photograph

GROUPS = {
    "mammals": ("animal-mammal",),
    "other animals": (
        *("animal-bird", "animal-bug", "animal-marine", "animal-reptile", "animal-amphibian"),
    ),
    "plants and fruit": ("food-fruit", "food-vegetable", "plant-flower", "plant-other"),
    "dishes": ("food-prepared", "food-asian", "food-sweet"),
    "vehicles": ("transport-ground", "transport-air", "transport-water"),
    "buildings": ("place-building", "place-religious", "place-other"),
    "clothes": ("clothing",),
    "tools": ("tool", "household"),
}
"""Class -> Unicode's subgroups of emoji."""

TRAIN, TEST = 30, 15  # of each class
FILE = Path(__file__).parents[1] / "assets" / "emoji.npz"


def make(package: Path, seed: int = 0) -> tuple[ImageSet, ImageSet]:
    """Return the training and the test pictures, the same number of each class."""
    every = json.loads((package / "emoji.json").read_text("utf-8"))
    generator = torch.Generator().manual_seed(seed)
    parts = [], []
    for subgroups in GROUPS.values():
        mine = [e["image"] for e in every if e["subcategory"] in subgroups and e["has_img_google"]]
        order = torch.randperm(len(mine), generator=generator)[: TRAIN + TEST].tolist()
        pictures = [load_photograph(package / "img/google/64" / mine[i]) for i in order]
        parts[0].extend(pictures[:TRAIN])
        parts[1].extend(pictures[TRAIN:])
    classes = tuple(GROUPS)
    labels = torch.arange(len(classes))
    train, test = (torch.stack(part) for part in parts)
    return (
        ImageSet(train, labels.repeat_interleave(TRAIN), classes),
        ImageSet(test, labels.repeat_interleave(TEST), classes),
    )


def write(train: ImageSet, test: ImageSet, path: Path = FILE) -> None:
    """Write the file, compressed: drawings become a third of their size."""
    arrays = {}
    for part, one in (("train", train), ("test", test)):
        arrays[f"{part}_images"] = one.images.permute(0, 2, 3, 1).numpy()
        arrays[f"{part}_labels"] = one.labels.to(torch.uint8).numpy()
    with atomic_write(path) as file:
        np.savez_compressed(file, classes=np.array(train.classes), **arrays)


if __name__ == "__main__":
    write(*make(Path(sys.argv[1])))
