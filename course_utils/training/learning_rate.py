"""Train with a plan for the learning rate: optimizer, peak and schedule.

`train_with` trains the same network from the same first weights with one `RatePlan`, so that only
the learning rate makes a difference. Divergence is a result here, not an error, because it shows
that a rate is too high.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import nn

from course_utils.core import CourseError, seeded, whole_number
from course_utils.data import Dataset
from course_utils.models import SimpleCNN
from course_utils.training.fit import fit
from course_utils.training.history import Diverged, History
from course_utils.training.optimizers import COMPARED_OPTIMIZERS, OPTIMIZERS
from course_utils.training.schedules import Schedule

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class RatePlan:
    """A plan for the learning rate, and the size of the training.

    Args:
        schedule: the learning rate over the training, as shares of the peak.
        peak: the highest learning rate.
        optimizer: one of `COMPARED_OPTIMIZERS`.
        epochs: passes over the pictures.
        pictures: number of training pictures, the same number of each class.

    Raises:
        CourseError: a number outside its range, or an unknown optimizer.
    """

    schedule: Schedule = field(default_factory=Schedule)
    peak: float = 0.03
    optimizer: str = "SGD + momentum"
    epochs: int = 4
    pictures: int = 3000

    def __post_init__(self) -> None:
        if self.optimizer not in COMPARED_OPTIMIZERS:
            raise CourseError(
                f"There is no optimizer {self.optimizer!r} here: choose one of "
                f"{', '.join(COMPARED_OPTIMIZERS)}."
            )
        if not 0 < self.peak < math.inf:
            raise CourseError(f"peak={self.peak}: a learning rate has to be a positive number.")
        for name in ("epochs", "pictures"):
            whole_number(name, getattr(self, name), 1)

    @property
    def label(self) -> str:
        """Optimizer, peak and schedule, short enough for a chart."""
        return f"{self.optimizer} {self.peak:.2g}, {self.schedule.label}"


@dataclass(frozen=True)
class RateRun:
    """The result of a training with one plan.

    Attributes:
        history: the curves, until the training diverged if it did.
        diverged: a sentence that says where it diverged; "" if it did not.
    """

    plan: RatePlan
    history: History
    diverged: str = ""

    @property
    def label(self) -> str:
        """The label of the plan."""
        return self.plan.label

    @property
    def validation_accuracy(self) -> float:
        """Accuracy after the last epoch; nan if it diverged or no epoch is finished."""
        done = self.history.validation_accuracy
        return done[-1] if done and not self.diverged else math.nan


def train_with(
    plan: RatePlan,
    data: Dataset,
    *,
    model: Callable[[], nn.Module] | None = None,
    seed: int = 0,
    progress: bool = False,
    **options: Any,
) -> RateRun | None:
    """Train a network with new weights by one plan, in batches of 64 pictures.

    Args:
        data: `plan.pictures` of its training pictures are used.
        model: returns a network with new weights. Default: a `SimpleCNN` for the pictures.
        seed: of the weights, and of the choice and order of the pictures.
        progress: whether to show a progress bar.
        options: passed to `fit`: `precision`, `stop`, `on_step`, `on_epoch`.

    Returns:
        None if it was stopped, because with fewer steps it could not be compared with others.

    Raises:
        CourseError: too few training pictures, no validation pictures, too few steps for the
            schedule, or a network that does not fit the pictures or whose first loss is not finite.
    """
    if not len(data.validation):
        raise CourseError("Plans need validation pictures: load the data with validation=0.1.")
    few = replace(data, train=data.train.few(plan.pictures, seed=seed))
    try:
        history = fit(
            seeded(model or partial(SimpleCNN.for_data, data), seed),
            few,
            epochs=plan.epochs,
            batch_size=64,
            optimizer=OPTIMIZERS[plan.optimizer],
            learning_rate=plan.peak,
            scheduler=plan.schedule,
            seed=seed,
            progress=progress,
            **options,
        )
    except Diverged as error:
        if error.learning_rate is None:  # before the first step: the rate is not the cause
            raise
        return RateRun(plan, error.history, str(error))
    return None if history.stopped else RateRun(plan, history)


def rates_as_frame(runs: Sequence[RateRun]) -> pandas.DataFrame:
    """Return a row for each run: the plan and the validation accuracy, NaN if it diverged."""
    import pandas as pd

    return pd.DataFrame(
        {
            "optimizer": run.plan.optimizer,
            "peak": run.plan.peak,
            "schedule": run.plan.schedule.label,
            "epochs": run.plan.epochs,
            "pictures": run.plan.pictures,
            "validation accuracy": run.validation_accuracy,
        }
        for run in runs
    )
