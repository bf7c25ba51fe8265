"""Files that hold a training, safe to write and safe to read.

Written whole or not at all, and read with `torch.load(weights_only=True)`, which runs no code from
the file.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_utils.core.errors import CourseError
from course_utils.core.files import atomic_write


def save(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write `content` (tensors, numbers, texts, and lists and dicts of them) to `path`.

    A program that reads `path`, or is ended, at any moment finds the old file or the new one, never
    half of one.

    Raises:
        CourseError: If the file cannot be written.
    """
    try:
        with atomic_write(path, sync=True) as file:
            torch.save(dict(content), file)
    except OSError as error:
        raise CourseError(
            f"The checkpoint {path} cannot be written ({error.strerror or error}): choose a folder "
            "in which you may write and that has room."
        ) from error


def load(
    path: str | os.PathLike[str],
    needed: Mapping[str, type],
    *,
    remedy: str = "delete it, or train anew with resume=False, which replaces it",
) -> dict[str, Any]:
    """Read what `save` wrote, on the CPU.

    Args:
        path: The file.
        needed: Name and type of each entry that must be there.
        remedy: What to do if it is no good; ends the error's text.

    Raises:
        CourseError: If there is no such file, or it is damaged or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"There is no file {path}: {remedy}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged file raises nearly anything: UnpicklingError, RuntimeError, EOFError, KeyError.
        raise CourseError(
            f"{path} is damaged or is no checkpoint ({type(error).__name__}): {remedy}."
        ) from error
    if not isinstance(content, dict) or any(
        not isinstance(content.get(name), kind) for name, kind in needed.items()
    ):
        raise CourseError(
            f"{path} is a file of another kind, for it lacks some of {', '.join(needed)}: {remedy}."
        )
    return content


def plain(state: Any) -> Any:
    """`state` without what `weights_only=True` would refuse, such as the functions of a schedule.

    `load_state_dict` of a schedule keeps its own functions where the state has none.
    """
    if isinstance(state, dict):
        kept = {k: plain(v) for k, v in state.items() if _is_plain(v)}
        # Counter (of MultiStepLR) and OrderedDict stay what they are.
        return type(state)(kept) if type(state) in (OrderedDict, Counter) else kept
    if isinstance(state, (list, tuple)):
        values = [plain(v) if _is_plain(v) else None for v in state]
        return values if isinstance(state, list) else tuple(values)
    # numpy's numbers are numbers, but are saved as something else.
    for kind, builtin in ((bool, bool), (Integral, int), (Real, float), (str, str)):
        if isinstance(state, kind):
            return builtin(state)
    return state


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (Real, str, Tensor, dict, list, tuple))
