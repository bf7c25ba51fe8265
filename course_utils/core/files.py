"""Files that are written completely or not at all, and the checkpoints of a training.

A checkpoint is read with `torch.load(weights_only=True)`, which runs no code from the file.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from course_utils.core.errors import CourseError


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, sync: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` when the block ends.

    Until then the file has another name, which contains the process number, so two processes may
    write the same path. A program that reads `path` at any moment finds the old file or the new
    one, never half of one. If the block raises an error, `path` does not change and no other file
    is left.

    Args:
        path: Its folder is made if it does not exist.
        sync: Whether to wait until the content is on the disk before the file replaces `path`, so
            that a power cut cannot leave an empty file.

    Yields:
        The file, open for writing bytes.

    Raises:
        OSError: If the file cannot be written.
    """
    path = Path(path)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def save_checkpoint(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write `content` (tensors, numbers, texts, and lists and dicts of them) to `path`.

    If the program is stopped while it writes, `path` is still the old file.

    Raises:
        CourseError: If the file cannot be written.
    """
    try:
        with atomic_write(path, sync=True) as file:
            torch.save(dict(content), file)
    except OSError as error:
        raise CourseError(
            f"The checkpoint {path} cannot be written ({error.strerror or error}): choose a folder "
            "where you may write, on a disk that is not full."
        ) from error


def load_checkpoint(
    path: str | os.PathLike[str],
    needed: Mapping[str, type],
    *,
    remedy: str = "delete it, or train again with resume=False, which replaces it",
) -> dict[str, Any]:
    """Return the content of a file of `save_checkpoint`, with its tensors on the CPU.

    Args:
        needed: Name and type of each entry that the content must have.
        remedy: What to do if the file cannot be used; the last words of the error's text.

    Raises:
        CourseError: If there is no such file, it is damaged, or it is not such a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"There is no file {path}: {remedy}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged file raises nearly anything: UnpicklingError, RuntimeError, EOFError, KeyError.
        raise CourseError(
            f"{path} is damaged or is not a checkpoint ({type(error).__name__}): {remedy}."
        ) from error
    if not isinstance(content, dict) or any(
        not isinstance(content.get(name), kind) for name, kind in needed.items()
    ):
        raise CourseError(
            f"{path} is a file of another kind: some of {', '.join(needed)} are missing; {remedy}."
        )
    return content


def plain_state(state: Any) -> Any:
    """Return `state` without the values that `weights_only=True` refuses, such as functions.

    The `load_state_dict` of a schedule keeps its own functions where the state has none.
    """
    if isinstance(state, dict):
        kept = {k: plain_state(v) for k, v in state.items() if _is_plain(v)}
        # MultiStepLR has a Counter; it and OrderedDict keep their types.
        return type(state)(kept) if type(state) in (OrderedDict, Counter) else kept
    if isinstance(state, (list, tuple)):
        values = [plain_state(v) if _is_plain(v) else None for v in state]
        return values if isinstance(state, list) else tuple(values)
    # NumPy's numbers would be saved as NumPy objects, which `weights_only=True` refuses.
    for kind, builtin in ((bool, bool), (Integral, int), (Real, float), (str, str)):
        if isinstance(state, kind):
            return builtin(state)
    return state


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (Real, str, Tensor, dict, list, tuple))
