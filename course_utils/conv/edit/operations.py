"""The labels of operations without weights: those that move, combine and reduce numbers.

Operations have their names in `torch`, for methods and functions alike (`x.view`, `torch.cat`).
An operation that is not listed is treated as one on each number, if the shapes allow that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from course_utils.conv.edit import labels as lb
from course_utils.conv.edit.trace import Axis, Trace
from course_utils.conv.meta import tensors_in

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
EXPANSIONS = {"expand", "expand_as", "broadcast_to"}
# Functions that only ask about a tensor (the most frequent of all), or make a new one.
UNLABELLED = {"shape", "size", "dim", "ndim", "numel", "dtype", "device", "is_floating_point"}
UNLABELLED |= {
    "__len__",
    "stride",
    "is_contiguous",
    "is_cuda",
    "is_meta",
    "requires_grad",
    "layout",
}
UNLABELLED |= {"new_zeros", "new_ones", "new_empty", "new_full", "zeros_like", "ones_like"}
UNLABELLED |= {"empty_like", "full_like", "rand_like", "randn_like", "bernoulli"}


@dataclass(frozen=True)
class Operation:
    """One call of a function, with its output."""

    func: Callable
    name: str
    args: tuple
    kwargs: dict[str, Any]
    output: Any

    def argument(self, position: int, *names: str, default: Any = None) -> Any:
        """Return an argument by one of its names, or by its position."""
        given = self.args[position] if len(self.args) > position else default
        return next((self.kwargs[name] for name in names if name in self.kwargs), given)


def follow(trace: Trace, op: Operation) -> None:
    """Label the output of an operation, from the labels of its inputs."""
    inputs, outputs = tensors_in((op.args, op.kwargs)), tensors_in(op.output)
    if op.name == "__setitem__":  # it has no output
        trace.fix(labels for t in inputs for labels in trace.labels_of(t))
    if not outputs or not any(trace.labels_of(t) for t in inputs):
        return
    x, y = inputs[0], outputs[0]
    match op.name:
        case name if name in JOINS or name == "stack":
            trace.set_labels(y, _join(trace, op, y.ndim))
        case name if name in RESHAPES:
            trace.set_labels(y, _reshape(trace, x, y))
        case name if name in SPLITS or name in MOVES:
            _move(trace, op, inputs, outputs)
        case name if name in REDUCTIONS and (dims := _dims(op)) is not None:
            labels = _reduce(trace, x, dims, keepdim=y.ndim == x.ndim)
            for y in outputs:
                trace.set_labels(y, labels)
        case name if name in PRODUCTS and len(inputs) == 2 and min(t.ndim for t in inputs) > 1:
            trace.set_labels(y, _multiply(trace, *inputs, y))
        case "scaled_dot_product_attention":
            query, key, value = inputs[:3]
            trace.couple_or_fix(trace.labels_along(query, -1), trace.labels_along(key, -1))
            trace.set_labels(y, trace.labels_not_along(value, -2))
        case name if "fake_quant" in name:  # of quantization-aware training
            for t in inputs[1:]:  # a scale for each channel
                if t.shape == x.shape[:1] and (rows := trace.labels_along(x, 0)) is not None:
                    trace.bind(t, 0, rows)
            trace.set_labels(y, trace.labels_of(x), like=x)
        case "pad" if y.ndim == x.ndim:
            pads = op.argument(1, "pad")
            trace.set_labels(y, tuple(lb.padded(labels, pads) for labels in trace.labels_of(x)))
        case name if name not in EXPANSIONS and (len(inputs) == 1 or name == "grid_sample"):
            for y in outputs:
                same = x if y.shape == x.shape else None
                trace.set_labels(y, _same_sizes(trace, x, y), like=same)
        case _:
            for y in outputs:
                trace.set_labels(y, _combine(trace, inputs, y))


def _reduce(trace: Trace, x: Tensor, dims: Sequence[int], keepdim: bool) -> tuple[Tensor, ...]:
    """Return the labels of a sum, mean or maximum over `dims`.

    Over all channels, none are left. Over one of several dimensions along which they lie (the
    maximum of two halves, say), those that become one number are coupled.
    """
    dims = [d % x.ndim for d in dims]
    left = [d for d in range(x.ndim) if d not in dims]
    single = any(x.shape[d] == 1 for d in left if d > 0)  # perhaps the dimension of one channel
    result = []
    for labels in trace.labels_of(x):
        if all(labels.shape[d] == 1 for d in left) and not (single and labels.numel() == 1):
            continue
        for d in dims:
            if labels.shape[d] > 1:
                labels = trace.couple_along(labels, d)
        result.append(labels if keepdim else labels.squeeze(dims))
    return tuple(result)


def _same_sizes(trace: Trace, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Return the labels of an output of one input: a dimension of the same size keeps its own."""
    found = trace.labels_of(x)
    if x.shape == y.shape:
        return found
    if x.ndim != y.ndim:
        return trace.fix(found)
    kept = [all(x.shape[d] == y.shape[d] for d in lb.varying(labels)) for labels in found]
    trace.fix(labels for labels, keep in zip(found, kept, strict=True) if not keep)
    return tuple(labels for labels, keep in zip(found, kept, strict=True) if keep)


def _combine(trace: Trace, inputs: Sequence[Tensor], y: Tensor) -> tuple[Tensor, ...]:
    """Return the labels of an operation number by number: labels that meet are coupled."""
    found = [labels for t in inputs for labels in trace.labels_of(t)]
    if not all(_spreads(t.shape, y.shape) for t in inputs):
        return trace.fix(found)
    together: dict[tuple, Tensor] = {}
    for t in inputs:
        for number, labels in enumerate(trace.labels_of(t)):
            dims = lb.varying(labels)
            # Products of channels that were flattened have two label tensors along one dimension.
            twice = [lb.varying(x) for x in trace.labels_of(t)[:number]].count(dims)
            labels = labels.reshape((1,) * (y.ndim - labels.ndim) + labels.shape)
            if not dims and t.shape != y.shape:  # a single channel, spread over all
                trace.fix([labels])
            elif (dims, twice) in together:
                trace.couple(together[dims, twice], labels)
            else:
                together[dims, twice] = labels
    result = []
    for (dims, _), labels in together.items():
        # Channels that meet as many numbers without a label (a constant) cannot change in number.
        bare = (t for t in inputs if dims not in map(lb.varying, trace.labels_of(t)))
        if any(_has_each(t, dims, y) for t in bare):
            trace.fix([labels])
        if any(set(dims) & set(other) for other, _ in together if other != dims):
            trace.fix([labels])
        else:
            result.append(labels)
    return tuple(result)


def _has_each(t: Tensor, dims: tuple[int, ...], y: Tensor) -> bool:
    """Check whether `t` has a number of its own for each channel; without `dims` there is one."""
    return any(d >= -t.ndim and t.shape[d] > 1 for d in dims) or (not dims and t.shape == y.shape)


def _reshape(trace: Trace, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Return the labels of a reshaped tensor; remember the grid of flattened maps."""
    result = tuple(lb.reshaped(labels, x.shape, y.shape) for labels in trace.labels_of(x))
    for labels in result:  # channels split into (groups, channels of a group)
        for d in lb.varying(labels)[:-1]:
            trace.couple_widths(labels, d)
    if x.ndim == 4 and y.ndim == 2:
        y._grid = tuple(x.shape[2:])
    return result


def _move(trace: Trace, op: Operation, inputs: list[Tensor], outputs: list[Tensor]) -> None:
    """Label the outputs by running the operation on the labels themselves."""
    x = inputs[0]
    if len(inputs) > 1:  # an index that is a tensor: its numbers fit the channels there are now
        trace.fix(labels for t in inputs for labels in trace.labels_of(t))
        return
    results = []
    for labels in trace.labels_of(x):
        full = labels if op.name in ("roll", "flip") else labels.expand(x.shape)
        arguments = op.args, op.kwargs
        args, kwargs = tree_map(lambda leaf, full=full: full if leaf is x else leaf, arguments)
        results.append([lb.squash(part) for part in tensors_in(op.func(*args, **kwargs))])
    for y, *parts in zip(outputs, *results, strict=True):
        trace.set_labels(y, tuple(parts))
    if op.name in SPLITS:
        for parts in results:
            for part in parts[1:]:
                if part.shape == parts[0].shape and part.numel() > 1:
                    trace.width_couplings.append((part.reshape(-1), parts[0].reshape(-1)))


def _join(trace: Trace, op: Operation, ndim: int) -> tuple[Tensor, ...]:
    """Return the labels of a concatenation or stack; couple those along other dimensions."""
    parts = op.argument(0, "tensors")
    dim = op.argument(1, "dim", "axis", default=0) % ndim
    found = [trace.labels_of(t) for t in parts]
    if op.name == "stack":
        found = [tuple(labels.unsqueeze(dim) for labels in part) for part in found]
    sizes = [1 if op.name == "stack" else t.shape[dim] for t in parts]
    position = dim - ndim
    along: list[Tensor | None] = []
    others: dict[tuple[int, ...], Tensor] = {}
    for part, size in zip(found, sizes, strict=True):
        joined = [x for x in part if position in lb.varying(x) or size == x.numel() == 1]
        along.append(joined[0] if joined else None)
        for labels in part:
            dims = lb.varying(labels)
            if dims and position not in dims:
                trace.couple(others.setdefault(dims, labels), labels)
    for dims, labels in others.items():
        if not all(any(lb.varying(x) == dims for x in part) for part in found):
            trace.fix([labels])
    result = tuple(others.values())
    if any(labels is not None for labels in along):
        none = torch.zeros((1,) * ndim, dtype=torch.long)
        full = [none if labels is None else labels for labels in along]
        result = (lb.concatenated(full, sizes, dim), *result)
    return result


def _multiply(trace: Trace, a: Tensor, b: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Return the labels of a matrix product: those that it sums over are coupled."""
    trace.couple_or_fix(trace.labels_along(a, -1), trace.labels_along(b, -2))
    if name := trace.name_of(b):
        trace.consumers.add(Axis(name, b.ndim - 2))
    kept = (*trace.labels_not_along(a, -1), *trace.labels_not_along(b, -2))
    return tuple(x.reshape((1,) * (y.ndim - x.ndim) + x.shape) for x in kept)


# Arguments and shapes


def _spreads(shape: Sequence[int], to: Sequence[int]) -> bool:
    """Check whether broadcasting can make `to` out of `shape`."""
    pairs = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(n in (1, m) for n, m in pairs)


def _dims(op: Operation) -> tuple[int, ...] | None:
    """Return the dimensions of a reduction; None if there are none (`torch.max` of two tensors)."""
    dims = op.argument(2 if op.name == "norm" else 1, "dim", "axis")
    if isinstance(dims, int) and not isinstance(dims, bool):
        return (dims,)
    return tuple(dims) if isinstance(dims, (tuple, list, torch.Size)) else None
