"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, sync: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` when the block ends.

    Until then it has another name, with the number of the process in it, so that two processes may
    write the same file. A program that reads `path` at any moment finds the old file or the new
    one, never half of one. If the block raises, `path` stays as it was and nothing else is left.

    Args:
        path: Its folder is made if need be.
        sync: Whether the content must have reached the disk before the file takes its place, so
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
