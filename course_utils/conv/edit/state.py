"""Runs of a network that leave nothing behind: not in its modules, not in the random numbers."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from course_utils.conv.meta import ATOMS, EMPTY_TABLES, copied
from course_utils.core import device_of, kept_modes, private_random_numbers, seed_layers

_TABLES = ("_parameters", "_buffers", "_modules")


@contextlib.contextmanager
def private_run(model: nn.Module, training: bool = False) -> Iterator[None]:
    """Let a model run without gradients or warnings; the same random numbers come each time.

    When the block ends, the model and PyTorch's random numbers are as before.
    """
    device = device_of(model)
    with contextlib.ExitStack() as stack:
        stack.enter_context(kept_state(model))
        stack.enter_context(private_random_numbers(device))
        stack.enter_context(torch.no_grad())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # they come again when the model is used
        if "torch._dynamo" in sys.modules:  # parts of torch.compile run as they are written
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        seed_layers(device, 0)
        model.train(training)
        yield


@contextlib.contextmanager
def kept_state(model: nn.Module) -> Iterator[None]:
    """Put back all that a model's modules hold, their modes, too, when the block ends.

    A forward may keep tensors on its module: caches, lists of activations, a mean that it casts.
    Only the numbers of parameters and buffers are not put back.
    """
    # Scripted modules cannot hold anything else.
    modules = [m for m in model.modules() if not isinstance(m, torch.jit.ScriptModule)]
    memo: dict[int, Any] = {id(module): module for module in modules}
    memo |= {id(t): t for m in modules for t in (*m._parameters.values(), *m._buffers.values())}
    memo.pop(id(None), None)
    saved = [(module, vars(module).copy()) for module in modules]
    # These tables stay. Most of a module's tables are empty; those of hooks are known to handles.
    emptied: list[Any] = []
    refilled: list[tuple[OrderedDict, OrderedDict]] = []
    for _, held in saved:
        for name, value in held.items():
            kind = type(value)
            if kind in ATOMS:
                continue
            if kind in EMPTY_TABLES and not value:
                emptied.append(value)
            elif kind is OrderedDict and name.endswith("_hooks"):
                refilled.append((value, _kept(name, value, memo)))
            else:
                held[name] = _kept(name, value, memo)
    try:
        with kept_modes(model):
            yield
    finally:
        for module, held in saved:
            vars(module).clear()
            vars(module).update(held)
        for table in emptied:
            table.clear()
        for table, before in refilled:
            table.clear()
            table.update(before)


def _kept(name: str, value: Any, memo: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in (tuple, list) and ATOMS.issuperset(map(type, value)):
        return value if kind is tuple else value.copy()
    if name in _TABLES:
        return value.copy()
    return copied(value, memo=memo)
