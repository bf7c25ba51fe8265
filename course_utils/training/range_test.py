"""The learning-rate range test: a short training whose rate rises until the loss explodes.

Smith 2017, "Cyclical learning rates for training neural networks": while the rate is too low the
loss does not change, then it falls, and where the rate is too high it jumps up. A few dozen steps
show all three, which saves ten trainings.
"""

from __future__ import annotations

import copy
import math
import threading
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ExponentialLR

from course_utils.core import CourseError, is_number, whole_number
from course_utils.data import Dataset
from course_utils.metrics import check_kinds
from course_utils.training.checks import check_stop
from course_utils.training.fit import fit
from course_utils.training.history import Diverged, Step
from course_utils.training.optimizers import OptimizerFactory
from course_utils.training.precision import Precision

MEMORY = 0.9
"""Weight of the old value in the running mean of the losses."""

EXPLODED = 2.0
"""The test ends when the running mean is this many times its lowest value."""

FEWEST = 10
"""With fewer steps there is nothing to see."""

KEPT = 0.75
"""The smoothed loss has risen when less than this share of its fall is left, until the end."""


@dataclass(frozen=True)
class RangeTest:
    """The result of a range test.

    Attributes:
        rates: learning rate of each step, rising.
        losses: of the batch before the step, in nats.
        smoothed: the losses, each averaged with its neighbours on both sides, so without a delay.
        steepest: the rate at which `smoothed` falls fastest over the logarithm of the rate.
        blow_up: the last rate at which `smoothed` keeps three quarters of its fall; infinite if the
            loss did not explode. The losses themselves explode later: the largest of them lift the
            average of the steps before.
        suggestion: suggested peak, √(`steepest` · `blow_up`), or `steepest` if nothing exploded;
            two significant digits.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    steepest: float
    blow_up: float
    suggestion: float

    @property
    def exploded(self) -> bool:
        """True if the loss exploded before the highest rate was reached."""
        return self.blow_up < math.inf


def range_test(
    model: nn.Module,
    data: Dataset,
    *,
    optimizer: OptimizerFactory | None = None,
    lowest: float = 1e-5,
    highest: float = 1.0,
    steps: int = 150,
    batch_size: int = 64,
    precision: str | Precision = "auto",
    seed: int = 0,
    stop: threading.Event | None = None,
) -> RangeTest:
    """Find a learning rate for `model` with one short training of a copy.

    From `lowest` to `highest` the rate is multiplied by the same factor at each step. The losses
    are smoothed. The suggested rate is halfway, on the logarithmic scale, between the rate at which
    they fall fastest (a safe rate) and the rate at which they rise again (not a safe one). It is a
    good peak for a schedule that falls again. If nothing explodes (the range is too low, or the
    pictures are so easy that no gradient is left), it is the safe rate.

    Args:
        model: does not change.
        data: only its training pictures are used.
        optimizer: as for `fit`, but not a ready one. Default: AdamW.
        lowest, highest: ends of the range.
        steps: 30 or more.
        batch_size, precision, seed: as for `fit`.
        stop: ends the test early when it is set; after at least ten steps there is a result.

    Raises:
        CourseError: a wrong range, number of steps or batch size, a ready optimizer, a model that
            cannot be copied, a first loss that is not finite, a test that ended too early, or a
            loss that never falls.
    """
    check_kinds(model, data)
    if isinstance(optimizer, Optimizer):
        raise CourseError(
            "A ready optimizer changes the weights of your own model, but the range test trains a "
            "copy: give the optimizer's class, such as torch.optim.SGD."
        )
    for name, value in (("lowest", lowest), ("highest", highest)):
        if not (is_number(value) and 0 < value < math.inf):
            raise CourseError(f"{name}={value}: a learning rate has to be a positive number.")
    if lowest >= highest:
        raise CourseError(
            f"The range from {lowest:g} to {highest:g} does not rise: lowest has to be below "
            "highest, best by a factor of 1,000 or more."
        )
    whole_number("steps", steps, 30)
    whole_number("batch_size", batch_size, 1)
    check_stop(stop)
    watch = _Ending(steps, stop)
    if watch.asked():
        raise _stopped(after=0)
    batches = max(1, math.ceil(len(data.train) / batch_size))
    # Validation after each epoch would cost time and is not needed.
    pictures = replace(data, validation=data.validation.subset(torch.arange(0)))
    factor = (highest / lowest) ** (1 / (steps - 1))
    try:
        history = fit(
            _copy(model),
            pictures,
            epochs=math.ceil(steps / batches) + 1,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=lowest,
            scheduler=lambda made, _: ExponentialLR(made, factor),
            precision=precision,
            seed=seed,
            stop=watch,
            on_step=watch,
            progress=False,
        )
    except Diverged as error:
        if error.learning_rate is None:  # before the first step: the rate is not the cause
            raise
        history, watch.exploded = error.history, True
    seen = len(history.step_loss)
    if seen < FEWEST and watch.asked():
        raise _stopped(after=seen)
    return _evaluate(history.step_learning_rate[:seen], history.step_loss, watch.exploded)


class _Ending:
    """The `on_step` and the `stop` of `fit`: an end after `steps`, an explosion or a `stop`."""

    def __init__(self, steps: int, stop: threading.Event | None) -> None:
        self.steps, self.stop = steps, stop
        self.over = self.exploded = False
        self._mean, self._lowest = 0.0, math.inf

    def __call__(self, step: Step) -> None:
        self._mean = MEMORY * self._mean + (1 - MEMORY) * step.loss
        # Because it starts at 0, the running mean is too small by this factor.
        mean = self._mean / (1 - MEMORY**step.step)
        self._lowest = min(self._lowest, mean)
        self.exploded = mean > EXPLODED * self._lowest
        self.over = self.exploded or step.step >= self.steps

    def asked(self) -> bool:
        """Return whether the caller wants it to end."""
        return self.stop is not None and self.stop.is_set()

    def is_set(self) -> bool:
        """Return whether the training has to end, as `threading.Event` does."""
        return self.over or self.asked()


def _stopped(after: int) -> CourseError:
    return CourseError(
        f"The range test was stopped after {after} steps, too few to see anything: let it run for "
        f"at least {FEWEST}."
    )


def _evaluate(rates: list[float], losses: list[float], exploded: bool) -> RangeTest:
    if len(losses) < FEWEST:
        raise CourseError(
            f"The range test ended after {len(losses)} steps, too few to see anything: begin with "
            f"a lower rate than {rates[0]:.2g}."
        )
    smoothed = _smooth(np.array(losses))
    lowest = int(smoothed.argmin())
    start = float(smoothed[: max(3, len(losses) // 20)].mean())
    if not smoothed[lowest] < 0.95 * start:
        remedy = f"begin below {rates[0]:.2g}" if exploded else f"go on beyond {rates[-1]:.2g}"
        raise CourseError(
            f"The loss did not fall between the rates {rates[0]:.2g} and {rates[-1]:.2g}, so there "
            f"is nothing to suggest: {remedy}, or check whether the model can learn these pictures."
        )
    slopes = np.gradient(smoothed, np.log(rates))
    steepest = rates[int(slopes[: lowest + 1].argmin())]
    blow_up, suggestion = math.inf, steepest
    if exploded:
        # The last rate, not the first, because the loss of single batches goes up and down.
        kept = np.flatnonzero(smoothed <= start - KEPT * (start - smoothed[lowest]))
        blow_up = rates[int(kept[-1])]
        suggestion = math.sqrt(steepest * blow_up)
    rounded = float(f"{suggestion:.2g}")
    return RangeTest(rates, losses, smoothed.tolist(), steepest, blow_up, rounded)


def _smooth(losses: np.ndarray) -> np.ndarray:
    """Return each loss averaged with its neighbours, with Gaussian weights."""
    width = max(1.0, len(losses) / 20)  # standard deviation of the weights, in steps
    places = np.arange(len(losses))
    weights = np.exp(-0.5 * ((places[:, None] - places) / width) ** 2)
    return (weights @ losses) / weights.sum(axis=1)


def _copy(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:
        raise CourseError(
            "The model cannot be copied, and the range test would change it: first make permanent "
            f"what computes a weight from others (such as a pruning mask). torch says: {error}"
        ) from error
