"""Facts about a trained network: its classes, and the pictures that it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from course_utils.core import CourseError, whole_number


@dataclass(frozen=True, kw_only=True)
class Card:
    """Facts about a trained network.

    Attributes:
        name: Its name, for `load_pretrained`.
        data: Name of the data set that it was trained on.
        classes: Names of the classes, in the order of the network's scores.
        mean, std: Float32 (C,), to normalise its pictures (scaled to [0, 1]).
        size: Side of the square pictures that it was made for, in pixels.
        resize: Length of a picture's shorter side before its middle is cut out.
        interpolation: How a picture is resized: "bilinear" or "bicubic".
    """

    name: str
    data: str
    classes: tuple[str, ...] = field(repr=False)
    mean: Tensor
    std: Tensor
    size: int
    resize: int
    interpolation: str = "bilinear"

    def preprocess(self, picture: Tensor, size: int | None = None) -> Tensor:
        """Return a picture as the network takes it: resized, its middle cut out, normalised.

        For a network of torchvision it is the same as `weights.transforms()(picture)`.

        Args:
            picture: (..., C, height, width), uint8 or floats from 0 to 1.
            size: Side of the result in pixels; None for the size of the card.

        Returns:
            Float32 (..., C, size, size).

        Raises:
            CourseError: If it is not such a picture.
        """
        from torchvision.transforms import functional

        picture = self.pixels(picture, size)
        return functional.normalize(picture, self.mean.tolist(), self.std.tolist())

    def pixels(self, picture: Tensor, size: int | None = None) -> Tensor:
        """Return a picture as `preprocess` does, but not yet normalised.

        Args:
            picture, size: As for `preprocess`.

        Returns:
            Float32 (..., C, size, size); from 0 to 1 if the picture is uint8.

        Raises:
            CourseError: If it is not such a picture.
        """
        # Importing torchvision takes a second.
        from torchvision.transforms import InterpolationMode, functional

        side = self.size if size is None else whole_number("size", size, 1)
        self._check(picture)
        height, width = picture.shape[-2:]
        # A strip of 1 × 10,000 pixels would become 256 × 2,560,000.
        picture = functional.center_crop(picture, [min(height, 4 * width), min(width, 4 * height)])
        resize = max(side, round(side * self.resize / self.size))
        mode = InterpolationMode(self.interpolation)
        picture = functional.resize(picture, [resize], mode, antialias=True)
        picture = functional.center_crop(picture, [side, side])
        return functional.convert_image_dtype(picture, torch.float32)

    def _check(self, picture: Any) -> None:
        channels = len(self.mean)
        if not isinstance(picture, Tensor):
            found = f"a {type(picture).__name__}"
        elif picture.dtype != torch.uint8 and not picture.is_floating_point():
            found = f"numbers of type {picture.dtype}".replace("torch.", "")
        elif picture.dim() < 3 or picture.shape[-3] != channels or not picture.numel():
            found = f"a tensor of shape {tuple(picture.shape)}"
        else:
            return
        raise CourseError(
            f"{self.name} takes a picture of shape ({channels}, height, width), uint8 or floats "
            f"from 0 to 1, not {found}."
        )


@dataclass(frozen=True, kw_only=True)
class CourseCard(Card):
    """Facts about a network that the course trained.

    Attributes:
        correct, total: Number of test pictures that it classified correctly, and of all.
        recipe: The arguments of `fit`, as text.
        arguments: Arguments of the model's class.
    """

    correct: int
    total: int
    recipe: dict[str, str] = field(repr=False)
    arguments: dict[str, Any] = field(repr=False)

    @property
    def accuracy(self) -> float:
        """Share of the test pictures that it classified correctly."""
        return self.correct / self.total
