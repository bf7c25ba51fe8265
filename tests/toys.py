"""Tiny data sets and models that learn in milliseconds."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.data import BoxSet, Dataset, ImageSet
from course_utils.models import Card


def stripes(count: int, *, channels: int = 1, size: int = 8, seed: int = 0) -> ImageSet:
    """Return noisy pictures of three classes: bright left side, bright right side, neither."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = torch.randint(0, 160, (count, channels, size, size), generator=generator)
    images[labels == 0, ..., : size // 2] += 90
    images[labels == 1, ..., size // 2 :] += 90
    return ImageSet(images.to(torch.uint8), labels, ("left", "right", "neither"))


def toy_data(train: int = 60, validation: int = 24, **options: int) -> Dataset:
    """Return a data set of stripes in three parts."""
    sets = [stripes(n, seed=i, **options) for i, n in enumerate((train, validation, 24))]
    return Dataset("stripes", "Stripes", *sets)


def toy_model(channels: int = 1, *, dropout: float = 0.0, norm: bool = False, seed: int = 0):
    """Return a convolution and a linear layer for the stripes; the seed determines the weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1),
            nn.BatchNorm2d(6) if norm else nn.Identity(),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(6 * 16, 3),
        )


class Strided(nn.Module):
    """A 1×1 convolution of few channels with a stride, in `forward` itself or as a layer.

    Training it with the channels last ends the process on some processors.
    """

    def __init__(self, in_forward: bool, channels: int = 1) -> None:
        super().__init__()
        layer = nn.Conv2d(channels, 12, 1, stride=2)
        self.layer = nn.ParameterList(layer.parameters()) if in_forward else layer
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        called = isinstance(self.layer, nn.ParameterList)
        x = F.conv2d(x, *self.layer, stride=2) if called else self.layer(x)
        return self.head(x.mean((2, 3)))


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of all parameters and buffers."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Return whether all values are equal, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def toy_card(classes: tuple[str, ...] = ("cat", "dog", "hen", "owl"), **changes: Any) -> Card:
    """Return the card of a network for colour pictures of 16 × 16 pixels."""
    facts = {"mean": torch.full((3,), 0.5), "std": torch.full((3,), 0.25), "size": 16, "resize": 18}
    return Card(name="toy", data="animals", classes=classes, **(facts | changes))


def box_set() -> BoxSet:
    """Return three dark pictures of 30 × 20 pixels, with bright boxes: two, none, and one."""
    boxes = [[[1.0, 2, 5, 6], [10, 0, 30, 8]], [], [[20.0, 15, 24, 20]]]
    images = torch.zeros(3, 3, 20, 30, dtype=torch.uint8)
    for picture, each in zip(images, boxes, strict=True):
        for left, top, right, bottom in each:
            picture[:, int(top) : int(bottom), int(left) : int(right)] = 255
    pairs = [torch.tensor(each).reshape(-1, 4) for each in boxes]
    labels = [torch.tensor(each, dtype=torch.int64) for each in ([0, 1], [], [0])]
    return BoxSet(images, pairs, labels, ("dot", "bar"))
