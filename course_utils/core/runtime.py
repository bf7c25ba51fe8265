"""The state that a model and PyTorch are in: device, threads, train and eval mode.

What changes one of them for a while puts it back afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from course_utils.core.errors import CourseError


def pick_device(device: torch.device | str = "auto") -> torch.device:
    """The device meant: "auto" is a CUDA GPU if there is one, and else the CPU.

    Apple's "mps" is taken only when it is asked for: small networks gain little there, and not
    every operation is known to it.

    Raises:
        CourseError: If this machine has no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise CourseError(
            f"device={str(device)!r} cannot be used here ({reason}): take 'auto' or 'cpu'."
        ) from error
    return chosen


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter is; the CPU if it has none."""
    first = next(model.parameters(), None)
    return first.device if first is not None else torch.device("cpu")


def use_threads(count: int) -> None:
    """Let this thread's operations on the CPU use so many threads."""
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute what is inside with one thread.

    Small tensors gain nothing from a second one. And while anything else uses the processor, a
    training in this kernel or another program, two threads wait for each other: 40 ms instead of
    0.2 for a 3 × 3 kernel on a photograph. The setting belongs to the calling thread: a training
    beside it keeps its own.
    """
    before = torch.get_num_threads()
    use_threads(1)
    try:
        yield
    finally:
        use_threads(before)


@contextlib.contextmanager
def kept_modes(model: nn.Module) -> Iterator[None]:
    """Whatever happens to the modes inside the block, afterwards they are as before."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; afterwards every layer is in the mode in which it was before."""
    with kept_modes(model):
        model.eval()
        yield
