"""What a candidate of `improve` changes, and how it and the given network fare in equal trainings.

In a search the candidates of different rounds have had trainings of different length. Before one
says how much better a candidate is, both are trained anew for the same number of epochs: the
candidate as it asks for, the network as it was given with the article's settings.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from course_utils.data import Dataset
from course_utils.history import Step
from course_utils.metrics import Interval, wilson_interval
from course_utils.precision import Precision
from course_utils.search.candidate import ARTICLE, Settings
from course_utils.search.improvement import Improvement, Tried, own_value
from course_utils.training import fit


@dataclass(frozen=True)
class TrainedOne:
    """A candidate after a whole training.

    Attributes:
        one: the candidate; number 0 is the network as it was given.
        epochs: of the training.
        model: the trained network, in eval mode.
        accuracy: on the validation pictures.
        interval: Wilson's, 95 %.
        parameters: numbers that it learns.
    """

    one: Tried
    epochs: int
    model: nn.Module = field(repr=False)
    accuracy: float
    interval: Interval
    parameters: int


def train_one(
    found: Improvement,
    one: Tried,
    data: Dataset,
    epochs: int,
    *,
    precision: str | Precision = "auto",
    stop: threading.Event | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> TrainedOne | None:
    """Build a candidate and train it; `found.start` is trained with the article's settings.

    Args:
        data: with validation pictures, as for `improve`.
        precision, stop, on_step: as for `fit`.

    Returns:
        None if it was stopped.

    Raises:
        CourseError: the candidate cannot be built.
        Diverged: its loss is no number any more.
    """
    model = found.build(one)
    history = fit(
        model,
        data,
        epochs=epochs,
        **Settings.of(one.params).fit_arguments(),
        precision=precision,
        seed=found.seed,
        stop=stop,
        on_step=on_step,
        progress=False,
    )
    if history.stopped:
        return None
    accuracy, total = history.validation_accuracy[-1], len(data.validation)
    return TrainedOne(
        one,
        epochs,
        model.eval(),
        accuracy,
        wilson_interval(round(accuracy * total), total),
        sum(p.numel() for p in model.parameters()),
    )


def layer_changes(found: Improvement, one: Tried) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Layer -> setting -> (value of the given network, value of the candidate)."""
    changes: dict[str, dict[str, tuple[Any, Any]]] = {}
    for name, value in one.params.items():
        layer, dot, setting = name.rpartition(".")
        if dot:
            before = own_value(found.original, layer, setting)
            changes.setdefault(layer, {})[setting] = before, value
    return changes


def training_changes(params: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Setting -> (the article's value, the candidate's), of those that were searched."""
    return {name: (ARTICLE[name], value) for name, value in params.items() if name in ARTICLE}
