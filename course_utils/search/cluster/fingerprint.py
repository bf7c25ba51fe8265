"""What a study is about beside its plan: the network's layers and the pictures, the same in every
worker. A worker that is given others would mix results that cannot be compared.
"""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import TrialState
from torch import nn
from torch.nn.parameter import is_lazy

from course_utils.core import CourseError
from course_utils.data import Dataset
from course_utils.search.objective import Objective

ATTRIBUTE = "fingerprint"
"""The study's attribute that says it."""

BEGUN = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)


def check_same(study: optuna.Study, objective: Objective) -> None:
    """See that the objective has the network and the pictures that the study was begun with.

    Those are the ones of its first worker, and of `create` on the command line; as long as no
    candidate is on its way or done, others may take their place. Of the network the names and
    shapes of its parameters count, of the pictures their name, numbers and size.

    Raises:
        CourseError: others; the text says which.
    """
    mine = {"network": _shapes(objective.model), "data": _summary(objective.data)}
    begun = any(trial.state in BEGUN for trial in study.get_trials(deepcopy=False))
    if ATTRIBUTE not in study.user_attrs or not begun:
        study.set_user_attr(ATTRIBUTE, mine)
    theirs = study.user_attrs[ATTRIBUTE]  # read back: another worker may have begun with others
    if theirs["data"] != mine["data"]:
        raise _other(study, "other pictures", theirs["data"], mine["data"])
    if (difference := _first_difference(theirs["network"], mine["network"])) is not None:
        raise _other(study, "another network", *difference)


def _other(study: optuna.Study, what: str, theirs: str, mine: str) -> CourseError:
    return CourseError(
        f"The study {study.study_name!r} was begun with {what} ({theirs}) than yours "
        f"({mine}): results of the two cannot be compared. Make a study of another name for yours."
    )


def _shapes(model: nn.Module) -> dict[str, list[int] | None]:
    """Name -> shape of each parameter; None for a lazy one, which has none before its first run."""
    return {
        name: None if is_lazy(parameter) else list(parameter.shape)
        for name, parameter in model.named_parameters()
    }


def _summary(data: Dataset) -> str:
    size = "×".join(map(str, data.image_shape))
    return (
        f"{data.name}: {len(data.train):,} training and {len(data.validation):,} validation "
        f"pictures of {size}, {len(data.classes)} classes"
    )


def _first_difference(theirs: dict[str, Any], mine: dict[str, Any]) -> tuple[str, str] | None:
    """The first parameter that is not the same in both, as each has it; None if there is none."""

    def shown(shapes: dict[str, Any], name: str) -> str:
        if name not in shapes:
            return f"no {name}"
        return f"{name}: " + ("×".join(map(str, shapes[name] or ())) or "a number")

    for name in {**theirs, **mine}:
        both = name in theirs and name in mine
        if both and (None in (theirs[name], mine[name]) or theirs[name] == mine[name]):
            continue
        return shown(theirs, name), shown(mine, name)
    return None
