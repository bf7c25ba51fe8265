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
from course_utils.training.optimizers import SchedulerFactory, build_scheduler, make_optimizer

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
    optimizer: Callable[..., Optimizer],
    learning_rate: float,
    *,
    steps: int = 30,
    curvatures: tuple[float, float] = CURVATURES,
    noise: float = 0.0,
    scheduler: SchedulerFactory | None = None,
    seed: int = 0,
) -> Descent:
    """Return the path of a real optimizer down the valley.

    Args:
        optimizer: a class or function that takes a list of parameters and `lr`.
        steps: the path ends before a number overflows, perhaps after fewer.
        curvatures: λ₁ and λ₂, positive.
        noise: standard deviation of the random number that is added to each slope before each
            step, as the gradient of a batch differs from that of all pictures.
        scheduler: a `Schedule`, or any function of an optimizer and the number of steps.
        seed: of the noise.

    Raises:
        CourseError: a rate or a curvature that is not positive, a negative noise, no step, or an
            optimizer or a schedule that cannot be made.
    """
    numbers = {"learning_rate": learning_rate, "λ₁": curvatures[0], "λ₂": curvatures[1]}
    for name, value in numbers.items():
        if not (is_number(value) and 0 < value < math.inf):
            raise CourseError(f"{name}={value}: it has to be a positive number.")
    if not (is_number(noise) and 0 <= noise < math.inf):
        raise CourseError(f"noise={noise}: it is a standard deviation, so give 0 or more.")
    whole_number("steps", steps, 1)
    place = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(curvatures, dtype=torch.float64)
    draw = torch.Generator().manual_seed(seed)
    walker = make_optimizer(optimizer, [place], lr=learning_rate)
    rates = build_scheduler(walker, scheduler, steps)
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
                if noise:
                    place.grad += noise * torch.randn(2, generator=draw, dtype=torch.float64)
                walker.step()
                if rates is not None:
                    rates.step()
    return Descent(path, losses, tuple(curvatures))
