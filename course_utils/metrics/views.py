"""Test-time augmentation: a network looks at several views of a picture and answers once."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.core import check_network, whole_number


class AveragedViews(nn.Module):
    """A network that returns the mean of its logits over several views of each picture.

    The views are the picture and its mirror image, and with `shift` both also moved by so many
    pixels to the upper left and to the lower right (the border is reflected into the gap). Nothing
    is trained; it takes as many times longer as there are views (Krizhevsky et al. 2012, "ImageNet
    classification with deep convolutional neural networks", average over ten).

    Args:
        model: Takes (N, C, H, W), returns logits (N, classes).
        mirror: Whether to use the mirror image.
        shift: In pixels; 0 for no moved views.

    Raises:
        CourseError: If `model` is not a network, or `shift` is below 0.
    """

    def __init__(self, model: nn.Module, mirror: bool = True, shift: int = 0) -> None:
        check_network(model)
        super().__init__()
        self.model, self.mirror = model, mirror
        self.shift = whole_number("shift", shift, 0)

    def views(self, images: Tensor) -> list[Tensor]:
        """Return the views, each of the shape of `images`."""
        views = [images]
        if self.shift:
            height, width = images.shape[2:]
            padded = F.pad(images, (self.shift,) * 4, mode="reflect")
            views += [padded[..., s : s + height, s : s + width] for s in (0, 2 * self.shift)]
        return [*views, *(view.flip(3) for view in views)] if self.mirror else views

    def forward(self, images: Tensor) -> Any:
        return torch.stack([self.model(view) for view in self.views(images)]).mean(0)
