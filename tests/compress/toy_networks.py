"""A small network with all that pruning must respect, and its pictures."""

from __future__ import annotations

import torch
from torch import nn

from course_utils.data import Dataset
from course_utils.models import SmallResNet
from course_utils.training import fit
from tests.toys import toy_data

DATA = toy_data(train=120, validation=60)
PICTURES = DATA.normalise(DATA.test.images)


def toy_resnet(widths: tuple[int, ...] = (8, 16), *, seed: int = 0) -> SmallResNet:
    """Return a residual network for the stripes; the seed determines the weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SmallResNet(1, 3, widths).eval()


def trained_resnet(data: Dataset = DATA) -> SmallResNet:
    """Return one that tells the stripes apart."""
    model = toy_resnet()
    fit(
        model,
        data,
        epochs=4,
        batch_size=30,
        learning_rate=0.01,
        precision="float32",
        progress=False,
    )
    return model


def widths_of(model: nn.Module) -> list[int]:
    """Return the output channels of all convolutions."""
    return [layer.out_channels for layer in model.modules() if isinstance(layer, nn.Conv2d)]
