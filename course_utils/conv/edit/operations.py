"""The labels of operations without weights: those that move, combine and reduce numbers.

Operations have their names in `torch`, for methods and functions alike (`x.view`, `torch.cat`).
An operation that is not listed is treated as one on each number, if the shapes allow that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from course_utils.conv.edit import labels as lb
from course_utils.conv.edit.labels import Labels, rank
from course_utils.conv.edit.reshapes import Reshape, channel_blocks, reshaped
from course_utils.conv.edit.trace import Axis, Trace
from course_utils.conv.meta import tensors_in
from course_utils.conv.shape_rules import JOINS

RESHAPES = {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "ravel"}
RESHAPES |= {"view_as", "reshape_as"}
SPLITS = {"chunk", "split", "tensor_split", "unbind"}
CUTS = SPLITS | {"__getitem__", "select", "narrow"}
TURNS = {"permute", "transpose", "t", "T", "mT", "swapaxes", "swapdims", "movedim", "moveaxis"}
MOVES = TURNS | CUTS | {"roll", "flip", "repeat", "tile"}
MOVES |= {"repeat_interleave", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle"}
MOVES |= {"native_channel_shuffle"}
CASTS = {"to", "type_as", "type"}
RESIZES = ("pool", "interpolate", "upsample")  # in the names of what mixes pixels
REDUCTIONS = {"mean", "sum", "amax", "amin", "max", "min", "var", "std", "norm", "logsumexp"}
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
UNLABELLED |= {"new_tensor", "result_type", "empty_like", "full_like", "rand_like", "randn_like"}
UNLABELLED |= {"randint_like", "bernoulli"}


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
    if op.name in CASTS:  # a second tensor only says the kind of number
        inputs = inputs[:1]
    if not outputs or not any(trace.labels_of(t) for t in inputs):
        return
    x, y = inputs[0], outputs[0]
    match op.name:
        case name if name in JOINS or name == "stack":
            trace.set_labels(y, _join(trace, op, y.ndim))
        case name if name in RESHAPES:
            trace.set_labels(y, _reshape(trace, op, x, y))
        case name if name in MOVES:
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
            pads, mode = op.argument(1, "pad"), op.argument(2, "mode", default="constant")
            labels = tuple(lb.padded(labels, pads, mode) for labels in trace.labels_of(x))
            trace.set_labels(y, labels)
        case name if name not in EXPANSIONS and (len(inputs) == 1 or name == "grid_sample"):
            for y in outputs:
                same = x if y.shape == x.shape else None
                trace.set_labels(y, _same_sizes(trace, op, x, y), like=same)
        case _:
            for y in outputs:
                trace.set_labels(y, _combine(trace, inputs, y))


def _reduce(trace: Trace, x: Tensor, dims: Sequence[int], keepdim: bool) -> tuple[Labels, ...]:
    """Return the labels of a sum, mean or maximum over `dims`.

    Over all channels, none are left. Over one of several dimensions along which they lie (the
    maximum of two halves, say), those that become one number are coupled.
    """
    gone = {d % x.ndim - x.ndim for d in dims}
    result = []
    for labels in trace.labels_of(x):
        if labels.dims and gone.issuperset(labels.dims):
            continue
        for d in gone.intersection(labels.dims):
            labels = trace.couple_along(labels, d)
        if not keepdim:
            left = lb.without(labels.dims, gone)
            labels = Labels(labels.numbers.squeeze(tuple(gone)), left)
        result.append(labels)
    return tuple(result)


def _same_sizes(trace: Trace, op: Operation, x: Tensor, y: Tensor) -> tuple[Labels, ...]:
    """Return the labels of an output of one input: a dimension of the same size keeps its own.

    What mixes pixels makes one channel of those that a pixel shuffle has put side by side.
    """
    found = trace.labels_of(x)
    mixed = any(part in op.name for part in RESIZES)
    if x.ndim != y.ndim:
        return trace.fix(found)
    if x.shape == y.shape and not mixed:
        return found
    result = []
    for labels in found:
        lost = [d for d in labels.dims if x.shape[d] != y.shape[d]]
        if mixed:
            lost = [d for d in labels.dims if d in lost or d >= 2 - x.ndim]
        if lost and (not mixed or len(lost) == len(labels.dims)):
            trace.fix([labels])
            continue
        for d in lost:
            labels = trace.couple_along(labels, d)
        result.append(labels)
    return tuple(result)


def _combine(trace: Trace, inputs: Sequence[Tensor], y: Tensor) -> tuple[Labels, ...]:
    """Return the labels of an operation number by number: labels that meet are coupled."""
    if not all(_spreads(t.shape, y.shape) for t in inputs):
        return trace.fix(labels for t in inputs for labels in trace.labels_of(t))
    together: dict[tuple, Labels] = {}
    for t in inputs:
        for number, labels in enumerate(trace.labels_of(t)):
            dims = labels.dims
            # Products of channels that were flattened have two label tensors along one dimension.
            twice = [x.dims for x in trace.labels_of(t)[:number]].count(dims)
            if any(t.shape[d] < y.shape[d] for d in dims) or (not dims and t.shape != y.shape):
                trace.fix([labels])  # a single channel, spread over all
                trace.spread += 1
                continue
            labels = labels.padded_to(y.ndim)
            if (dims, twice) in together:
                trace.couple(together[dims, twice].numbers, labels.numbers)
            else:
                together[dims, twice] = labels
    result = []
    for (dims, _), labels in together.items():
        # Channels that meet as many numbers without a label (a constant) cannot change in number.
        bare = (t for t in inputs if all(x.dims != dims for x in trace.labels_of(t)))
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


def _reshape(trace: Trace, op: Operation, x: Tensor, y: Tensor) -> tuple[Labels, ...]:
    """Return the labels of a reshaped tensor; remember the grid of flattened maps."""
    found = trace.labels_of(x)
    if op.name == "unsqueeze":
        dim = op.argument(1, "dim") % y.ndim - y.ndim
        return tuple(lb.inserted(labels, dim) for labels in found)
    if op.name == "squeeze":
        return _squeeze(op, x, found)
    result = []
    for labels in found:
        new = reshaped(labels, x.shape, y.shape)
        if new is None:
            trace.fix([labels])
            continue
        result.append(new)
        for d in new.dims[:-1]:  # channels split into (groups, channels of a group)
            trace.couple_widths(new.numbers, d)
    if x.ndim == 4 and y.ndim == 2:
        y._grid = tuple(x.shape[2:])
    if result:
        sides = (frozenset(d for labels in side for d in labels.dims) for side in (found, result))
        blocks = channel_blocks(found, x.shape, y.shape)
        trace.note_reshape(Reshape(op.name, blocks, tuple(x.shape), tuple(y.shape), *sides))
    return tuple(result)


def _squeeze(op: Operation, x: Tensor, found: tuple[Labels, ...]) -> tuple[Labels, ...]:
    asked = op.argument(1, "dim", default=range(x.ndim))
    asked = [asked] if isinstance(asked, int) else asked
    gone = {d % x.ndim - x.ndim for d in asked if x.shape[d] == 1}
    if not gone:
        return found
    dims = tuple(gone)
    return tuple(Labels(n.squeeze(dims), lb.without(lie, gone)) for n, lie in found)


def _move(trace: Trace, op: Operation, inputs: list[Tensor], outputs: list[Tensor]) -> None:
    """Label the outputs by running the operation on the labels themselves."""
    x = inputs[0]
    if len(inputs) > 1:  # an index that is a tensor: its numbers fit the channels there are now
        trace.fix(labels for t in inputs for labels in trace.labels_of(t))
        return
    results = []
    for labels in trace.labels_of(x):
        dims = _moved_dims(op, x, labels.dims)
        if op.name in TURNS:
            results.append([Labels(_on(op, x, labels.numbers), dims)])
            continue
        full = labels.numbers if op.name in ("roll", "flip") else labels.numbers.expand(x.shape)
        parts = [lb.squashed(part, dims) for part in tensors_in(_on(op, x, full))]
        if op.name in CUTS:
            _note_parts(trace, op, x, labels, parts)
        results.append(parts)
    for y, *parts in zip(outputs, *results, strict=True):
        trace.set_labels(y, tuple(parts))
    if op.name in SPLITS:
        for parts in results:
            for part in parts[1:]:
                if part.numbers.shape == parts[0].numbers.shape and part.dims:
                    trace.width_couplings.append((part.vector, parts[0].vector))


def _note_parts(
    trace: Trace, op: Operation, x: Tensor, labels: Labels, parts: Sequence[Labels]
) -> None:
    """Note which channels are in each part of a cut.

    A channel that is there several times (once for each of its pixels, say) may be cut apart: then
    those that come first, second, ... in the whole are noted one after the other.
    """
    vector = labels.vector.numpy()
    if len(np.unique(vector)) == len(vector):
        trace.parts += [part.vector for part in parts]
        return
    ranks = torch.from_numpy(rank(vector)).reshape(labels.numbers.shape)
    times = int(ranks.max()) + 1
    cut = tensors_in(_on(op, x, ranks.expand(x.shape)))
    for part, its in zip(parts, cut, strict=True):
        its = lb.squashed(its, part.dims).vector
        trace.parts += [part.vector[its == r] for r in range(times)]


def _on(op: Operation, x: Tensor, other: Tensor) -> Any:
    """Return the result of an operation on another tensor in the place of `x`."""
    arguments = tree_map(lambda leaf: other if leaf is x else leaf, (op.args, op.kwargs))
    return op.func(*arguments[0], **arguments[1])


def _moved_dims(op: Operation, x: Tensor, dims: tuple[int, ...]) -> tuple[int, ...]:
    """Return where dimensions of `x` are after the operation; those of which nothing is left, not.

    The labels cannot say this where only a single channel lies along a dimension.
    """
    if op.name in TURNS:  # a tensor whose sizes are the numbers of its dimensions
        turned = _on(op, x, torch.empty(tuple(range(x.ndim)), device="meta")).shape
        return tuple(i - x.ndim for i, d in enumerate(turned) if d - x.ndim in dims)
    if op.name in ("select", "unbind"):
        dim = op.argument(1, "dim", default=0)
        return lb.without(dims, {dim % x.ndim - x.ndim})
    if op.name == "__getitem__":
        picked = lb.picked(op.args[1], x.ndim)
        if picked is None:
            return ()
        places = enumerate(picked, start=-len(picked))
        return tuple(i for i, d in places if d is not None and d - x.ndim in dims)
    if op.name == "repeat_interleave" and op.argument(2, "dim") is None:
        return (-1,)
    return dims


def _join(trace: Trace, op: Operation, ndim: int) -> tuple[Labels, ...]:
    """Return the labels of a concatenation or stack; couple those along other dimensions."""
    parts = op.argument(0, "tensors")
    dim = op.argument(1, "dim", "axis", default=0) % ndim
    position = dim - ndim
    found = [trace.labels_of(t) for t in parts]
    if op.name == "stack":
        found = [tuple(lb.inserted(labels, position) for labels in part) for part in found]
    sizes = [1 if op.name == "stack" else t.shape[dim] for t in parts]
    along: list[Labels | None] = []
    others: dict[tuple[int, ...], Labels] = {}
    for part, size in zip(found, sizes, strict=True):
        joined = [x for x in part if position in x.dims or (size == 1 and not x.dims)]
        along.append(joined[0] if joined else None)
        for labels in part:
            if labels.dims and position not in labels.dims:
                trace.couple(others.setdefault(labels.dims, labels).numbers, labels.numbers)
    for dims, labels in others.items():
        if not all(any(x.dims == dims for x in part) for part in found):
            trace.fix([labels])
    result = tuple(others.values())
    if any(labels is not None for labels in along):
        none = torch.zeros((1,) * ndim, dtype=torch.long)
        full = [none if labels is None else labels.numbers for labels in along]
        lie = {position}.union(*(labels.dims for labels in along if labels is not None))
        result = (Labels(lb.concatenated(full, sizes, dim), tuple(sorted(lie))), *result)
    return result


def _multiply(trace: Trace, a: Tensor, b: Tensor, y: Tensor) -> tuple[Labels, ...]:
    """Return the labels of a matrix product: those that it sums over are coupled."""
    trace.couple_or_fix(trace.labels_along(a, -1), trace.labels_along(b, -2))
    if name := trace.name_of(b):
        trace.consumers.add(Axis(name, b.ndim - 2))
    kept = (*trace.labels_not_along(a, -1), *trace.labels_not_along(b, -2))
    return tuple(labels.padded_to(y.ndim) for labels in kept)


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
