"""What is known about a training while it runs and when it is over."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from course_utils.core import CourseError


class Step(NamedTuple):
    """One step of the optimizer, as `on_step` of `fit` is told of it.

    `step` counts from 1 to `steps` over all epochs, `epoch` from 1 to `epochs`; `loss` is that of
    the batch before the step, `learning_rate` the one the step was made with.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    learning_rate: float


@dataclass
class History:
    """How a training went: one number for each finished epoch, and two for each step.

    Attributes:
        epoch: 1, 2, 3, ...
        train_loss: Mean over the epoch of the cross-entropy in nats that was minimised: with label
            smoothing and dropout, without an L1 penalty.
        train_accuracy: Share of the training pictures that were right when they came up, so in the
            middle of learning, augmented and with dropout.
        validation_loss, validation_accuracy: On the validation pictures after the epoch, in eval
            mode and float32, without label smoothing; nan where there is no validation picture.
        learning_rate: Of the epoch's last step (the first parameter group's).
        seconds: Time that the epoch took, with its validation.
        step_loss, step_learning_rate: The same two for each step, also of an unfinished epoch.
        precision: In which number format it was computed, and why; differs between machines.
        stopped: Why it ended before its last epoch; None if it did not.
    """

    epoch: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    step_loss: list[float] = field(default_factory=list)
    step_learning_rate: list[float] = field(default_factory=list)
    precision: str = ""
    stopped: str | None = None

    def summary(self) -> str:
        """One line about the last finished epoch; no times, so it is much the same everywhere."""
        end = f" ({self.stopped})" if self.stopped else ""
        if not self.epoch:
            return f"no epoch finished{end}"
        count = len(self.epoch)
        train = f"training loss {self.train_loss[-1]:.2f}, accuracy {self.train_accuracy[-1]:.1%}"
        line = f"{count} epoch{'s' * (count != 1)}: {train}"
        if self.validation_loss[-1] == self.validation_loss[-1]:  # not nan
            line += (
                f"; validation loss {self.validation_loss[-1]:.2f}, "
                f"accuracy {self.validation_accuracy[-1]:.1%}"
            )
        return line + end

    def as_dict(self) -> dict[str, Any]:
        """All of it in lists, numbers and texts; `History(**...)` makes it a history again."""
        return dataclasses.asdict(self)


class Diverged(CourseError):
    """The loss is no finite number any more, so there is nothing left to learn from.

    Attributes:
        step, epoch: Where, both counted from 1.
        learning_rate: With which the step before was made.
        suggestion: A smaller learning rate to try.
        history: What was recorded until then.
    """

    def __init__(self, loss: float, step: int, epoch: int, history: History) -> None:
        rates = history.step_learning_rate[: step - 1]
        self.step, self.epoch, self.history = step, epoch, history
        self.learning_rate = rates[-1] if rates else None
        self.suggestion = None
        text = (
            f"The very first loss is {loss}, before anything was learnt: look for nan, inf or huge "
            "numbers in the model's weights (initialisation) or the pictures (normalisation)."
        )
        if self.learning_rate is not None:
            peak = max(rates)
            self.suggestion = float(f"{peak / 10:.1g}")
            text = (
                f"The loss became {loss} in step {step} (epoch {epoch}), at a learning rate of "
                f"{self.learning_rate:.3g}: the steps are too large. "
                f"Try a learning rate of {self.suggestion:g}"
            )
            text += f" instead of {peak:.3g}." if peak != self.learning_rate else "."
        super().__init__(text)
