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

from course_utils.conv.meta import ATOMS, EMPTY_TABLES, TABLES, copied, modules_by_name
from course_utils.core import device_of, private_random_numbers, seed_layers


@contextlib.contextmanager
def private_run(model: nn.Module, training: bool = False) -> Iterator[None]:
    """Let a model run without gradients or warnings; the same random numbers come each time.

    When the block ends, the model and PyTorch's random numbers are as before.
    """
    device = device_of(model)
    modules = [module for _, module in modules_by_name(model)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_kept_state(modules))
        stack.enter_context(private_random_numbers(device))
        stack.enter_context(torch.no_grad())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # they come again when the model is used
        if "torch._dynamo" in sys.modules:  # parts of torch.compile run as they are written
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        seed_layers(device, 0)
        if all(map(_has_usual_mode, modules)):  # in a fifth of the time
            for module in modules:
                vars(module)["training"] = training
        else:
            model.train(training)
        yield


def _has_usual_mode(module: nn.Module) -> bool:
    """Check whether `train` only sets the mode of this module and of those inside."""
    kind = type(module)
    usual = kind.train is nn.Module.train and kind.__setattr__ is nn.Module.__setattr__
    return usual and "train" not in vars(module)


@contextlib.contextmanager
def _kept_state(every: list[nn.Module]) -> Iterator[None]:
    """Put back all that modules hold, their modes, too, when the block ends.

    A forward may keep tensors on its module: caches, lists of activations, a mean that it casts.
    Only the numbers of parameters and buffers are not put back.
    """
    modules = [m for m in every if not isinstance(m, torch.jit.ScriptModule)]
    # Scripted modules cannot hold anything else; a frozen one has no mode either.
    scripted = [m for m in every if isinstance(m, torch.jit.ScriptModule)]
    modes = [(m, m.training) for m in scripted if hasattr(m, "training")]
    memo: dict[int, Any] = {}
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
                refilled.append((value, _kept(name, value, modules, memo)))
            else:
                held[name] = _kept(name, value, modules, memo)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for module, held in saved:
            vars(module).clear()
            vars(module).update(held)
        for table in emptied:
            table.clear()
        for table, before in refilled:
            table.clear()
            table.update(before)


def _kept(name: str, value: Any, modules: list[nn.Module], memo: dict[int, Any]) -> Any:
    """Return a copy of what a module holds; `memo` is empty at the first call."""
    kind = type(value)
    if kind in (tuple, list) and ATOMS.issuperset(map(type, value)):
        return value if kind is tuple else value.copy()
    if name in TABLES:
        return value.copy()
    if not memo:  # modules, parameters and buffers are not copied
        memo |= {id(module): module for module in modules}
        tables = (table for m in modules for table in (m._parameters, m._buffers))
        memo |= {id(t): t for table in tables for t in table.values() if t is not None}
    return copied(value, memo=memo)
