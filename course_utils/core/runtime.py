"""Devices, threads, garbage collection, and the train and eval modes of a model.

Each context manager here restores the old setting when its block ends.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from course_utils.core.errors import CourseError


def pick_device(device: torch.device | str = "auto") -> torch.device:
    """Return a device; "auto" is a CUDA GPU if there is one, otherwise the CPU.

    Apple's "mps" is used only if you ask for it: it makes small networks little faster, and it
    lacks some operations.

    Raises:
        CourseError: If this machine has no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise CourseError(
            f"device={str(device)!r} cannot be used here ({reason}): use 'auto' or 'cpu'."
        ) from error
    return chosen


def check_network(model: Any) -> None:
    """Raise a `CourseError` unless `model` is a network: not its class, its name, or None."""
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise CourseError(
            f"{model.__name__} is a class, not yet a network: make one of it, {model.__name__}(), "
            "and give that."
        )
    if not isinstance(model, nn.Module):
        raise CourseError(
            f"model must be a network (torch.nn.Module), not {kind_of(model)}: build one, such as "
            "SimpleCNN()."
        )


def kind_of(value: Any) -> str:
    """Return what a value is, in words: 'None', 'the class int' or 'a str'."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the model's first parameter; the CPU if it has none."""
    check_network(model)
    first = next(model.parameters(), None)
    return first.device if first is not None else torch.device("cpu")


def use_threads(count: int) -> None:
    """Let PyTorch use `count` CPU threads for the operations of the calling thread."""
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute with one thread inside the block.

    A second thread does not make small tensors faster. And while another training or program uses
    the processor, two threads wait for each other: 40 ms instead of 0.2 ms for a 3 × 3 kernel on a
    photograph. The setting belongs to the calling thread: a training in another thread keeps its
    own.
    """
    before = torch.get_num_threads()
    use_threads(1)
    try:
        yield
    finally:
        use_threads(before)


@contextlib.contextmanager
def garbage_later() -> Iterator[None]:
    """Let Python search for unused objects after the block, not inside it.

    With PyTorch, pandas and scikit-learn there are a million objects, and such a search takes up to
    0.3 s. It begins somewhere in the work on a network, which makes many objects. Only objects that
    refer to each other in a circle have to wait for it.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextlib.contextmanager
def kept_modes(model: nn.Module) -> Iterator[None]:
    """Restore the train or eval mode of each module when the block ends."""
    # A frozen TorchScript module has no mode.
    modes = [(m, m.training) for m in model.modules() if hasattr(m, "training")]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put the model in eval mode inside the block, and restore each module's mode at its end."""
    check_network(model)
    with kept_modes(model):
        with contextlib.suppress(NotImplementedError):  # what `torch.export` returns has one mode
            model.eval()
        yield
