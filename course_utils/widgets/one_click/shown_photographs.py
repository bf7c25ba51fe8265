"""Photographs that the one-click lab shows to a network whose card names its classes."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.core import CourseError, shape_text, whole_number
from course_utils.data import PHOTOGRAPHS, load_photograph
from course_utils.models import Card
from course_utils.widgets.one_click.held_out import first_conv, why_refused

SIDE = 128
"""Side of the photographs in pixels, if the network takes it: a third of the time of 224."""


class Photographs:
    """Photographs as one network sees them; they have no labels.

    Attributes:
        images: float (N, C, H, W), prepared as the network's card says.
        names: of the photographs.
        shape: (C, H, W).
        card: of the network.
        data: None, because there is no labelled data.
    """

    data = None

    def __init__(self, pictures: Mapping[str, Tensor], card: Card, side: int):
        self.card, self.names = card, tuple(pictures)
        self.images = torch.stack([card.preprocess(one, side) for one in pictures.values()])
        self.shape = tuple(self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.images)

    def label(self, index: int) -> str:
        """Return the name of a photograph."""
        return self.names[index]

    def joined(self, name: str, photograph: Tensor) -> Photographs:
        """Return these photographs and one of the reader's, (3, H, W), as the last one.

        Its name gets a number if there is one of this name.
        """
        names = (name, *(f"{name} ({count})" for count in range(2, len(self) + 2)))
        new = copy.copy(self)
        new.names = (*self.names, next(one for one in names if one not in self.names))
        image = self.card.preprocess(photograph, self.shape[1])
        new.images = torch.cat([self.images, image[None]])
        return new

    def credit(self, index: int) -> str:
        """Return who made a photograph of the course; "" for the reader's own."""
        return PHOTOGRAPHS.get(self.names[index], "")

    def colours(self, index: int) -> Tensor:
        """Return what the network sees of a photograph: uint8 (H, W, 3)."""
        mean, std = (values[:, None, None] for values in (self.card.mean, self.card.std))
        picture = (self.images[index] * std + mean).clamp(0, 1) * 255
        return picture.round().to(torch.uint8).permute(1, 2, 0)


def load_photographs(source: Any = None) -> dict[str, Tensor]:
    """Return photographs by their names: (3, height, width), uint8 or floats from 0 to 1.

    Args:
        source: path of a picture, name of one of the course, or a tensor (3, height, width) or
            (1, height, width); or a list of them, or a dict of them by name. Default: those of the
            course.

    Raises:
        CourseError: there is no photograph, or one of them cannot be used.
    """
    if source is None:
        source = list(PHOTOGRAPHS)
    if not isinstance(source, (Mapping, list, tuple)):
        source = [source]
    if not isinstance(source, Mapping):
        named: dict[str, Any] = {}
        for one in source:
            name = first = _name(one)
            count = 1
            while name in named:
                count += 1
                name = f"{first} ({count})"
            named[name] = one
        source = named
    if not source:
        raise CourseError("There is no photograph in the list: give at least one.")
    return {str(name): _load(str(name), one) for name, one in source.items()}


def _name(source: Any) -> str:
    if isinstance(source, (str, os.PathLike)):
        return Path(source).stem or str(source)
    return "your picture"


def _load(name: str, source: Any) -> Tensor:
    if not isinstance(source, Tensor):
        return load_photograph(source)
    picture = source[None] if source.dim() == 2 else source
    if picture.dim() != 3 or len(picture) not in (1, 3) or not picture.numel():
        raise CourseError(
            f"The photograph {name!r} has the shape {tuple(source.shape)}: give a tensor"
            " (3, height, width) or (1, height, width)."
        )
    if picture.dtype != torch.uint8:
        if not picture.is_floating_point():
            raise CourseError(
                f"The photograph {name!r} has numbers of type {picture.dtype}: give uint8, or"
                " floats from 0 to 1.".replace("torch.", "")
            )
        low, high = (float(end) for end in picture.detach().aminmax())
        if not (low >= 0 and high <= 1):  # nan, too
            raise CourseError(
                f"The photograph {name!r} has numbers from {low:g} to {high:g}: give uint8, or"
                " floats from 0 to 1."
            )
    return picture.detach().cpu().expand(3, -1, -1)


def shows_photographs(card: Card | None, classes: int) -> bool:
    """Return whether a network is shown photographs, not labelled data with `classes` classes."""
    return card is not None and len(card.mean) == 3 and len(card.classes) != classes


def side_for(model: nn.Module, card: Card, side: int | None) -> int:
    """Return the side of the photographs: the given one, or else 128 or the card's.

    Raises:
        CourseError: the model does not take such a picture, or has no convolution.
    """
    first_conv(model)
    usual = dict.fromkeys((min(SIDE, card.size), card.size))
    sides = list(usual) if side is None else [whole_number("picture_size", side, 1)]
    for one in sides:
        problem = why_refused(model, (len(card.mean), one, one))
        if not problem:
            return one
    raise CourseError(
        f"This network does not take a photograph of {shape_text((one, one))} pixels ({problem})."
        f" It was made for {shape_text((card.size, card.size))}."
    )
