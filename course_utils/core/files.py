"""Files that are written completely or not at all, and the checkpoints of a training.

A checkpoint is read with `torch.load(weights_only=True)`, which runs no code from the file.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import io
import math
import os
import re
import stat
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from course_utils.core.errors import CourseError

try:
    import fcntl
except ImportError:  # on Windows, which removes no file that is open
    fcntl = None


class FileError(CourseError, OSError):
    """A file or folder that cannot be used, for example because the disk is full."""


# Reading and writing


def file_exists(path: str | os.PathLike[str], error: type[CourseError] = FileError) -> bool:
    """Return whether there is a file at `path`.

    A pipe looks like a file but may keep its reader waiting for ever, so ask before you open.

    Args:
        error: The class of the error.

    Raises:
        CourseError: If `path` is a folder, a pipe, a device, a link that leads to no file, or a
            place where this program may not look.
    """
    try:
        path = Path(path)
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise error(
                f"{path} is a link to {os.readlink(path)}, which does not exist: remove the link, "
                "or give another path."
            ) from None
        return False
    except (OSError, TypeError, ValueError) as fault:  # ValueError: a zero byte, or a wrong letter
        raise error(f"{path} cannot be used as a file: {reason_of(fault)}.") from fault
    if stat.S_ISREG(mode):
        return True
    kinds = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"))
    what = next((name for matches, name in kinds if matches(mode)), "device")
    raise error(f"{path} is a {what}, not a file: give the path of a file.")


def reason_of(error: Exception) -> str:
    """Return the reason of an `OSError`, or of another error, in a few words."""
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return "its links lead round in a circle"
    if isinstance(error, UnicodeEncodeError):
        return "this system cannot write its letters, until PYTHONUTF8=1 is set"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0].rstrip(".")


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, sync: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` when the block ends.

    Until then the file has another name, which contains the process number, so two processes may
    write the same path. A program that reads `path` at any moment finds the old file or the new
    one, never half of one. If the block raises an error, `path` does not change and no other file
    is left. What a killed process has left is removed by the next one that writes the same path.

    Args:
        path: Its folder is made if it does not exist.
        sync: Whether to wait until the content is on the disk before the file replaces `path`, so
            that a power cut cannot leave an empty file.

    Yields:
        The file, open for writing bytes.

    Raises:
        FileError: If the file cannot be written, or the block raises an `OSError`.
    """
    file_exists(path)
    path = Path(path)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(path)
            with unfinished.open("wb") as file:
                if fcntl is not None:
                    with contextlib.suppress(OSError):  # a file system without locks
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield file
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(unfinished, path)
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
    except FileError:
        raise
    except OSError as error:
        raise _not_written(path, reason_of(error)) from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """Make the folder of `path`, and check that a file may be written there, before hours of work.

    Raises:
        FileError: If it may not.
    """
    file_exists(path)
    folder = Path(path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(path, reason_of(error)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _not_written(path, os.strerror(errno.EACCES))


def _not_written(path: str | os.PathLike[str], reason: str) -> FileError:
    return FileError(
        f"{path} cannot be written ({reason}): choose a folder where you may write, on a disk that "
        "is not full."
    )


def _remove_leftovers(path: Path) -> None:
    """Remove the unfinished files of `path` whose processes are dead."""
    for name in glob.glob(f"{glob.escape(str(path))}.*.unfinished"):
        number = re.search(r"\.(\d+)\.unfinished$", name)
        if number is None or _is_alive(int(number[1])):
            continue
        with contextlib.suppress(OSError):
            if not _is_locked(name):
                os.unlink(name)


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # there, signal 0 would end it
        return False
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _is_locked(name: str) -> bool:
    """Return whether a process writes this file, perhaps on another machine with the same disk."""
    if fcntl is None:
        return False
    with open(name, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


# Checkpoints

_SEALED = 66
"""Bytes of the end of a checkpoint: see `_seal`."""


def save_checkpoint(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write `content` (tensors, numbers, texts, and lists and dicts of them) to `path`.

    If the program is stopped while it writes, `path` is still the old file. The file is a zip
    archive as `torch.save` writes it, whose comment is a checksum of all bytes before it.

    Raises:
        CourseError: If the file cannot be written.
    """
    # In memory first: on a full disk, torch raises a RuntimeError that does not say so.
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    try:
        # The views end here: Python 3.12 can crash at its end if an error's traceback keeps one.
        # The last two bytes are the length of the comment, 0.
        with (
            buffer.getbuffer() as data,
            data[:-2] as archive,
            atomic_write(path, sync=True) as file,
        ):
            file.write(archive)
            file.write(_seal(archive))
    except FileError as error:
        raise FileError(f"The checkpoint {error}") from error


def load_checkpoint(
    path: str | os.PathLike[str],
    needed: Mapping[str, type],
    *,
    remedy: str = "delete it, or train again with resume=False, which replaces it",
) -> dict[str, Any]:
    """Return the content of a file of `save_checkpoint`, with its tensors on the CPU.

    All checksums are compared before anything is read.

    Args:
        needed: Name and type of each entry that the content must have.
        remedy: What to do if the file cannot be used; the last words of the error's text.

    Raises:
        CourseError: If there is no such file, it is damaged, or it is not such a checkpoint.
    """
    if not file_exists(path, CourseError):
        raise CourseError(f"There is no file {path}: {remedy}.")
    path = Path(path)
    try:
        content = torch.load(_checked_archive(path), map_location="cpu", weights_only=True)
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({reason_of(error)}): {remedy}.") from error
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


def load_weights(
    model: nn.Module, weights: Mapping[str, Any], path: str | os.PathLike[str], remedy: str
) -> None:
    """Load `weights`, of a file of `save_checkpoint`, into `model`: all of them or none.

    Args:
        weights: As `model.state_dict()` returns them.
        path: Of the file, for the error's text.
        remedy: What to do if they do not fit.

    Raises:
        CourseError: If they are of another model, or a number is not finite.
    """
    if _layout(weights) != _layout(model.state_dict()):
        raise CourseError(
            f"{path} is of another model: its layers have other names, sizes or number formats. "
            f"{remedy}"
        )
    parameters = {name for name, _ in model.named_parameters()}
    for name, value in weights.items():
        # A buffer may be a mask of −inf.
        own = None if name in parameters else model.state_dict()[name]
        if not all_finite(value) and (own is None or all_finite(own)):
            raise CourseError(
                f"{path} cannot be used: in {name} there are numbers that are not finite. {remedy}"
            )
    model.load_state_dict(weights)


def all_finite(value: Any) -> bool:
    """Return whether a tensor, a number, or all of a dict or list have no nan and no infinity."""
    if isinstance(value, (list, tuple, dict)):
        return all(map(all_finite, value.values() if isinstance(value, dict) else value))
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, Tensor) or bool(value.isfinite().all())


def _layout(weights: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (getattr(value, "shape", None), getattr(value, "dtype", type(value)))
        for name, value in weights.items()
    }


def _checked_archive(path: Path) -> io.BytesIO:
    """Return the bytes of the archive `path` after all checks; raise a ValueError if one fails."""
    data = path.read_bytes()
    # An archive that `torch.save` alone wrote has no comment: it ends with a record of 22 bytes.
    if data[-_SEALED:] != _seal(data[:-_SEALED]) and data[-22:-18] != b"PK\5\6":
        raise ValueError("the checksum is wrong")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
        # torch does not compress, so the parts are not larger than the file.
        if sum(part.file_size for part in parts) > len(data):
            raise ValueError("its parts claim to be larger than the file")
        # torch does not read what has the mark of a folder, 16, but leaves its memory as it was.
        if any(part.external_attr & 16 for part in parts) or archive.testzip() is not None:
            raise ValueError("the checksum of a part is wrong")
    return io.BytesIO(data)


def _seal(archive: bytes | memoryview) -> bytes:
    """Return the end of an archive: the length of its comment, and its checksum as the comment."""
    checksum = hashlib.sha256(archive).hexdigest().encode()
    return len(checksum).to_bytes(2, "little") + checksum


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
