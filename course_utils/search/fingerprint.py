"""What a study is about beside its plan: the network's layers and the pictures, the same in every
worker. A worker that is given others would mix results that cannot be compared.
"""

from __future__ import annotations

from typing import Any

import optuna
from torch import nn
from torch.nn.parameter import is_lazy

from course_utils.data import Dataset
from course_utils.errors import CourseError
from course_utils.search.objective import Objective

ATTRIBUTE = "fingerprint"
"""The study's attribute, which its first worker sets."""


def check_same(study: optuna.Study, objective: Objective) -> None:
    """See that the objective has the network and the pictures that the study was begun with.

    The first worker's are those. Of the network the names and shapes of its parameters count, of
    the pictures their name, numbers and size.

    Raises:
        CourseError: others; the text says which.
    """
    mine = {"network": _shapes(objective.model), "data": _summary(objective.data)}
    theirs = study.user_attrs.get(ATTRIBUTE)
    if theirs is None:
        study.set_user_attr(ATTRIBUTE, mine)
    elif theirs["data"] != mine["data"]:
        raise _other(study, "pictures", theirs["data"], mine["data"])
    elif theirs["network"] != mine["network"]:
        raise _other(study, "network", *_first_difference(theirs["network"], mine["network"]))


def _other(study: optuna.Study, what: str, theirs: str, mine: str) -> CourseError:
    return CourseError(
        f"The study {study.study_name!r} was begun with another {what} ({theirs}) than yours "
        f"({mine}): results of the two cannot be compared. Make a study of another name for yours."
    )


def _shapes(model: nn.Module) -> dict[str, list[int] | None]:
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


def _first_difference(theirs: dict[str, Any], mine: dict[str, Any]) -> tuple[str, str]:
    name = next(n for n in (*theirs, *mine) if theirs.get(n, ()) != mine.get(n, ()))

    def shown(shapes: dict[str, Any]) -> str:
        if name not in shapes:
            return f"no {name}"
        return f"{name}: " + ("×".join(map(str, shapes[name] or ())) or "a number")

    return shown(theirs), shown(mine)
