"""The channel stepper: how one kernel reads an image in colour, with every number shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import torch
from torch import Tensor

from course_utils.conv import ChannelSteps, WindowStep, sobel
from course_utils.core import decimal_text, sum_text
from course_utils.widgets.channel_stepper import picture as stepper_picture
from course_utils.widgets.panel import Panel, choice, int_slider

NAMES = ("red", "green", "blue")
SIDE = 6


def _filled(*levels: float) -> Tensor:
    return torch.tensor(levels, dtype=torch.float32)[:, None, None].expand(-1, SIDE, SIDE).clone()


def _square() -> Tensor:
    """Return a red square on blue ground."""
    image = _filled(1, 1, 7)
    image[:, 2:4, 2:4] = torch.tensor([9.0, 1, 1])[:, None, None]
    return image


def _edge() -> Tensor:
    """Return a grey image, dark on the left and light on the right: all channels are alike."""
    image = _filled(2, 2, 2)
    image[:, :, 3:] = 7
    return image


def _halves() -> Tensor:
    """Return green on the left, red on the right, both equally bright."""
    image = _filled(1, 7, 1)
    image[:, :, 3:] = torch.tensor([7.0, 1, 1])[:, None, None]
    return image


_MIDDLE = torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]])
IMAGES = {
    "red square on blue": _square,
    "green beside red": _halves,
    "grey edge": _edge,
}
KERNELS = {
    "red minus blue": lambda: torch.stack([_MIDDLE, 0 * _MIDDLE, -_MIDDLE]),
    "red edge only": lambda: torch.stack([sobel("x"), 0 * _MIDDLE, 0 * _MIDDLE]),
    "edge in every channel": lambda: sobel("x").expand(3, 3, 3).clone(),
    "red edge, green edge turned": lambda: torch.stack([sobel("x"), -sobel("x"), 0 * _MIDDLE]),
    "mean of the channels": lambda: (_MIDDLE / 3).expand(3, 3, 3).clone(),
}


@dataclass(frozen=True)
class View:
    """One window in each channel.

    Attributes:
        image: (3, H, W), from 0 to 9.
        steps: of all channels.
        position: of the window, counted row by row from 0.
    """

    image: Tensor
    steps: ChannelSteps
    position: int

    @property
    def windows(self) -> list[WindowStep]:
        """The window in each channel."""
        return [steps[self.position] for steps in self.steps.channels]

    @property
    def value(self) -> float:
        """The output number of the window."""
        return self.steps.output.flatten()[self.position].item()


class ChannelStepper(Panel):
    """A kernel of three grids that slides over the three channels of a small image."""

    def __init__(self, **settings: Any):
        controls = {
            "image": choice("image", list(IMAGES)),
            "kernel": choice("kernel", list(KERNELS)),
            "bias": int_slider("bias", 0, -9, 9),
            "position": int_slider("position", 0, 0, (SIDE - 2) ** 2 - 1),
        }
        self.play = widgets.Play(min=0, max=controls["position"].max, interval=700)
        self.play.show_repeat = False
        widgets.link((self.play, "value"), (controls["position"], "value"))
        title = "Convolution of several channels"
        width = stepper_picture.WIDTH
        super().__init__(controls, title=title, width=width, extra=(self.play,), initial=settings)

    def compute(self, *, image: str, kernel: str, bias: int, position: int) -> View:
        pixels = IMAGES[image]()
        return View(pixels, ChannelSteps(pixels, KERNELS[kernel](), bias), position)

    def picture(self, result: View) -> bytes:
        return stepper_picture.draw(result, NAMES)

    def describe(self, result: View) -> str:
        windows = result.windows
        rows, columns = result.steps.output.shape
        named = zip(NAMES, windows, strict=True)
        sums = ", ".join(f"{name} {decimal_text(window.sum)}" for name, window in named)
        terms = [decimal_text(window.sum) for window in windows]
        terms.append(decimal_text(result.steps.bias))
        return (
            f"window {result.position} of 0…{rows * columns - 1} (row {windows[0].row}, column "
            f"{windows[0].col}): {sums}, bias {terms[-1]}; output = {sum_text(terms)} = "
            f"{decimal_text(result.value)}; output {rows} × {columns}"
        )

    def code(self, result: View) -> str:
        first = result.windows[0]
        bias = f", bias=torch.tensor([{result.steps.bias:.1f}])" if result.steps.bias else ""
        call = f"F.conv2d(image[None], kernel[None]{bias})"
        return f"{call}[0, 0, {first.row}, {first.col}]  # {result.value:g}"


def channel_stepper(**settings: Any) -> ChannelStepper:
    """Open the channel stepper; the arguments are first values of its controls."""
    return ChannelStepper(**settings)
