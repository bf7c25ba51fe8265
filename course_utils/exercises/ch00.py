"""The exercise of notebook 00: a first setting of a convolution layer."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from course_utils.exercises import answers
from course_utils.exercises.answers import Unsolved, Wrong, error_sentence, one_line
from course_utils.exercises.base import exercise

_SETTINGS = ("kernel_size", "stride", "padding", "dilation", "padding_mode")
_LARGEST = 500  # above it, the check would need gigabytes of memory


def _check_first_slider(settings: Any) -> str:
    if not isinstance(settings, Mapping):
        raise answers.wrong_kind(settings, 'a dict, such as {"kernel_size": 5}')
    for key, value in settings.items():
        if answers.is_missing(value):
            raise Unsolved(f"{one_line(key)} has no value yet")
        if key not in _SETTINGS:
            close = difflib.get_close_matches(str(key), _SETTINGS, n=1)
            meant = f"do you mean {close[0]}?" if close else f"use {', '.join(_SETTINGS)}"
            raise Wrong(
                f"{one_line(repr(key), 40)} is not one of this exercise's settings: {meant}"
            )
        numbers = value if isinstance(value, (tuple, list)) else (value,)
        if any(isinstance(number, int) and number > _LARGEST for number in numbers):
            raise Wrong(f"{key} {one_line(value, 40)} is far larger than the image, 28 × 28")
    if "kernel_size" not in settings:
        raise Wrong("kernel_size is missing: nn.Conv2d has no default for it")
    given = ", ".join(f"{key} {one_line(repr(value), 40)}" for key, value in settings.items())
    try:
        height, width = nn.Conv2d(1, 1, **settings)(torch.zeros(1, 1, 28, 28)).shape[-2:]
    except Exception as error:
        raise Wrong(f"with {given}, PyTorch says {error_sentence(error)}") from None
    if (height, width) != (14, 14):
        if height != width:
            why = "height and width must shrink equally"
        elif height > 14:
            why = "that is too large: a larger stride or a larger kernel makes it smaller"
        else:
            why = "that is too small: a smaller stride or more padding makes it larger"
        raise Wrong(f"with {given}, 28 × 28 becomes {height} × {width}, not 14 × 14; {why}")
    said = f"With {given}, 28 × 28 becomes 14 × 14."
    if settings.get("stride", 1) in (1, (1, 1), [1, 1]):
        return (
            f"{said} But by cutting away the border, not by halving: each number of the map now "
            "sees more than half of the image. Why would nobody do this? Try a stride, too."
        )
    return f"{said} There are other solutions: try to find one."


@exercise(
    "00.first_slider",
    check=_check_first_slider,
    is_value=True,
    hints=(
        "Move the stride slider of the panel above and watch the output size.",
        "A stride of 2 takes every second position, which about halves height and width. "
        "Padding adds pixels at the border, because a kernel larger than 1 makes the output "
        "smaller.",
        "Try kernel_size 3 with stride 2: 13 × 13. One pixel of padding on each side is missing.",
    ),
)
def first_slider() -> dict[str, int]:
    """Find settings of nn.Conv2d that turn a 28 × 28 image into a 14 × 14 one.

    Find them with the panel, then write them as a dict. {"kernel_size": 5, "stride": 1} is one that
    does not work (24 × 24). You may use kernel_size, stride and padding.
    There are many right answers.
    """
    return {"kernel_size": 3, "stride": 2, "padding": 1}
