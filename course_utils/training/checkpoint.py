"""The checkpoint of `fit`: the file from which an interrupted training goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from course_utils.core import CourseError, load_checkpoint, plain_state, save_checkpoint
from course_utils.training.distributed import Group
from course_utils.training.history import History
from course_utils.training.optimizers import SteppedScheduler

_NEEDED = dict.fromkeys(("model", "optimizer", "scheduler", "history", "settings"), dict)
_NEEDED["precision"] = str


@dataclass
class Checkpoint:
    """Saves a training to a file and loads it; rank 0 reads and writes for all processes.

    Attributes:
        path: Of the file.
        settings: Arguments of `fit` that must be the same when the training goes on.
    """

    path: Path
    group: Group
    model: nn.Module
    optimizer: Optimizer
    stepped: SteppedScheduler
    epochs: int
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        self.scheduler = self.stepped.scheduler
        self.settings |= {
            "optimizer": type(self.optimizer).__name__,
            "scheduler": type(self.scheduler).__name__,
        }
        if self.scheduler is not None:  # its curve depends on the number of epochs
            self.settings |= {"epochs": self.epochs, "scheduler_every": self.stepped.every}

    def exists(self) -> bool:
        """Return whether there is a file."""
        return self.group.of_first(self.path.exists)

    def save(self, history: History, precision: str) -> None:
        """Write the file; all processes wait for it."""
        scheduler = self.scheduler.state_dict() if self.scheduler is not None else {}
        content = {
            "model": self.model.state_dict(),
            "optimizer": plain_state(self.optimizer.state_dict()),
            "scheduler": plain_state(scheduler),
            "history": history.as_dict(),
            "settings": self.settings,
            "precision": precision,
        }
        self.group.of_first(lambda: save_checkpoint(self.path, content))

    def load(self) -> tuple[History, str]:
        """Restore model, optimizer and scheduler; return the history and the precision's name.

        Raises:
            CourseError: If the file is damaged, or of a training with other settings.
        """
        state = self.group.of_first(lambda: load_checkpoint(self.path, _NEEDED))
        theirs = state["settings"]
        for name in [*theirs, *self.settings]:
            if theirs.get(name) != self.settings.get(name):
                raise CourseError(
                    f"{self.path} is of a training with {name}={theirs.get(name)}, now it is "
                    f"{self.settings.get(name)}: use the old settings, or resume=False to start "
                    "a new training."
                )
        shapes = {name: value.shape for name, value in state["model"].items()}
        if shapes != {name: value.shape for name, value in self.model.state_dict().items()}:
            raise CourseError(
                f"{self.path} is of another model: its layers have other names or sizes. Build the "
                "same model as before, or use resume=False to start a new training."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        return History(**state["history"]), state["precision"]
