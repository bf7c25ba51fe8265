"""The answer of a network to a drawing: a probability for each class, and its first maps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_utils.core import CourseError, evaluation_mode
from course_utils.data import Dataset


@dataclass(frozen=True)
class SeenDrawing:
    """The answer of a network to one drawing.

    Attributes:
        drawing: uint8 (1, height, width).
        probabilities: By class, in the order of the data set.
        layer: Name of the first convolution.
        maps: Its output, (channels, height, width).
    """

    drawing: Tensor
    probabilities: dict[str, float]
    layer: str
    maps: Tensor

    @property
    def first(self) -> tuple[str, float]:
        """The most probable class and its probability."""
        return max(self.probabilities.items(), key=lambda pair: pair[1])


def first_convolution(model: nn.Module) -> str:
    """Return the name of the first convolution.

    Raises:
        CourseError: If the network has none.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            return name
    raise CourseError("This network has no Conv2d, so it has no maps to show.")


def see_drawing(model: nn.Module, drawing: Tensor, data: Dataset) -> SeenDrawing:
    """Return what the network sees in a drawing.

    Args:
        drawing: uint8 (1, height, width), as the pictures of `data`.
        data: Its mean and standard deviation are those with which the network was trained.

    Raises:
        CourseError: If the network has no convolution, another number of classes, or does not
            return finite numbers.
    """
    layer = first_convolution(model)
    maps: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda *call: maps.append(call[2]))
    try:
        with torch.no_grad(), evaluation_mode(model):
            logits = model(data.normalise(drawing[None]))[0]
    finally:
        handle.remove()
    if logits.shape != (len(data.classes),):
        raise CourseError(
            f"The network returns {tuple(logits.shape)} numbers for a picture, but there are "
            f"{len(data.classes)} classes."
        )
    if not logits.isfinite().all():
        raise CourseError(
            "The network returns numbers that are not finite: its weights may be nan."
        )
    shares = dict(zip(data.classes, logits.softmax(0).tolist(), strict=True))
    return SeenDrawing(drawing, shares, layer, maps[0][0].detach())
