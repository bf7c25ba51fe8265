"""Check the arguments of `fit`, and put errors of torch in words."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

from torch import nn

from course_utils.core import CourseError, check_writable, error_line, is_number, whole_number
from course_utils.data import Augment, Dataset
from course_utils.metrics import NO_GRADIENT, check_kinds


def check_settings(model: nn.Module, data: Dataset, **settings: Any) -> None:
    """Raise a `CourseError` unless the arguments of `fit` are of the right kind and in range.

    Args:
        settings: By name; those that are checked where they are used may be missing.
    """
    check_kinds(model, data)
    for name, lowest in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
        whole_number(name, settings[name], lowest)
    if settings["scheduler_every"] not in ("step", "epoch"):
        every = settings["scheduler_every"]
        raise CourseError(f"scheduler_every={every!r}: give 'step' or 'epoch'.")
    smoothing, l1, augment = (settings[name] for name in ("label_smoothing", "l1", "augment"))
    if not (is_number(smoothing) and 0 <= smoothing < 1):
        raise CourseError(
            f"label_smoothing={smoothing!r}: give a share from 0 to below 1; 0.1 is usual."
        )
    if not (is_number(l1) and 0 <= l1 < math.inf):
        raise CourseError(f"l1={l1!r}: give a number from 0 up; 1e-5 is little, 1e-3 much.")
    if augment is not None and not isinstance(augment, Augment):
        raise CourseError(f"augment={augment!r}: give an Augment, or None for no random changes.")
    if (path := settings["checkpoint"]) is not None:
        if not isinstance(path, (str, os.PathLike)):
            raise CourseError(f"checkpoint={path!r}: give the path of a file.")
        check_writable(path)
    if (loss := settings.get("loss")) is not None:
        if not callable(loss) or isinstance(loss, type):
            raise CourseError(
                f"loss={loss!r}: give a function of (model, images, labels) that returns one "
                "number, the mean loss of these pictures."
            )
        if smoothing:
            raise CourseError(
                f"label_smoothing={smoothing!r} changes the cross-entropy, but there is a loss of "
                "your own: leave it out, or smooth in your loss."
            )
    for name in ("on_step", "on_epoch"):
        if settings[name] is not None and not callable(settings[name]):
            raise CourseError(f"{name}={settings[name]!r}: give a function with one argument.")
    check_stop(settings["stop"])


def check_stop(stop: Any) -> None:
    """Raise a `CourseError` unless `stop` is an event or None."""
    if stop is not None and not hasattr(stop, "is_set"):
        raise CourseError(f"stop={stop!r}: give a threading.Event.")


class Callback:
    """A function of the caller that remembers the error that it has raised.

    Errors of the caller's functions leave `fit` unchanged; those of torch are put in words.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.error: Exception | None = None

    def __call__(self, *values: Any) -> Any:
        """Call the function."""
        try:
            return self.function(*values)
        except Exception as error:
            self.error = error
            raise


def in_words(error: Exception) -> str:
    """Say why a training cannot go on, from an error of torch or of the model's forward."""
    first = (str(error).strip().splitlines() or ["no message"])[0].rstrip(".")
    if "does not require grad" in first:
        return NO_GRADIENT
    if "more than 1 value per channel" in first:
        return (
            f"BatchNorm needs more than one value of each channel, and a batch of one picture may "
            f"have no more ({first}): give batches of two pictures or more, or take another layer "
            "than BatchNorm."
        )
    return (
        f"The training cannot go on ({error_line(error).rstrip('.')}): look for what the model "
        "does only in train mode, and whether the optimizer can train such parameters."
    )
