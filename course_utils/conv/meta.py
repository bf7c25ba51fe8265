"""Models and inputs on PyTorch's meta device (shapes without numbers), and the tensors in them."""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_PLAIN = {int, float, complex, bool, str, bytes, type(None), slice, torch.dtype, torch.device}
_PLAIN |= {FunctionType, BuiltinFunctionType, MethodType}
_KEPT = (list, dict, set)
TABLES = ("_parameters", "_buffers", "_modules")  # of each module
EMPTY_TABLES = {dict, OrderedDict, set}  # kinds of table of which a new one is as good as a copy
ATOMS = {int, float, complex, str, bytes, bool, type(None), type, FunctionType}
ATOMS |= {torch.dtype, torch.device, torch.Size}
_COPYING = {"__deepcopy__", "__reduce__", "__reduce_ex__", "__getstate__", "__slots__", "__new__"}
_COPYING |= {"__getnewargs__", "__getnewargs_ex__"}


def blank(tensor: Tensor) -> Tensor:
    """Return a tensor on the meta device with the same shape, dtype and memory layout."""
    usual = type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided
    if not usual or tensor.is_nested or tensor.is_quantized or not tensor.is_contiguous():
        return torch.empty_like(tensor, device="meta")
    # Twenty times as fast as `empty_like`, which PyTorch runs in Python here.
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in nested tuples, lists, dictionaries, and attributes of objects."""
    found: list[Tensor] = []
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if isinstance(value, Tensor):
            found.append(value)
        elif kind is tuple or kind is list:
            waiting += value[::-1]
        elif kind is dict:
            waiting += list(value.values())[::-1]
        elif kind not in _PLAIN:
            inner = tree_leaves(value)  # of the other containers that PyTorch knows
            if len(inner) == 1 and inner[0] is value:
                inner = [] if id(value) in seen else _held(value)
                seen.add(id(value))
            waiting += inner[::-1]
    return found


def _held(leaf: Any) -> list:
    """Return what an object holds that is not a list, tuple or dictionary: a dataclass, say."""
    if isinstance(leaf, (type, nn.Module, ModuleType)):
        return []
    if isinstance(leaf, Mapping):
        return list(leaf.values())
    if isinstance(leaf, (list, tuple, set, frozenset)):  # of a class of somebody's own
        return list(leaf)
    slots = [name for kind in type(leaf).__mro__ for name in vars(kind).get("__slots__", ())]
    inner = [getattr(leaf, name) for name in slots if hasattr(leaf, name)]
    return [*inner, *getattr(leaf, "__dict__", {}).values()]


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a copy of nested containers or objects in which each tensor is `change(tensor)`."""
    return copy.deepcopy(value, {id(tensor): change(tensor) for tensor in tensors_in(value)})


def modules_by_name(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return what `model.named_modules()` yields, in a quarter of the time.

    That is one generator inside the other, as deep as the modules are: each name passes them all.
    """
    found: list[tuple[str, nn.Module]] = []
    seen: set[int] = set()
    waiting = [("", model)]
    while waiting:
        name, module = waiting.pop()
        if id(module) not in seen:
            seen.add(id(module))
            found.append((name, module))
            if module._modules:
                start, last_first = f"{name}." if name else "", reversed(module._modules.items())
                waiting += [(start + child, m) for child, m in last_first if m is not None]
    return found


def tensors_by_name(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a model; each one once, under its first name."""
    parameters: dict[str, Tensor] = {}
    buffers: dict[str, Tensor] = {}
    seen: set[int] = set()
    for layer, module in modules_by_name(model):
        for table, found in ((module._parameters, parameters), (module._buffers, buffers)):
            for name, tensor in table.items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    found[f"{layer}.{name}" if layer else name] = tensor
    return parameters | buffers


def run_mixed(func: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Return `func(*args, **kwargs)`; where tensors without numbers meet others, without numbers.

    PyTorch refuses to mix them: a tensor that a module keeps, say, and the activations.
    """
    try:
        return func(*args, **kwargs)
    except (RuntimeError, NotImplementedError):
        tensors = tensors_in((args, kwargs))
        if len({t.is_meta for t in tensors}) < 2:
            raise
        args, kwargs = mapped((args, kwargs), lambda t: t if t.is_meta or not t.ndim else blank(t))
        return func(*args, **kwargs)


def resized(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a tensor of another shape: with the same numbers again and again, if it has any."""
    if tensor.is_meta:
        return tensor.new_empty(shape)
    for dim, n in enumerate(shape):
        rows = torch.arange(n, device=tensor.device) % tensor.shape[dim]
        tensor = tensor.index_select(dim, rows)
    return tensor


def copied(
    value: Any,
    parameter: Callable[[Tensor], Tensor] | None = None,
    other: Callable[[Tensor], Tensor] | None = None,
    memo: dict[int, Any] | None = None,
) -> Any:
    """Return a deep copy of a model, or of its inputs.

    Unlike `copy.deepcopy` it also copies tensors that were computed with gradients, which modules
    keep after a forward pass (the weight that the old `weight_norm` computes).

    Args:
        parameter: returns what the copy gets for a parameter (as a tensor); None for a copy.
        other: the same for all other tensors: buffers, and what else is kept anywhere in it.
        memo: id -> what the copy gets for other objects, as for `copy.deepcopy`.
    """
    memo = {} if memo is None else memo
    if parameter is not None:
        given = value.parameters()
        memo |= {id(p): nn.Parameter(parameter(p), p.requires_grad) for p in given}
    with _CopyTensors(other):
        if isinstance(value, nn.Module):
            _copy_modules(value, memo)
        return copy.deepcopy(value, memo)


def _copy_modules(model: nn.Module, memo: dict[int, Any]) -> None:
    """Copy modules into `memo` as `copy.deepcopy` does, in half of the time.

    Most of what a module holds are numbers and ten empty tables, which it copies one by one. Inner
    modules come first: what holds a module may look at it while it is copied.
    """
    for _, module in modules_by_name(model)[::-1]:
        if id(module) in memo or not _is_usual(type(module)):
            continue
        memo[id(module)] = new = type(module).__new__(type(module))
        state: dict[str, Any] = {}
        for name, value in module.__getstate__().items():
            if type(value) in ATOMS:
                state[name] = value
            elif type(value) in EMPTY_TABLES and not value:
                state[name] = memo.setdefault(id(value), type(value)())
            elif name in TABLES and type(value) is dict:
                state[name] = memo[id(value)] = table = {}
                for key, held in value.items():  # most of it is known
                    table[key] = memo[id(held)] if id(held) in memo else copy.deepcopy(held, memo)
            else:
                state[name] = copy.deepcopy(value, memo)
        new.__setstate__(state)


@functools.cache
def _is_usual(kind: type[nn.Module]) -> bool:
    """Check whether a class leaves it to `nn.Module` and Python how its modules are copied."""
    own = {name for base in kind.__mro__ if base not in (object, nn.Module) for name in vars(base)}
    return own.isdisjoint(_COPYING)


class _CopyTensors(TorchFunctionMode):
    """Sees each tensor that `copy.deepcopy` meets, parameters excepted, and copies it."""

    def __init__(self, other: Callable[[Tensor], Tensor] | None):
        super().__init__()
        self.other = other

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is Tensor.__deepcopy__:
            tensor, memo = args
            if self.other is not None or not tensor.is_leaf:
                if id(tensor) not in memo:
                    copy_one = self.other or (lambda t: t.detach().clone())
                    memo[id(tensor)] = copy_one(tensor)
                return memo[id(tensor)]
        return func(*args, **(kwargs or {}))


@contextmanager
def as_before(model: nn.Module) -> Iterator[None]:
    """Put back at the end what modules keep: attributes, and what is in their lists and tables."""
    attributes = [vars(module) for module in model.modules()]
    before = [dict(table) for table in attributes]
    inner = [(v, copy.copy(v)) for t in before for v in t.values() if isinstance(v, _KEPT)]
    numbers = [(b, b.clone()) for b in model.buffers()]
    try:
        yield
    finally:
        for table, old in [*zip(attributes, before, strict=True), *inner]:
            table.clear()
            table.extend(old) if isinstance(table, list) else table.update(old)
        for tensor, old in numbers:
            tensor.copy_(old)


def foreign_hooks(model: nn.Module) -> list[tuple[dict[int, Any], int]]:
    """Return (table, number in it) of each forward hook that is not part of the model.

    Part of it are PyTorch's own (weight normalisation, pruning) and those that are methods of the
    model, its modules or their attributes. All others belong to somebody who watches the model, and
    who does not expect tensors without numbers.
    """
    modules = [module for _, module in modules_by_name(model)]
    tables = [t for m in modules for t in (m._forward_hooks, m._forward_pre_hooks) if t]
    owners = {id(v) for m in modules for v in (m, *vars(m).values())} if tables else set()
    every = ((table, number, hook) for table in tables for number, hook in table.items())
    return [(table, number) for table, number, hook in every if not _is_part(hook, owners)]


@contextmanager
def without_foreign_hooks(model: nn.Module) -> Iterator[None]:
    """Take the `foreign_hooks` away, and put them back at the end.

    Better from a copy: another thread may use the model, and its hooks, at the same time.
    """
    hooks = foreign_hooks(model)
    before = [(table, dict(table)) for table, _ in hooks]
    for table, number in hooks:
        del table[number]
    try:
        yield
    finally:
        for table, items in before:
            all_of_them = items | table
            table.clear()
            table.update(all_of_them)


def _is_part(hook: Any, owners: set[int]) -> bool:
    while hasattr(hook, "func"):  # functools.partial
        hook = hook.func
    owner = getattr(hook, "__self__", hook)
    classes = (kind.__module__ for kind in type(owner).__mro__)
    own = any(name.startswith("torch.nn.utils") for name in classes)  # also of subclasses
    return own or id(owner) in owners or str(getattr(hook, "__module__", "")).startswith("torch.")
