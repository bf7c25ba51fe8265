"""Train in parts: stop, continue (with other settings if wanted), or reset.

`fit` trains once. A training panel needs more: to stop, to continue as if there had been no stop,
to continue with a smaller learning rate, to start again. `ResumableTraining` keeps what this needs:
the first weights, a checkpoint of each part, and one curve of all parts.
"""

from __future__ import annotations

import copy
import dataclasses
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from course_utils.core import (
    CourseError,
    load_checkpoint,
    load_weights,
    mixed_seed,
    reason_of,
)
from course_utils.data import Dataset
from course_utils.metrics import check_kinds
from course_utils.training.fit import fit
from course_utils.training.history import History, Step


class Smoother:
    """Exponential running mean: the weight of a value halves after each `half_life` values.

    The mean is corrected for its start at 0, as Adam corrects its moments.

    Args:
        half_life: in values.
        mean: the running mean of earlier values; None if there are none.
    """

    def __init__(self, half_life: float = 12, mean: float | None = None):
        self._keep = 0.5 ** (1 / half_life)
        self._sum, self._weight = (0.0, 0.0) if mean is None else (mean, 1.0)

    def __call__(self, value: float) -> float:
        """Add `value` and return the mean."""
        self._sum = self._keep * self._sum + (1 - self._keep) * value
        self._weight = self._keep * self._weight + (1 - self._keep)
        return self._sum / self._weight


@dataclass
class _Part:
    """A part of the training with the same settings: one call of `fit`, or more if it is resumed.

    It has `epochs` epochs, done or not, after the `before` epochs of the parts before it.
    """

    key: Any
    before: int
    epochs: int
    file: Path
    seed: int
    first_weights: dict[str, Any]
    history: History = field(default_factory=History)


class ResumableTraining:
    """Train one model in parts.

    Args:
        model: trained in place.
        data: as for `fit`.
        seed: of the first part; each later part has another one, so that it does not see the
            pictures in the same order.

    Attributes:
        positions, losses: of each step, its position on the axis of epochs and the smoothed loss.
            Both grow while another thread trains, so one may be longer for a moment.
    """

    def __init__(self, model: nn.Module, data: Dataset, *, seed: int = 0):
        check_kinds(model, data)
        self.model, self.data, self.seed = model, data, seed
        self._first_weights = _copy_of(model)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._forget()

    def _forget(self) -> None:
        self._parts: list[_Part] = []
        self.positions: list[float] = []
        self.losses: list[float] = []
        self._smoother = Smoother()

    @property
    def epochs_done(self) -> int:
        """Number of finished epochs."""
        return self._parts[-1].before + len(self._parts[-1].history.epoch) if self._parts else 0

    @property
    def planned(self) -> int:
        """Number of epochs that the last call of `train` asked for, done or not."""
        return self._parts[-1].before + self._parts[-1].epochs if self._parts else 0

    @property
    def finished(self) -> bool:
        """True if there was a training and all its epochs are done."""
        return 0 < self.planned == self.epochs_done

    @property
    def history(self) -> History | None:
        """The history of all parts as one training; None before the first."""
        whole = History()
        for part in self._parts:
            _append(whole, part.history, part.before)
        return whole if self._parts else None

    def reset(self) -> None:
        """Restore the model's first weights and forget all training."""
        self.model.load_state_dict(self._first_weights)
        self._forget()

    def train(
        self,
        arguments: Mapping[str, Any],
        *,
        key: Any,
        stop: threading.Event | None = None,
        on_step: Callable[[Step], None] | None = None,
        on_epoch: Callable[[], None] | None = None,
    ) -> History:
        """Start, continue after a stop, or add epochs after the last one.

        After a stop, training continues after its last finished epoch. With the same `key` it leads
        to the numbers of a training without interruption; otherwise the remaining epochs have the
        new arguments, a new optimizer and a new scheduler.

        Args:
            arguments: of `fit`, without those that are set here. `epochs` counts from the first
                start, or from the last reset.
            key: equal for equal settings; `arguments` cannot be compared if it has functions.
            stop, on_step: as for `fit`.
            on_epoch: called after each epoch, without arguments.

        Returns:
            The history of all parts.

        Raises:
            CourseError: all these epochs are done already, or any error of `fit`, such as
                `Diverged`; the next call then continues after the last finished epoch.
        """
        part = self._next_part(key, arguments["epochs"])

        def step_done(step: Step) -> None:
            self.positions.append(part.before + step.step * step.epochs / step.steps)
            self.losses.append(self._smoother(step.loss))
            if on_step is not None:
                on_step(step)

        def epoch_done(history: History) -> None:
            part.history = history
            if on_epoch is not None:
                on_epoch()

        try:
            part.history = fit(
                self.model,
                self.data,
                **{**arguments, "epochs": part.epochs, "seed": part.seed},
                checkpoint=part.file,
                resume=True,
                stop=stop,
                on_step=step_done,
                on_epoch=epoch_done,
                progress=False,
            )
        except Exception as error:
            part.history = getattr(error, "history", part.history)
            raise
        return self.history

    def _next_part(self, key: Any, epochs: int) -> _Part:
        """Return the part to train now; model and curves go back to the last finished epoch."""
        done = self.epochs_done
        if done >= epochs:
            raise CourseError(all_done_message(done, epochs))
        if done == self.planned:
            return self._new_part(key, done, epochs)
        last = self._parts[-1]
        self._forget_unfinished_epoch(last)
        if not last.history.epoch:
            self.model.load_state_dict(last.first_weights)
        if last.key == key:
            return last
        if last.history.epoch:
            kept = load_checkpoint(last.file, {"model": dict})
            load_weights(self.model, kept["model"], last.file, "Reset, to start again.")
            last.epochs = len(last.history.epoch)
        else:
            self._parts.pop()
        return self._new_part(key, done, epochs)

    def _new_part(self, key: Any, done: int, epochs: int) -> _Part:
        if self._folder is None:
            try:
                self._folder = tempfile.TemporaryDirectory(prefix="course-training-")
            except OSError as error:
                raise CourseError(
                    f"There is no place for temporary files ({reason_of(error)}): set the "
                    "environment variable TMPDIR to a folder where you may write."
                ) from error
        number = len(self._parts)
        file = Path(self._folder.name, f"part{number}.pt")
        file.unlink(missing_ok=True)  # it may be from before the last reset
        seed = mixed_seed(self.seed, number) if number else self.seed  # the first part is a `fit`
        self._parts.append(_Part(key, done, epochs - done, file, seed, _copy_of(self.model)))
        return self._parts[-1]

    def _forget_unfinished_epoch(self, part: _Part) -> None:
        end = part.before + len(part.history.epoch) + 1e-9
        kept = sum(place <= end for place in self.positions)
        steps = kept - sum(place <= part.before + 1e-9 for place in self.positions)
        del self.positions[kept:], self.losses[kept:]
        del part.history.step_loss[steps:], part.history.step_learning_rate[steps:]
        part.history.stopped = None
        self._smoother = Smoother(mean=self.losses[-1] if self.losses else None)


def all_done_message(done: int, epochs: int) -> str:
    """Say why there is nothing to train, and what to do."""
    what = "The epoch is" if done == 1 else f"All {done} epochs are"
    if done > epochs:
        what = f"More than {epochs} epochs are"
    return f"{what} done: ask for more epochs to go on, or reset to start again."


def _copy_of(model: nn.Module) -> dict[str, Any]:
    return copy.deepcopy(model.state_dict())


def _append(whole: History, part: History, before: int) -> None:
    """Append a part's numbers to `whole`, which has `before` epochs."""
    for one in dataclasses.fields(History):
        mine, new = getattr(whole, one.name), getattr(part, one.name)
        if isinstance(mine, list):
            mine += [before + epoch for epoch in new] if one.name == "epoch" else new
    whole.precision, whole.stopped = part.precision, part.stopped
