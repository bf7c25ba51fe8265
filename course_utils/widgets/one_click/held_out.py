"""The held-out images that the one-click lab shows to a network, in a shape that it accepts."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.core import CourseError, error_line, evaluation_mode
from course_utils.data import Dataset

MOST, LEAST = 256, 32
"""Images that are classified for an accuracy: the most, and the least for a costly network."""

_MOST_NUMBERS = 2**24  # in all held-out images together: 64 MiB
_USUAL_SIDES = (64, 32, 28, 224, 96, 128, 256, 299)


class HeldOutImages:
    """Images that are not used for training, in the shape that one network accepts.

    They are the first validation images; without validation images, the first test images.

    Attributes:
        images: float (N, C, H, W), normalised like the data set.
        labels: int64 (N,).
        shape: (C, H, W).
    """

    def __init__(self, data: Dataset, shape: tuple[int, int, int]):
        part = data.validation if len(data.validation) else data.test
        most = max(LEAST, min(MOST, _MOST_NUMBERS // math.prod(shape)))
        self.data, self.shape = data, shape
        self.images = adapt_images(data.normalise(part.images[:most]), shape)
        self.labels = part.labels[:most]

    def __len__(self) -> int:
        return len(self.images)

    def label(self, index: int) -> str:
        """Return the class of an image."""
        return self.data.classes[int(self.labels[index])]


def adapt_images(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Return float images (N, c, h, w) as (N, C, H, W).

    One channel is repeated, several are averaged if there must be one, and repeated from the first
    if there must be more. Sizes are interpolated.
    """
    channels, *size = shape
    if channels == 1 < images.shape[1]:
        images = images.mean(1, keepdim=True)
    elif images.shape[1] != channels:
        images = images[:, torch.arange(channels) % images.shape[1]]
    if list(images.shape[2:]) != size:
        images = F.interpolate(images, size=tuple(size), mode="bilinear", antialias=True)
    return images


def as_input(model: nn.Module, images: Tensor) -> Tensor:
    """Return the images on the device of the model, in the dtype of its weights."""
    return images.to(next(p for p in model.parameters() if p.is_floating_point()))


def find_input_shape(model: nn.Module, data: Dataset) -> tuple[int, int, int]:
    """Return the first usual image shape (C, H, W) that the model accepts.

    Raises:
        CourseError: the model has no `nn.Conv2d`, is on the meta device, or accepts no usual shape.
    """
    first = first_conv(model)
    shapes = _usual_shapes(first.in_channels, data.image_shape)
    problem = ""
    for shape in shapes:
        why = why_refused(model, shape)
        if not why:
            return shape
        problem = problem or why
    raise CourseError(
        f"This network accepts no image of {first.in_channels} channels and a usual size"
        f" ({shapes[0][1]}×{shapes[0][2]}, {', '.join(map(str, _USUAL_SIDES))} pixels)."
        f" Its first error is {problem}"
    )


def first_conv(model: nn.Module) -> nn.Conv2d:
    """Return the first convolution by name.

    Raises:
        CourseError: the model has none, or is on the meta device.
    """
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None:
        raise CourseError("This network has no Conv2d, so there is nothing to edit here.")
    if any(parameter.is_meta for parameter in model.parameters()):
        raise CourseError("This network is on the meta device: its weights have no values.")
    return first


@torch.no_grad()
def why_refused(model: nn.Module, shape: tuple[int, int, int]) -> str:
    """Return the error of a model that does not take an image of this shape; "" if it does."""
    try:
        with evaluation_mode(model):
            model(as_input(model, torch.zeros(1, *shape)))
    except Exception as error:
        return error_line(error)
    return ""


def _usual_shapes(first: int, own: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Return the shapes to try, the likeliest first; `own` is the shape of the data's images.

    `first` counts the input channels of the network's first convolution by name. The forward pass
    may call another one first, so other numbers of channels are tried, too.
    """
    shapes = []
    for channels in dict.fromkeys((first, own[0], 3, 1)):
        if channels == own[0]:
            shapes.append(own)
        shapes += [(channels, side, side) for side in _USUAL_SIDES]
    return shapes
