"""The checkpoint of `fit`: the file from which an interrupted training goes on."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from course_utils.core import (
    CourseError,
    all_finite,
    file_exists,
    load_checkpoint,
    load_weights,
    plain_state,
    save_checkpoint,
)
from course_utils.data import Dataset
from course_utils.training import identity
from course_utils.training.distributed import Group
from course_utils.training.history import History
from course_utils.training.identity import Identity, equal
from course_utils.training.optimizers import SteppedScheduler
from course_utils.training.precision import Precision, as_precision

_NEEDED = dict.fromkeys(("model", "optimizer", "scheduler", "history", "settings"), dict)
_NEEDED["precision"] = str
_REMEDY = "Use resume=False to start a new training."

_begun: weakref.WeakKeyDictionary[Any, Identity] = weakref.WeakKeyDictionary()
"""How each model, optimizer and scheduler was when its training began.

Who interrupts a training and calls `fit` again with the same objects has them half trained.
"""


@dataclass
class Checkpoint:
    """Saves a training to a file and loads it; rank 0 reads and writes for all processes.

    Attributes:
        path: Of the file.
        settings: Arguments of `fit` that must be the same when the training goes on. What else must
            be the same is found in the other attributes.
        precision: As for `fit`.
    """

    path: Path
    group: Group
    model: nn.Module
    data: Dataset
    optimizer: Optimizer
    stepped: SteppedScheduler
    epochs: int
    precision: str | Precision
    settings: dict[str, Any]

    def begin(self) -> None:
        """Remember how the training begins."""
        self.group.of_first(lambda: self._begin_as(self._things()))

    def _begin_as(self, things: dict[Any, Identity]) -> None:
        _begun.update(things)
        self.settings = self._whole(things)

    def _whole(self, things: dict[Any, Identity]) -> Identity:
        whole = self.settings | identity.of_data(self.data)
        for about in things.values():
            whole |= about
        return whole

    def exists(self) -> bool:
        """Return whether there is a file."""
        return self.group.of_first(lambda: file_exists(self.path, CourseError))

    def save(self, history: History, precision: str) -> None:
        """Write the file; all processes wait for it."""
        scheduler = self.stepped.scheduler
        content = {
            "model": self.model.state_dict(),
            "optimizer": plain_state(self.optimizer.state_dict()),
            "scheduler": plain_state(scheduler.state_dict()) if scheduler is not None else {},
            "history": history.as_dict(),
            "settings": self.settings,
            "precision": precision,
        }
        self.group.of_first(lambda: save_checkpoint(self.path, content))

    def load(self) -> tuple[History, str]:
        """Restore model, optimizer and scheduler; return the history and the precision's name.

        Raises:
            CourseError: If the file is damaged, or of another training; the model stays as it was.
        """
        state = self.group.of_first(self._read)
        self._restore("optimizer", lambda: self.optimizer.load_state_dict(state["optimizer"]))
        if (scheduler := self.stepped.scheduler) is not None:
            self._restore("scheduler", lambda: scheduler.load_state_dict(state["scheduler"]))
        load_weights(self.model, state["model"], self.path, _REMEDY)
        return History(**state["history"]), state["precision"]

    def _read(self) -> dict[str, Any]:
        """Return the file's content, after all checks that are possible before anything changes."""
        state = load_checkpoint(self.path, _NEEDED)
        theirs = state["settings"]
        of_file = identity.weights_fingerprint(state["model"])
        things = self._things()
        for thing, about in things.items():
            if about.get("starting weights") == of_file:
                about["starting weights"] = theirs.get("starting weights")
            known = _begun.get(thing, about)
            if all(equal(theirs.get(name), value) for name, value in known.items()):
                about |= known
        mine = self._whole(things)
        if self.precision != "auto":
            mine["precision"] = as_precision(self.precision).name
            theirs = theirs | {"precision": state["precision"]}
        if words := identity.differences(theirs, mine):
            raise CourseError(self._another(words))
        Precision.from_name(state["precision"])
        if not (_is_sound(state["history"]) and self._fits(state)):
            raise self._damaged("a part of it does not fit the others")
        if not all_finite(state["optimizer"]):
            raise self._damaged("in the optimizer there are numbers that are not finite")
        self._begin_as(things)
        return state

    def _things(self) -> dict[Any, Identity]:
        """Return model, optimizer and schedule, and what identifies them now."""
        stepped = self.stepped
        return {
            self.model: identity.of_model(self.model),
            self.optimizer: identity.of_optimizer(self.optimizer),
            stepped.scheduler or stepped: identity.of_scheduler(stepped, self.epochs),
        }

    def _another(self, words: list[str]) -> str:
        text = f"{self.path} is of another training ({'; '.join(words)}): use the old settings"
        if "other starting weights" in words:
            text += (
                " and a model that was built after the same torch.manual_seed, or load the file's "
                'weights first, model.load_state_dict(torch.load(path)["model"])'
            )
        return f"{text}; or use resume=False to start a new training."

    def _fits(self, state: Mapping[str, Any]) -> bool:
        """Return whether the schedule's and the optimizer's state have the parts of the present."""
        scheduler = self.stepped.scheduler
        own = plain_state(scheduler.state_dict()) if scheduler is not None else {}
        if own.keys() != state["scheduler"].keys():
            return False
        if not type(self.optimizer).__module__.startswith("torch.optim"):
            return True
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        try:
            return all(
                _is_state_of(value, parameters[number])
                for number, values in state["optimizer"]["state"].items()
                for value in values.values()
                if isinstance(value, Tensor)
            )
        except Exception:  # the file may contain anything
            return False

    def _restore(self, what: str, load: Callable[[], Any]) -> None:
        try:
            load()
        except Exception as error:
            raise self._damaged(f"its {what} does not fit this training") from error

    def _damaged(self, why: str) -> CourseError:
        return CourseError(f"{self.path} cannot be used, because {why}. {_REMEDY}")


def _is_state_of(value: Tensor, parameter: Tensor) -> bool:
    """Return whether an optimizer of torch may keep `value`: a number, or one for each weight.

    Adafactor keeps the means of rows and columns, with a size of 1 in place of the other axis.
    """
    sizes = zip(value.shape, parameter.shape, strict=False)
    fits = value.dim() == parameter.dim() and all(one in (1, other) for one, other in sizes)
    return fits or value.numel() == 1


def _is_sound(history: Mapping[str, Any]) -> bool:
    """Return whether `history` has all numbers of each epoch and of each step."""
    if history.keys() != {one.name for one in fields(History)}:
        return False
    lists = {name: values for name, values in history.items() if isinstance(values, list)}
    if len(lists) != len(history) - 2 or not isinstance(history["precision"], str):
        return False
    if not isinstance(history["stopped"], (str, type(None))):
        return False
    count, steps = len(lists["epoch"]), len(lists["step_loss"])
    return (
        lists["epoch"] == [*range(1, count + 1)]
        and all(len(v) == (steps if n.startswith("step") else count) for n, v in lists.items())
        and all(isinstance(one, (int, float)) for values in lists.values() for one in values)
        and all_finite(lists["step_loss"])
    )
