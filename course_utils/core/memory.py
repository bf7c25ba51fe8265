"""Memory: what is free, what a wish would take, and errors of PyTorch's allocators in one sentence.

Linux promises more memory than it has: a tensor that is too large is made without an error, and
when it is filled, the system ends the process. So large wishes are judged before the work.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import torch

from course_utils.core.errors import CourseError

UNKNOWN = 4 * 2**30
"""Bytes that count as free where the system does not say it."""

_MESSAGES = re.compile(
    r"DefaultCPUAllocator|not enough memory|out of memory|Cannot allocate memory"
    r"|Storage size calculation overflowed|numel: integer multiplication overflow",
    re.IGNORECASE,
)
_CGROUP = Path("/sys/fs/cgroup")


class OutOfMemory(CourseError):
    """A wish that takes more memory, or more time, than there is; says what to make smaller."""


def free_memory(device: torch.device | str = "cpu") -> int:
    """Return the bytes of a device that this process can still use."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = [n for n in (_free_of_machine(), *_free_of_container()) if n is not None]
    return max(min(free, default=UNKNOWN), 0)


def require_memory(
    count: float, what: str, advice: str, device: torch.device | str = "cpu"
) -> None:
    """Raise an error if `count` bytes are more than a device has free; "meta" needs none.

    Args:
        what: needs them; the beginning of the sentence.
        advice: what to make smaller; the end of the sentence.

    Raises:
        OutOfMemory: with both numbers.
    """
    if torch.device(device).type != "meta" and count > (free := free_memory(device)):
        raise OutOfMemory(
            f"{what} needs about {bytes_text(count)} of memory, but {bytes_text(free)} are free: "
            f"{advice}."
        )


def bytes_text(count: float) -> str:
    """Return a number of bytes as text, such as "3.2 GB".

    >>> bytes_text(3.2e9), bytes_text(120), bytes_text(4e21)
    ('3.2 GB', '120 bytes', '4,000,000,000 TB')
    """
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{float(f'{count / size:.3g}'):,.15g} {unit}"
    return f"{count:.0f} bytes"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an allocator failed: it raised the error, or is the cause of a `CourseError`.

    An `OutOfMemory` says that itself.
    """
    return not isinstance(error, OutOfMemory) and _of_allocator(error) is not None


def _of_allocator(error: BaseException | None) -> BaseException | None:
    while isinstance(error, CourseError):
        error = error.__cause__
    failed = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    said = isinstance(error, RuntimeError) and _MESSAGES.search(str(error)) is not None
    return error if failed or said else None


def memory_sentence(error: BaseException, advice: str) -> str:
    """Return one sentence for an error that says that there is not enough memory."""
    tried = re.search(r"allocate (\d+) bytes", str(_of_allocator(error)))
    tried_text = f" for {bytes_text(int(tried[1]))} more" if tried else ""
    return f"There is not enough memory{tried_text}: {advice}."


@contextlib.contextmanager
def memory_in_words(advice: str) -> Iterator[None]:
    """Raise `OutOfMemory` for the errors of the allocators of PyTorch, NumPy and Python.

    It is also a decorator for functions.

    Args:
        advice: what to make smaller.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(memory_sentence(error, advice)) from error


def _free_of_machine() -> int | None:
    """Return the bytes that the machine has free; of all its bytes half where only they are known.

    None on systems that say neither.
    """
    with contextlib.suppress(OSError, AttributeError, IndexError, ValueError):
        text = Path("/proc/meminfo").read_text()
        return 1024 * int(text.split("MemAvailable:")[1].split()[0])
    with contextlib.suppress(OSError, AttributeError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return None


def _free_of_container() -> Iterator[int]:
    """Yield the bytes that the limits of this process's control groups leave, if there are any."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers == "":
                root, limit, used = _CGROUP, "memory.max", "memory.current"
            elif "memory" in controllers.split(","):
                root, limit = _CGROUP / "memory", "memory.limit_in_bytes"
                used = "memory.usage_in_bytes"
            else:
                continue
            # Inside a container the name may be the host's: then only the root is there.
            own = root / name.lstrip("/")
            for folder in [own, *own.parents][: len(own.parts) - len(root.parts) + 1]:
                with contextlib.suppress(OSError, ValueError):
                    left = int((folder / limit).read_text()) - int((folder / used).read_text())
                    yield left + _file_cache(folder)


def _file_cache(folder: Path) -> int:
    """Return the bytes of a control group that the system frees when they are needed."""
    found = re.search(
        r"^(?:total_)?inactive_file (\d+)$", (folder / "memory.stat").read_text(), re.M
    )
    return int(found[1]) if found else 0
