"""Check that all workers of a study have the same network and the same pictures.

A worker with another network would mix results that cannot be compared.
"""

from __future__ import annotations

import optuna
from optuna.trial import TrialState
from torch import nn
from torch.nn.parameter import is_lazy

from course_utils.core import CourseError, shape_text
from course_utils.data import Dataset
from course_utils.search.objective import Objective

FINGERPRINT = "fingerprint"
"""The study's attribute with the shapes of the network and a summary of the pictures."""

BEGUN = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)

Shapes = dict[str, list[int] | None]
"""Parameter -> shape; None for a lazy one, which has no shape before its first run."""


def check_fingerprint(study: optuna.Study, objective: Objective) -> None:
    """Check that the objective has the network and the pictures that the study was begun with.

    The first worker stores them, or `create` on the command line. They may be replaced as long as
    no candidate is running or done. Of the network, the names and shapes of its parameters count;
    of the pictures, their name, numbers and size. If they differ, a `CourseError` says where.
    """
    mine = {"network": _shapes(objective.model), "data": _summary(objective.data)}
    begun = any(trial.state in BEGUN for trial in study.get_trials(deepcopy=False))
    if FINGERPRINT not in study.user_attrs or not begun:
        study.set_user_attr(FINGERPRINT, mine)
    theirs = study.user_attrs[FINGERPRINT]  # read back: another worker may have stored its own
    if theirs["data"] != mine["data"]:
        what, difference = "other pictures", (theirs["data"], mine["data"])
    else:
        difference = _first_difference(theirs["network"], mine["network"])
        what = "another network"
    if difference is not None:
        raise CourseError(
            f"The study {study.study_name!r} was begun with {what} ({difference[0]}) than yours "
            f"({difference[1]}): results of the two cannot be compared. Create a study of another "
            "name for yours."
        )


def _shapes(model: nn.Module) -> Shapes:
    return {
        name: None if is_lazy(parameter) else list(parameter.shape)
        for name, parameter in model.named_parameters()
    }


def _summary(data: Dataset) -> str:
    size = shape_text(data.image_shape)
    return (
        f"{data.name}: {len(data.train):,} training and {len(data.validation):,} validation "
        f"pictures of {size}, {len(data.classes)} classes"
    )


def _first_difference(theirs: Shapes, mine: Shapes) -> tuple[str, str] | None:
    """Return the first parameter that differs, as each side has it; None if there is none."""

    def shown(shapes: Shapes, name: str) -> str:
        if name not in shapes:
            return f"no {name}"
        return f"{name}: " + (shape_text(shapes[name]) if shapes[name] else "a number")

    for name in {**theirs, **mine}:
        both = name in theirs and name in mine
        if both and (None in (theirs[name], mine[name]) or theirs[name] == mine[name]):
            continue
        return shown(theirs, name), shown(mine, name)
    return None
