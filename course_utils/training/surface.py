"""Show gradient descent on the loss surface of a model with two parameters.

The surface is a valley, f(a, b) = (λ₁ a² + λ₂ b²) / 2, flat along a and steep along b: near its
minimum the loss of a network also has very different curvatures λ. Each step of plain gradient
descent with the rate r multiplies a by 1 − r λ₁ and b by 1 − r λ₂. Above r = 2 / λ₂ the steps in b
jump from side to side and grow; far below it a hardly changes (LeCun et al. 1998, "Efficient
backprop").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from course_utils.core import CourseError, is_number, whole_number
from course_utils.training.optimizers import make_optimizer

CURVATURES = (1.0, 20.0)
START = (-4.0, 1.0)


@dataclass(frozen=True)
class Descent:
    """The path of an optimizer on the surface.

    Attributes:
        path: (a, b) before the first step and after each one.
        losses: f at each of these points.
        curvatures: λ₁ and λ₂.
    """

    path: list[tuple[float, float]]
    losses: list[float]
    curvatures: tuple[float, float] = CURVATURES


def descend(
    optimizer: Callable[..., Optimizer], learning_rate: float, *, steps: int = 30
) -> Descent:
    """Return the path of a real optimizer down the valley; nothing is random.

    Args:
        optimizer: a class or function that takes a list of parameters and `lr`.
        steps: the path ends before a number overflows, perhaps after fewer.

    Raises:
        CourseError: a rate that is not positive, no step, or an optimizer that cannot be made.
    """
    if not (is_number(learning_rate) and 0 < learning_rate < math.inf):
        raise CourseError(f"learning_rate={learning_rate}: it has to be a positive number.")
    whole_number("steps", steps, 1)
    place = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(CURVATURES, dtype=torch.float64)
    walker = make_optimizer(optimizer, [place], lr=learning_rate)
    path, losses = [], []
    with torch.enable_grad():
        for step in range(steps + 1):
            loss = (scale * place**2).sum() / 2
            if not math.isfinite(loss.item()):
                break
            path.append(tuple(place.tolist()))
            losses.append(loss.item())
            if step < steps:
                walker.zero_grad()
                loss.backward()
                walker.step()
    return Descent(path, losses)
