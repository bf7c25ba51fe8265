"""The record of a training: what is known while it runs and afterwards."""

from __future__ import annotations

import dataclasses
import math
import operator
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_utils.core import CourseError
from course_utils.training.distributed import Group


class Step(NamedTuple):
    """One step of the optimizer, as `fit` passes it to `on_step`.

    `step` counts from 1 to `steps` over all epochs, `epoch` from 1 to `epochs`. `loss` is the
    loss of the batch before the step, `learning_rate` the rate of the step.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    learning_rate: float


@dataclass
class History:
    """The course of a training: numbers for each finished epoch, and two for each step.

    Attributes:
        epoch: 1, 2, 3, ...
        train_loss: Mean cross-entropy of the epoch in nats, or mean of your own loss, as it was
            minimised: with label smoothing and dropout, without an L1 penalty.
        train_accuracy: Share of the training pictures that the model classified correctly during
            the epoch, while it learned, with augmentation and dropout; nan if the model returned
            other things than logits.
        validation_loss, validation_accuracy: On the validation pictures after the epoch, in eval
            mode and float32; nan without validation pictures. The loss is the cross-entropy without
            label smoothing, whatever was minimised. Only if the model returns other things than
            logits, it is your own loss, and the accuracy is nan.
        learning_rate: Of the epoch's last step (first parameter group).
        seconds: Time of the epoch, with its validation.
        step_loss, step_learning_rate: The same two for each step, also of an unfinished epoch.
        precision: The number format, and the reason for it; differs between machines.
        stopped: Where it was stopped before its last epoch; None if it was not.
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
        """Return one line about the last finished epoch, without times."""
        end = f" ({self.stopped})" if self.stopped else ""
        if not self.epoch:
            return f"no epoch finished{end}"
        count = len(self.epoch)
        train = _loss_and_accuracy(self.train_loss[-1], self.train_accuracy[-1])
        line = f"{count} epoch{'s' * (count != 1)}: training {train}"
        if not math.isnan(self.validation_loss[-1]):
            validation = _loss_and_accuracy(self.validation_loss[-1], self.validation_accuracy[-1])
            line += f"; validation {validation}"
        return line + end

    def as_dict(self) -> dict[str, Any]:
        """Return lists, numbers and texts from which `History(**...)` makes the same history."""
        return dataclasses.asdict(self)


def _loss_and_accuracy(loss: float, accuracy: float) -> str:
    return f"loss {loss:.2f}" + ("" if math.isnan(accuracy) else f", accuracy {accuracy:.1%}")


class Diverged(CourseError):
    """The loss is not a finite number any more, so training cannot go on.

    Attributes:
        step, epoch: Where it happened, both counted from 1.
        learning_rate: Of the step before; None if there was no step.
        suggestion: A smaller learning rate to try; None if there was no step.
        history: What was recorded until then.
    """

    def __init__(self, loss: float, step: int, epoch: int, history: History) -> None:
        rates = history.step_learning_rate[: step - 1]
        self.step, self.epoch, self.history = step, epoch, history
        self.learning_rate = rates[-1] if rates else None
        self.suggestion = None
        text = (
            f"The very first loss is {loss}, before the first step: look for nan, inf or huge "
            "numbers in the model's weights (initialisation) or the pictures (normalisation)."
        )
        if self.learning_rate is not None:
            peak = max(rates)
            self.suggestion = float(f"{peak / 10:.1g}")
            instead = f" instead of {peak:.3g}" if peak != self.learning_rate else ""
            text = (
                f"The loss became {loss} in step {step} (epoch {epoch}), at a learning rate of "
                f"{self.learning_rate:.3g}: the steps are too large. "
                f"Try a learning rate of {self.suggestion:g}{instead}."
            )
        super().__init__(text)


LOOK_EVERY = 16
"""Steps between two looks at the losses where a look makes the device wait."""


class Recorder:
    """Writes the history of a training, step by step and epoch by epoch.

    Args:
        history: To write; it may contain epochs already.
        group: The processes that train together; losses are those of the whole batches.
        look_every: Steps between two looks at the losses, which then come to the CPU.
    """

    def __init__(self, history: History, group: Group, device: torch.device, look_every: int):
        self.history, self.group, self.device, self.look_every = history, group, device, look_every
        self._unread: list[Tensor] = []  # losses that are still on the device

    def begin_epoch(self, epoch: int) -> None:
        """Begin an epoch, counted from 0."""
        self._began, self._epoch = time.perf_counter(), epoch + 1
        self._first = len(self.history.step_loss)
        self._right = torch.zeros((), dtype=torch.int64, device=self.device)
        self._classified = True
        self._sizes: list[int] = []

    def begin_step(self, size: int, learning_rate: float) -> None:
        """Note the size of the batch, over all processes, and the learning rate of the step."""
        self.size, self._rate = size, learning_rate

    def add(self, loss: Tensor, right: Tensor | None) -> None:
        """Record a step.

        Args:
            loss: The part of this process in the batch's mean loss; see `read_losses`.
            right: For each picture of this process, whether the answer was right; None if the
                model does not classify.
        """
        self._unread.append(loss)
        if len(self._unread) >= self.look_every:
            self.read_losses()
        if right is None:
            self._classified = False
        else:
            own = self.group.own(self.size)  # where there are too few pictures, one more was shown
            self._right += right[: own.stop - own.start].sum()
        self.history.step_learning_rate.append(self._rate)
        self._sizes.append(self.size)

    def read_losses(self) -> None:
        """Bring the losses to the CPU; raise `Diverged` if one is not finite."""
        for value in self.group.sum(torch.stack(self._unread).tolist()) if self._unread else ():
            if not math.isfinite(value):
                raise Diverged(value, len(self.history.step_loss) + 1, self._epoch, self.history)
            self.history.step_loss.append(value)
        self._unread.clear()

    def last_step(self, steps: int, epochs: int) -> Step:
        """Return the last step, of `steps` in `epochs`."""
        losses = self.history.step_loss
        return Step(len(losses), steps, self._epoch, epochs, losses[-1], self._rate)

    def end_epoch(self, validation_loss: float, validation_accuracy: float) -> None:
        """Record an epoch and its validation."""
        h, shown = self.history, sum(self._sizes)
        losses = h.step_loss[self._first :]
        h.train_loss.append(sum(map(operator.mul, losses, self._sizes)) / shown)
        right = self._right.item() if self._classified else math.nan
        h.train_accuracy.append(self.group.sum([right])[0] / shown)
        h.validation_loss.append(validation_loss)
        h.validation_accuracy.append(validation_accuracy)
        h.learning_rate.append(self._rate)
        h.seconds.append(time.perf_counter() - self._began)
        h.epoch.append(self._epoch)  # last: another thread counts the finished epochs by these
