"""The valley panel: gradient descent on a loss that can be drawn, with sliders for its rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from course_utils import plots
from course_utils.core import MINUS, power_of_ten
from course_utils.training import Descent, descend
from course_utils.widgets.controls import steps_slider
from course_utils.widgets.panel import Panel, float_slider

_STEPS = 30
_CURVATURES = (10, 20, 40)


@dataclass(frozen=True)
class Walk:
    """The settings, and the path of gradient descent with them."""

    rate: float
    momentum: float
    curvature: float
    descent: Descent

    @property
    def label(self) -> str:
        """The settings in words."""
        momentum = f", momentum {self.momentum:g}" if self.momentum else ""
        return f"rate {self.rate:g}{momentum}, steep curvature {self.curvature:g}"


def walk(rate: float, momentum: float, curvature: float) -> Walk:
    """Return the path of SGD down a valley with the curvatures 1 and `curvature`.

    Raises:
        CourseError: a rate or a curvature that is not positive, or a negative momentum.
    """
    optimizer = partial(torch.optim.SGD, momentum=momentum)
    found = descend(optimizer, rate, steps=_STEPS, curvatures=(1.0, curvature))
    return Walk(rate, momentum, curvature, found)


class ValleyPanel(Panel):
    """Valley panel: rate × momentum × curvature -> the path of gradient descent, and its losses.

    Args:
        settings: first values of the controls `rate`, `momentum` and `curvature`.

    Raises:
        CourseError: a control cannot have such a value.
    """

    def __init__(self, **settings: Any):
        controls = {
            "rate": float_slider("rate", 0.01, 0.005, 0.25, 0.005, ".3f"),
            "momentum": float_slider("momentum", 0.0, 0.0, 0.95, 0.05),
            "curvature": steps_slider("curvature", _CURVATURES, 20),
        }
        super().__init__(controls, title="Valley panel", width=640, initial=settings)

    def compute(self, *, rate: float, momentum: float, curvature: float) -> Walk:
        return walk(rate, momentum, curvature)

    def picture(self, result: Walk) -> bytes:
        return plots.descents({result.label: result.descent}).to_png(compress_level=1)

    def describe(self, result: Walk) -> str:
        losses = result.descent.losses
        last = "less than 0.0001" if losses[-1] < 1e-4 else _short(losses[-1])
        a, b = (_short(value) for value in result.descent.path[-1])
        steps = len(result.descent.path) - 1
        return (
            f"{result.label[0].upper()}{result.label[1:]}. After {steps} steps: a = {a}, b = {b}; "
            f"the loss went from {_short(losses[0])} to {last}."
        )

    def code(self, result: Walk) -> str:
        momentum = result.momentum
        optimizer = f"partial(torch.optim.SGD, momentum={momentum:g})" if momentum else ""
        other = "" if result.curvature == 20 else f", curvatures=(1, {result.curvature:g})"
        return f"descend({optimizer or 'torch.optim.SGD'}, {result.rate:g}{other})"


def valley_panel(**settings: Any) -> ValleyPanel:
    """Open the valley panel; the arguments are those of `ValleyPanel`."""
    return ValleyPanel(**settings)


def _short(value: float) -> str:
    """Write a number with two digits, from 1,000 on as a power of ten."""
    if abs(value) < 5e-5:  # "-0" and "3.1e-13" say nothing more
        return "0"
    sign = MINUS if value < 0 else ""
    if abs(value) >= 1000:
        return f"about {sign}{power_of_ten(round(math.log10(abs(value))))}"
    return f"{sign}{abs(value):.{3 if abs(value) >= 100 else 2}g}"
