"""Where the labels go in operations without weights: moving, combining and reducing numbers.

The operations are named as `torch` names them, a method like the function (`x.view`, `torch.cat`).
What is not listed is taken for an operation on each number, if the shapes allow that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from course_utils.conv.edit import labels as lb

if TYPE_CHECKING:
    from course_utils.conv.edit.trace import Trace

RESHAPES = {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "ravel"}
RESHAPES |= {"view_as", "reshape_as"}
JOINS = {"cat", "concat", "concatenate"}
SPLITS = {"chunk", "split", "tensor_split", "unbind"}
MOVES = {"permute", "transpose", "t", "T", "mT", "swapaxes", "swapdims", "movedim", "moveaxis"}
MOVES |= {"__getitem__", "select", "narrow", "roll", "flip", "repeat", "repeat_interleave"}
MOVES |= {"pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle"}
REDUCTIONS = {"mean", "sum", "amax", "amin", "max", "min", "var", "std", "norm", "logsumexp"}
POINTWISE = {"relu", "relu6", "leaky_relu", "elu", "silu", "gelu", "mish", "hardswish", "tanh"}
POINTWISE |= {"sigmoid", "hardsigmoid", "hardtanh", "dropout", "dropout2d"}
PRODUCTS = {"matmul", "__matmul__", "bmm"}
# Functions that only tell something of a tensor (the most frequent of all), or make a new one.
QUESTIONS = {"shape", "size", "dim", "ndim", "numel", "dtype", "device", "is_floating_point"}
QUESTIONS |= {"__len__", "stride", "is_contiguous", "is_cuda", "is_meta", "requires_grad", "layout"}
FACTORIES = {"new_zeros", "new_ones", "new_empty", "new_full", "zeros_like", "ones_like"}
FACTORIES |= {"empty_like", "full_like", "rand_like", "randn_like", "bernoulli"}


def follow(trace: Trace, func: Callable, name: str, args: tuple, kwargs: dict, output: Any) -> None:
    """Give the labels of an operation's inputs to its output."""
    inputs = tensors_in((args, kwargs))
    outputs = tensors_in(output)
    if not outputs or not any(trace.of(t) for t in inputs):
        return
    first = inputs[0]
    if name == "__setitem__":
        trace.fix(x for t in inputs for x in trace.of(t))
    elif name in JOINS or name == "stack":
        parts = args[0] if args else kwargs["tensors"]
        dim = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis", 0))
        trace.give(output, _join(trace, parts, dim % output.ndim, output.ndim, name == "stack"))
    elif name in RESHAPES:
        trace.give(output, _reshape(trace, first, output))
    elif name in SPLITS or name in MOVES:
        _move(trace, func, name, args, kwargs, inputs, outputs)
    elif name in REDUCTIONS and _dims(name, args, kwargs) is not None:
        dims = _dims(name, args, kwargs)
        keepdim = outputs[0].ndim == first.ndim
        left = _reduce(trace, first, dims, keepdim)
        for y in outputs:
            trace.give(y, left)
    elif name in PRODUCTS and len(inputs) == 2 and min(t.ndim for t in inputs) > 1:
        trace.give(output, _multiply(trace, *inputs, output))
    elif name == "scaled_dot_product_attention":
        query, key, value = inputs[:3]
        trace.meet(trace.vector(query, -1), trace.vector(key, -1))
        trace.give(output, trace.beside(value, -2))
    elif name == "pad" and output.ndim == first.ndim:
        pads = args[1] if len(args) > 1 else kwargs["pad"]
        trace.give(output, tuple(lb.padded(x, pads) for x in trace.of(first)))
    elif name not in ("expand", "expand_as", "broadcast_to") and (
        len(inputs) == 1 or name == "grid_sample"
    ):
        for y in outputs:
            trace.give(y, _same_sizes(trace, first, y), first if y.shape == first.shape else None)
    else:
        for y in outputs:
            trace.give(y, _combine(trace, inputs, y))


def _reduce(trace: Trace, x: Tensor, dims: Sequence[int], keepdim: bool) -> tuple[Tensor, ...]:
    """A sum, mean or maximum over `dims`.

    Over all channels, none are left. Over one of several dimensions along which they lie (halves of
    which the larger is taken, say), those that fall together are tied.
    """
    dims = [d % x.ndim for d in dims]
    left = [d for d in range(x.ndim) if d not in dims]
    single = any(x.shape[d] == 1 for d in left if d > 0)  # perhaps the dimension of one channel
    result = []
    for labels in trace.of(x):
        if all(labels.shape[d] == 1 for d in left) and not (single and labels.numel() == 1):
            continue
        for d in dims:
            if labels.shape[d] > 1:
                first = labels.narrow(d, 0, 1)
                trace.tie(labels, first.expand_as(labels))
                labels = first
        result.append(labels if keepdim else labels.squeeze(dims))
    return tuple(result)


def _same_sizes(trace: Trace, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """One tensor in, one out: a dimension that keeps its size keeps its labels."""
    found = trace.of(x)
    if x.shape == y.shape:
        return found
    if x.ndim != y.ndim:
        return trace.fix(found)
    kept = [all(x.shape[d] == y.shape[d] for d in lb.varying(labels)) for labels in found]
    trace.fix(labels for labels, keep in zip(found, kept, strict=True) if not keep)
    return tuple(labels for labels, keep in zip(found, kept, strict=True) if keep)


def _combine(trace: Trace, inputs: Sequence[Tensor], y: Tensor) -> tuple[Tensor, ...]:
    """Number by number, with broadcasting: labels that meet are tied."""
    found = [labels for t in inputs for labels in trace.of(t)]
    if not all(_spreads(t.shape, y.shape) for t in inputs):
        return trace.fix(found)
    together: dict[tuple, Tensor] = {}
    for t in inputs:
        for number, labels in enumerate(trace.of(t)):
            dims = lb.varying(labels)
            # Products of channels that were flattened have two label tensors along one dimension.
            twice = [lb.varying(x) for x in trace.of(t)[:number]].count(dims)
            labels = labels.reshape((1,) * (y.ndim - labels.ndim) + labels.shape)
            if not dims and t.shape != y.shape:  # a single channel, spread over all
                trace.fix([labels])
            elif (dims, twice) in together:
                trace.tie(together[dims, twice], labels)
            else:
                together[dims, twice] = labels
    result = []
    for (dims, _), labels in together.items():
        # Channels that meet numbers which are not counted in channels stay as many as they are.
        if any(_counts(t, dims, y) and not _labelled(trace, t, dims) for t in inputs):
            trace.fix([labels])
        if any(set(dims) & set(other) for other, _ in together if other != dims):
            trace.fix([labels])
        else:
            result.append(labels)
    return tuple(result)


def _counts(t: Tensor, dims: tuple[int, ...], y: Tensor) -> bool:
    """Whether `t` has its own number for each channel; no `dims`: for the single one there is."""
    return any(d >= -t.ndim and t.shape[d] > 1 for d in dims) or (not dims and t.shape == y.shape)


def _labelled(trace: Trace, t: Tensor, dims: tuple[int, ...]) -> bool:
    return any(lb.varying(labels) == dims for labels in trace.of(t))


def _reshape(trace: Trace, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    result = tuple(lb.reshaped(labels, x.shape, y.shape) for labels in trace.of(x))
    for labels in result:  # channels split into (groups, channels of a group)
        for d in lb.varying(labels)[:-1]:
            trace.tie_loosely(labels, d)
    if x.ndim == 4 and y.ndim == 2:
        y._grid = tuple(x.shape[2:])
    return result


def _move(
    trace: Trace, func: Callable, name: str, args: tuple, kwargs: dict, inputs: list, outputs: list
) -> None:
    """Run the operation on the labels themselves."""
    x = inputs[0]
    if len(inputs) > 1:  # an index that is a tensor: it counts in channels as they are now
        trace.fix(labels for t in inputs for labels in trace.of(t))
        return
    results = []
    for labels in trace.of(x):
        full = labels if name in ("roll", "flip") else labels.expand(x.shape)
        moved = func(*_replace(args, x, full), **_replace(kwargs, x, full))
        results.append([lb.squash(part) for part in tensors_in(moved)])
    for y, *parts in zip(outputs, *results, strict=True):
        trace.give(y, tuple(parts))
    if name in SPLITS:
        for parts in results:
            for part in parts[1:]:
                if part.shape == parts[0].shape and part.numel() > 1:
                    trace.loose_ties.append((part.reshape(-1), parts[0].reshape(-1)))


def _join(
    trace: Trace, parts: Sequence[Tensor], dim: int, ndim: int, stacked: bool
) -> tuple[Tensor, ...]:
    """Concatenate along `dim`; what varies along another dimension comes to lie on one another."""
    found = [trace.of(t) for t in parts]
    if stacked:
        found = [tuple(labels.unsqueeze(dim) for labels in own) for own in found]
    sizes = [1 if stacked else t.shape[dim] for t in parts]
    position = dim - ndim
    along: list[Tensor | None] = []
    beside: dict[tuple[int, ...], Tensor] = {}
    for own, size in zip(found, sizes, strict=True):
        counting = [x for x in own if position in lb.varying(x) or size == x.numel() == 1]
        along.append(counting[0] if counting else None)
        for labels in own:
            dims = lb.varying(labels)
            if dims and position not in dims:
                if dims in beside:
                    trace.tie(beside[dims], labels)
                beside.setdefault(dims, labels)
    for dims, labels in beside.items():
        if not all(any(lb.varying(x) == dims for x in own) for own in found):
            trace.fix([labels])
    result = tuple(beside.values())
    if any(labels is not None for labels in along):
        none = torch.zeros((1,) * ndim, dtype=torch.long)
        full = [none if labels is None else labels for labels in along]
        result = (lb.concatenated(full, sizes, dim), *result)
    return result


def _multiply(trace: Trace, a: Tensor, b: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Matrix product: the labels that are summed over are tied."""
    trace.meet(trace.vector(a, -1), trace.vector(b, -2))
    if id(b) in trace.names:
        trace.consumers.add((trace.names[id(b)], b.ndim - 2))
    kept = (*trace.beside(a, -1), *trace.beside(b, -2))
    return tuple(x.reshape((1,) * (y.ndim - x.ndim) + x.shape) for x in kept)


# Arguments and shapes


def tensors_in(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _spreads(shape: Sequence[int], to: Sequence[int]) -> bool:
    """Whether broadcasting makes `to` of `shape`."""
    return len(shape) <= len(to) and all(
        n in (1, m) for n, m in zip(reversed(shape), reversed(to), strict=False)
    )


def _dims(name: str, args: tuple, kwargs: dict) -> tuple[int, ...] | None:
    """The dimensions of a reduction; None if it is none (`torch.max` of two tensors)."""
    position = 2 if name == "norm" else 1
    dims = kwargs.get("dim", kwargs.get("axis", args[position] if len(args) > position else None))
    if isinstance(dims, int) and not isinstance(dims, bool):
        return (dims,)
    return tuple(dims) if isinstance(dims, (tuple, list, torch.Size)) else None


def _replace(value: Any, old: Tensor, new: Tensor) -> Any:
    return tree_map(lambda leaf: new if leaf is old else leaf, value)
