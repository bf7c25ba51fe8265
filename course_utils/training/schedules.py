"""Learning-rate schedules by name, for `fit(scheduler=...)`, made of torch's own schedulers.

A `Schedule` is a function of an optimizer and of the number of steps. Its peak is the optimizer's
learning rate. Its lengths are shares of the training, so one schedule fits any number of steps:

>>> import torch
>>> schedule = Schedule("cosine", warmup=0.25)
>>> [round(rate, 3) for rate in schedule_curve(schedule, 8, peak=0.1)]
[0.001, 0.051, 0.1, 0.093, 0.075, 0.051, 0.026, 0.008]

The shapes, with t the number of steps made so far and n the number of all steps:

- step: times gamma after each share of the steps (He et al. 2016, "Deep residual learning for
  image recognition");
- exponential: peak · final ** (t / n);
- cosine: Loshchilov & Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", without
  the restarts;
- warm-up: Goyal et al. 2017, "Accurate, large minibatch SGD: training ImageNet in 1 hour";
- one cycle: Smith & Topin 2018, "Super-convergence: very fast training of neural networks using
  large learning rates";
- plateau: times gamma whenever the validation loss has not fallen for a while.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from course_utils.core import CourseError, is_number, whole_number
from course_utils.training.optimizers import SchedulerFactory, build_scheduler

SHAPES: dict[str, tuple[str, ...]] = {
    "constant": ("warmup",),
    "step": ("warmup", "every", "gamma"),
    "exponential": ("warmup", "final"),
    "cosine": ("warmup", "final"),
    "one cycle": ("warmup", "final"),
    "plateau": ("gamma", "patience"),
}
"""Name of each shape, and the arguments of `Schedule` that it uses."""

WARMUP_START = 0.01
"""Share of the peak at which a warm-up starts."""

_CYCLE_START = 1 / 25  # torch's own for OneCycleLR


@dataclass(frozen=True)
class Schedule:
    """The course of the learning rate, as shares of its peak over shares of the training.

    The peak is the optimizer's learning rate. Give the schedule to `fit` as `scheduler=`, to be
    stepped after each step (the default); `fit` steps "plateau" after each epoch.

    Args:
        shape: one of `SHAPES`.
        warmup: share of the steps in which the rate first rises, linearly from a hundredth of the
            peak; for "one cycle" the share of its own rise, a cosine from 1/25.
        every: share of the steps between two drops of "step".
        gamma: factor of each drop of "step" and "plateau".
        final: share of the peak at the end of "exponential", "cosine" and "one cycle".
        patience: epochs without a lower validation loss after which "plateau" still waits.

    Raises:
        CourseError: unknown shape, a number outside its range, or for "plateau" a warm-up or a
            gamma of 1.
    """

    shape: str = "constant"
    warmup: float = 0.0
    every: float = 1 / 3
    gamma: float = 0.1
    final: float = 0.01
    patience: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.shape, str) or self.shape not in SHAPES:
            raise CourseError(
                f"There is no schedule {self.shape!r}: choose one of {', '.join(SHAPES)}."
            )
        for name in ("warmup", "every", "gamma", "final"):
            value = getattr(self, name)
            if not is_number(value):
                raise CourseError(f"{name}={value!r}: give a number, such as 0.1.")
        if not 0 <= self.warmup < 1:
            raise CourseError(
                f"warmup={self.warmup:g}: it is a share of the training, so give a number from 0 "
                "to below 1; 0.05 to 0.3 is usual."
            )
        if self.warmup and self.shape == "plateau":
            raise CourseError(
                "ReduceLROnPlateau has no warm-up, because torch cannot put it after another "
                "schedule: give warmup=0, or another shape."
            )
        for name in ("every", "gamma", "final"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise CourseError(f"{name}={value:g}: give a share above 0 and up to 1.")
        if self.gamma == 1 and self.shape == "plateau":
            raise CourseError(
                "gamma=1: the rate would never fall, so give ReduceLROnPlateau a share below 1, "
                "such as 0.1."
            )
        whole_number("patience", self.patience, 0)

    def __call__(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """Return the scheduler, to be stepped `steps` times.

        Raises:
            CourseError: a learning rate that is not positive, or too few steps.
        """
        peaks = [float(group["lr"]) for group in optimizer.param_groups]
        for rate in peaks:
            if not 0 < rate < math.inf:
                raise CourseError(
                    f"A learning rate of {rate:g} cannot be scheduled: give one above 0."
                )
        whole_number("steps", steps, 1)
        if self.shape == "one cycle":
            return self._one_cycle(optimizer, steps, peaks)
        if not self.warmup:
            return self._after_warmup(optimizer, steps, min(peaks))
        rise = round(self.warmup * steps)
        if not 1 <= rise < steps:
            raise CourseError(
                f"A warm-up over {self.warmup:g} of {steps} steps would last {rise} of them; it "
                "needs at least 1, and 1 after it: train longer, or change the share."
            )
        first = LinearLR(optimizer, WARMUP_START, total_iters=rise)
        then = self._after_warmup(optimizer, steps - rise, min(peaks))
        return SequentialLR(optimizer, [first, then], milestones=[rise])

    def _after_warmup(self, optimizer: Optimizer, steps: int, lowest_peak: float) -> LRScheduler:
        if self.shape == "step":
            return StepLR(optimizer, max(1, round(self.every * steps)), self.gamma)
        if self.shape == "exponential":
            return ExponentialLR(optimizer, self.final ** (1 / steps))
        if self.shape == "cosine":
            # torch has one lowest rate for all parameter groups.
            return CosineAnnealingLR(optimizer, steps, eta_min=self.final * lowest_peak)
        if self.shape == "plateau":
            return ReduceLROnPlateau(optimizer, factor=self.gamma, patience=self.patience)
        return ConstantLR(optimizer, factor=1.0, total_iters=0)

    def _one_cycle(self, optimizer: Optimizer, steps: int, peaks: list[float]) -> LRScheduler:
        if self.warmup and self.warmup * steps < 2:
            # torch's rise ends at step warmup · steps − 1, and torch divides by this number.
            raise CourseError(
                f"The rise of OneCycle over {self.warmup:g} of {steps} steps would last "
                f"{self.warmup * steps:g} of them and needs at least 2 (with exactly 1, torch "
                f"divides by zero): train longer, or rise over {min(0.5, 2 / steps):.2g} or more."
            )
        # By default torch would give momentum to a plain SGD, which should have none.
        momentum = "betas" in optimizer.defaults or all(
            group.get("momentum", 0) > 0 for group in optimizer.param_groups
        )
        shares = {"rise": self.warmup, "final": self.final}
        return one_cycle(optimizer, steps, peaks, **shares, cycle_momentum=momentum)

    @property
    def label(self) -> str:
        """The shape and its changed arguments, short enough for a chart: "cosine, warm-up 0.1"."""
        words = {"warmup": "rise" if self.shape == "one cycle" else "warm-up"}
        changed = [(name, value) for name, value in self._changed() if name in SHAPES[self.shape]]
        return ", ".join([self.shape, *(f"{words.get(name, name)} {v:.3g}" for name, v in changed)])

    @property
    def code(self) -> str:
        """Python code that makes it: "Schedule('cosine', warmup=0.1)"."""
        changed = (f"{name}={value!r}" for name, value in self._changed())
        return f"Schedule({', '.join([repr(self.shape), *changed])})"

    def _changed(self) -> list[tuple[str, float]]:
        """Return the name and value of each argument that is not the default, without the shape."""
        plain = asdict(Schedule(self.shape))
        return [(name, value) for name, value in asdict(self).items() if value != plain[name]]


SCHEDULES: dict[str, Schedule] = {
    "constant": Schedule("constant"),
    "StepLR": Schedule("step"),
    "exponential": Schedule("exponential"),
    "cosine": Schedule("cosine"),
    "warm-up + cosine": Schedule("cosine", warmup=0.1),
    "OneCycle": Schedule("one cycle", warmup=0.3),
    "ReduceLROnPlateau": Schedule("plateau"),
}
"""The schedules that the course compares."""


def one_cycle(
    optimizer: Optimizer,
    steps: int,
    peak: float | list[float],
    *,
    rise: float = 0.25,
    final: float = 4e-6,
    cycle_momentum: bool = True,
) -> LRScheduler:
    """Return torch's `OneCycleLR`, by default with a shorter rise than torch's own 0.3.

    If the rise would last one step or less, the optimizer's learning rate does not change.

    Args:
        optimizer: Its learning rate is replaced.
        steps: Number of times that the scheduler will be stepped.
        peak: Highest learning rate, or one for each parameter group.
        rise: Share of the steps in which the rate rises, from 1/25 of the peak.
        final: Share of the peak at the end; by default torch's own.
        cycle_momentum: Lower the momentum while the rate rises, and raise it again.
    """
    if 0 < rise * steps <= 1:  # OneCycleLR would divide by zero, or have no rise
        return ConstantLR(optimizer, factor=1.0, total_iters=0)
    return OneCycleLR(
        optimizer,
        peak,
        total_steps=steps,
        pct_start=float(rise),  # torch refuses a whole 0
        div_factor=1 / _CYCLE_START,
        final_div_factor=_CYCLE_START / final,
        cycle_momentum=cycle_momentum,
    )


def schedule_curve(schedule: SchedulerFactory, steps: int, *, peak: float = 1.0) -> list[float]:
    """Return the learning rate of each of `steps` steps, from a real scheduler.

    `ReduceLROnPlateau` depends on the validation loss, which is not known before. Its curve here is
    constant, as for a loss that never stops falling.

    Args:
        schedule: a `Schedule`, or any function of an optimizer and the number of steps.
        peak: the optimizer's learning rate.

    Raises:
        CourseError: `peak` is not positive, or the schedule cannot be made.
    """
    if not (is_number(peak) and 0 < peak < math.inf):
        raise CourseError(f"peak={peak}: a learning rate has to be a positive number.")
    # torch's OneCycleLR needs momentum by default.
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak, momentum=0.9)
    if schedule is None:
        raise CourseError("There is no schedule: give one of SCHEDULES, or a function.")
    scheduler = build_scheduler(optimizer, schedule, steps)
    rates = []
    for step in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        # One step more than OneCycleLR has would be an error.
        if step < steps - 1 and not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()
    return rates
