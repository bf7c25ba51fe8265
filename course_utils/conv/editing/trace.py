"""Follow every channel through a network, whatever its architecture.

The network's own `forward` runs once on the meta device: shapes without numbers. A
`TorchFunctionMode` is shown each operation of it. Every activation carries labels (see `labels`):

- a convolution or linear layer gives each of its output channels a new label;
- operations that only move numbers (view, permute, cat, chunk, ...) are run on the labels, too;
- operations that combine tensors number by number (add, mul, ...) *tie* the labels that meet:
  these channels can only change together;
- whatever we do not know *fixes* the labels that reach it: these channels must stay.

What is found is kept per parameter axis: axis 0 of a convolution's weight holds the labels that it
gives, axis 1 those that it takes, a BatchNorm's vectors those that pass. No rule knows the name of
an architecture, or of a module.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from course_utils.conv.editing import labels as lb

Axis = tuple[str, int]  # name of a parameter or buffer, and one of its dimensions

RESHAPES = {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "ravel"}
RESHAPES |= {"view_as", "reshape_as"}
EXPANSIONS = {"expand", "expand_as", "broadcast_to"}
SPLITS = {"chunk", "split", "tensor_split", "unbind"}
MOVES = {"permute", "transpose", "t", "T", "mT", "swapaxes", "swapdims", "movedim", "moveaxis"}
MOVES |= {"__getitem__", "select", "narrow", "roll", "flip", "repeat", "repeat_interleave"}
MOVES |= {"pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle"}
REDUCTIONS = {"mean", "sum", "amax", "amin", "max", "min", "var", "std", "norm", "logsumexp"}
FACTORIES = {"new_zeros", "new_ones", "new_empty", "new_full", "zeros_like", "ones_like"}
FACTORIES |= {"empty_like", "full_like", "rand_like", "randn_like", "bernoulli"}
PRODUCTS = {"matmul", "__matmul__", "bmm"}
CONVOLUTIONS = {F.conv1d, F.conv2d, F.conv3d}
TRANSPOSED = {F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d}
NORMS = {F.batch_norm, F.instance_norm, F.group_norm, F.layer_norm, F.prelu}
# Functions that only tell something of a tensor; the most frequent ones of all.
QUESTIONS = {"shape", "size", "dim", "ndim", "numel", "dtype", "device", "is_floating_point"}
QUESTIONS |= {"__len__", "stride", "is_contiguous", "is_cuda", "is_meta", "requires_grad", "layout"}

_ARGUMENTS = {
    "convolution": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "transposed": [
        "input",
        "weight",
        "bias",
        "stride",
        "padding",
        "output_padding",
        "groups",
        "dilation",
    ],
    F.linear: ("input", "weight", "bias"),
    F.batch_norm: [
        "input",
        "running_mean",
        "running_var",
        "weight",
        "bias",
        "training",
        "momentum",
        "eps",
    ],
    F.layer_norm: ("input", "normalized_shape", "weight", "bias", "eps"),
    F.group_norm: ("input", "num_groups", "weight", "bias", "eps"),
    F.prelu: ("input", "weight"),
}
_BUFFERS = ("running_mean", "running_var", "weight", "bias")


class Trace(TorchFunctionMode):
    """What one run of a network tells about its channels.

    Args:
        tensors: name -> meta tensor of every parameter and buffer of the model that runs.
        former: the trace of the same network before its widths changed. A layer then takes what
            arrives where only the number of pixels has changed, and depthwise layers stay so.

    Attributes:
        axes: parameter axis -> labels in its slots, (groups, n).
        grids: axis -> (H, W) of the maps that were flattened before they reached it.
        consumers: axes whose slots are summed over, so copies of a channel share their weight.
        depthwise: weights of convolutions with one input channel per group.
        ties, loose_ties: pairs of label vectors that are equal; that must change in equal number.
        fixed: (labels, name of the operation) that cannot change.
        outputs: labels that leave the network.
        inputs: weight -> shapes that its layer was given.
        count: number of labels, 0 included.
        trains: whether the run in training mode was needed, and went through.
    """

    def __init__(self, tensors: dict[str, Tensor], former: Trace | None = None):
        super().__init__()
        self.names = {id(t): name for name, t in tensors.items()}
        self._alive = list(tensors.values())  # an id is only good as long as its tensor lives
        self._own: dict[str, tuple[Tensor, ...]] = {}
        self.former = former
        self.axes: dict[Axis, Tensor] = {}
        self.grids: dict[Axis, tuple[int, int]] = {}
        self.consumers: set[Axis] = set()
        self.depthwise: set[str] = set()
        self.ties: list[tuple[Tensor, Tensor]] = []
        self.loose_ties: list[tuple[Tensor, Tensor]] = []
        self.fixed: list[tuple[Tensor, str]] = []
        self.outputs: list[Tensor] = []
        self.inputs: dict[str, list[tuple[int, ...]]] = {}
        self.count = 1
        self.trains = False
        self._operation = ""

    # Labels of a tensor

    def new_labels(self, n: int) -> Tensor:
        self.count += n
        return torch.arange(self.count - n, self.count)

    def of(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """The label tensors of an activation or parameter; they vary along different dims."""
        name = self.names.get(id(tensor))
        if name is None:
            return getattr(tensor, "_channel_labels", ())
        if name not in self._own:  # a parameter that is used by itself: layer scale, ...
            self._own[name] = tuple(
                lb.along(self.axis((name, d), n), d, tensor.ndim)
                for d, n in enumerate(tensor.shape)
                if n > 1 and tensor.is_floating_point()
            )
        return self._own[name]

    def axis(self, axis: Axis, n: int) -> Tensor:
        """The labels that a parameter's axis gives; new ones at its first use."""
        if axis not in self.axes:
            self.axes[axis] = self.new_labels(n)[None]
        return self.axes[axis].reshape(-1)

    def vector(self, tensor: Tensor, dim: int) -> Tensor | None:
        """The labels along one dimension of an activation; None if it has none there."""
        dim %= tensor.ndim
        for labels in self.of(tensor):
            if labels.shape[dim] > 1 or (tensor.shape[dim] == 1 and labels.numel() == 1):
                for other in range(labels.ndim):  # the same slot sees all of these
                    if other != dim and labels.shape[other] > 1:
                        first = labels.narrow(other, 0, 1)
                        self.tie(labels, first.expand_as(labels))
                        labels = first
                return labels.reshape(-1)
        return None

    def others(self, tensor: Tensor, dim: int) -> tuple[Tensor, ...]:
        """The label tensors that do not vary along `dim`."""
        return tuple(x for x in self.of(tensor) if x.shape[dim] == 1 and x.numel() > 1)

    def tie(self, a: Tensor, b: Tensor) -> None:
        if a is not b:
            self.ties.append((a.reshape(-1), b.reshape(-1)))

    def tie_loosely(self, labels: Tensor, dim: int) -> None:
        """Along `dim` lie parts that stay equally wide: groups, heads, halves."""
        first = labels.narrow(dim, 0, 1).expand_as(labels)
        self.loose_ties.append((labels.reshape(-1), first.reshape(-1)))

    def fix(self, labels: Iterable[Tensor]) -> tuple[Tensor, ...]:
        self.fixed += [(x.reshape(-1), self._operation) for x in labels]
        return ()

    def take(self, parameter: Tensor | None, dim: int, arriving: Tensor, groups: int = 1) -> None:
        """An axis of a parameter meets channels; `arriving` holds their labels."""
        if parameter is None:
            return
        axis = (self.owner(parameter, dim), dim)
        slots = arriving.reshape(groups, -1)
        if not axis[0]:
            self.fix([arriving])
        elif axis not in self.axes or (groups > 1 and len(self.axes[axis]) == 1):
            self.axes[axis] = slots
        else:
            self.tie(self.axes[axis], slots)

    def owner(self, tensor: Tensor, dim: int) -> str:
        """The parameter whose axis `dim` a weight has: itself, or what it is computed from.

        Weight normalisation and standardisation compute the weight that they convolve with; its
        labels are then those of the parameter behind it. "" if there is none.
        """
        if id(tensor) in self.names:
            return self.names[id(tensor)]
        own = self.vector(tensor, dim)
        if own is None:
            return ""
        mine = (a for a, s in self.axes.items() if a[1] == dim and s.numel() == own.numel())
        return next((a[0] for a in mine if torch.equal(self.axes[a].reshape(-1), own)), "")

    # Operations

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "__get__":
            name = getattr(func.__self__, "__name__", "")
        if name in QUESTIONS:
            return func(*args, **kwargs)
        if name.endswith("_") and not name.endswith("__"):
            name = name.rstrip("_")
        self._operation = name
        if func in CONVOLUTIONS:
            return self._weighted(func, _named("convolution", args, kwargs), 1)
        if func is F.linear:
            return self._weighted(func, _named(func, args, kwargs), -1)
        if func in TRANSPOSED:
            return self._transposed(func, _named("transposed", args, kwargs))
        if func in NORMS:
            return self._norm(func, args, kwargs)
        output = func(*args, **kwargs)
        if name in FACTORIES or not isinstance(output, (Tensor, tuple, list)):
            return output
        inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if any(self.of(t) for t in inputs):
            self._follow(func, name, args, kwargs, inputs, output)
        return output

    def _follow(self, func, name, args, kwargs, inputs, output) -> None:
        """Give the labels of an operation without weights to its output."""
        first = inputs[0]
        if name == "__setitem__":
            self.fix(x for t in inputs for x in self.of(t))
        elif name in ("cat", "concat", "concatenate", "stack"):
            self._concatenate(name == "stack", args, kwargs, output)
        elif name in RESHAPES:
            output._channel_labels = self._reshape(first, output)
        elif name in EXPANSIONS:
            output._channel_labels = self._combine([first], output)
        elif name in SPLITS or name in MOVES:
            self._move(func, name, args, kwargs, inputs, output)
        elif name in REDUCTIONS and _dims(name, args, kwargs) is not None:
            dims = _dims(name, args, kwargs)
            left = [lb.without(x, dims, _first(output).ndim == first.ndim) for x in self.of(first)]
            _give(output, tuple(x for x in left if x is not None))
        elif name in PRODUCTS and min(t.ndim for t in inputs) > 1 and len(inputs) == 2:
            output._channel_labels = self._multiply(*inputs, output)
        elif name == "scaled_dot_product_attention":
            query, key, value = inputs[:3]
            self._meet(self.vector(query, -1), self.vector(key, -1))
            output._channel_labels = self.others(value, -2)
        elif name == "pad" and output.ndim == first.ndim:
            pads = args[1] if len(args) > 1 else kwargs["pad"]
            output._channel_labels = tuple(lb.padded(x, pads) for x in self.of(first))
        elif len(inputs) == 1 or name == "grid_sample":
            for y in _tensors(output):
                y._channel_labels = self._same_sizes(first, y)
        else:
            for y in _tensors(output):
                y._channel_labels = self._combine(inputs, y)

    def _same_sizes(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """One tensor in, one out: a dimension that keeps its size keeps its labels."""
        found = self.of(x)
        if x.shape == y.shape:
            return found
        if x.ndim != y.ndim:
            return self.fix(found)
        kept = [all(x.shape[d] == y.shape[d] for d in lb.varying(labels)) for labels in found]
        self.fix(labels for labels, keep in zip(found, kept, strict=True) if not keep)
        return tuple(labels for labels, keep in zip(found, kept, strict=True) if keep)

    def _combine(self, inputs: list[Tensor], y: Tensor) -> tuple[Tensor, ...]:
        """Number by number, with broadcasting: what meets is tied."""
        found = [(t, labels) for t in inputs for labels in self.of(t)]
        if not all(_spreads(t.shape, y.shape) for t in inputs):
            return self.fix(labels for _, labels in found)
        together: dict[tuple[int, ...], Tensor] = {}
        for _, labels in found:
            dims = lb.varying(labels)
            labels = labels.reshape((1,) * (y.ndim - labels.ndim) + labels.shape)
            if not dims:  # a single channel, spread over all
                self.fix([labels])
            elif dims in together:
                self.tie(together[dims], labels)
            else:
                together[dims] = labels
        for dims in list(together):
            crossed = any(set(dims) & set(other) for other in together if other != dims)
            bare = any(
                any(d >= -t.ndim and t.shape[d] > 1 for d in dims)
                and all(lb.varying(labels) != dims for labels in self.of(t))
                for t in inputs
            )
            if crossed or bare:  # channels meet something that is not counted in channels
                self.fix([together[dims]])
                if crossed:
                    del together[dims]
        return tuple(together.values())

    def _reshape(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        result = []
        for labels in self.of(x):
            new = lb.reshaped(labels, x.shape, y.shape)
            if new.numel() > 1:
                for d in lb.varying(new)[:-1]:
                    self.tie_loosely(new, d)
            result.append(new)
        if x.ndim == 4 and y.ndim == 2:
            y._grid = tuple(x.shape[2:])
        return tuple(result)

    def _move(self, func, name, args, kwargs, inputs, output) -> None:
        found = self.of(inputs[0])
        if len(inputs) > 1:  # an index that is a tensor: it counts in channels as they are now
            for y in _tensors(output):
                y._channel_labels = self.fix(x for t in inputs for x in self.of(t))
            return
        results = []
        for labels in found:
            full = labels if name in ("roll", "flip") else lb.expanded(labels, inputs[0].shape)
            moved = func(*_replace(args, inputs[0], full), **_replace(kwargs, inputs[0], full))
            results.append([lb.squash(x) for x in _tensors(moved)])
        for y, *parts in zip(_tensors(output), *results, strict=True):
            y._channel_labels = tuple(parts)
        if name in SPLITS:
            for parts in results:
                for part in parts[1:]:
                    if part.shape == parts[0].shape and part.numel() > 1:
                        self.loose_ties.append((part.reshape(-1), parts[0].reshape(-1)))

    def _concatenate(self, stacked: bool, args, kwargs, y: Tensor) -> None:
        parts = args[0] if args else kwargs["tensors"]
        dim = (args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis", 0))) % y.ndim
        sizes = [1 if stacked else t.shape[dim] for t in parts]
        found = [self.of(t) for t in parts]
        if stacked:
            found = [tuple(x.unsqueeze(dim) for x in own) for own in found]
        position = dim - y.ndim
        result = []
        joined = [
            next((x for x in own if position in lb.varying(x) or size == x.numel() == 1), None)
            for own, size in zip(found, sizes, strict=True)
        ]
        if any((x is not None and x.numel() > 1) or s == 1 for x, s in zip(joined, sizes)) and any(
            x is not None for x in joined
        ):
            none = torch.zeros((1,) * y.ndim, dtype=torch.long)
            result.append(lb.concatenated([none if x is None else x for x in joined], sizes, dim))
        # What varies along another dimension lies above one another: the same channel.
        beside: dict[tuple[int, ...], Tensor] = {}
        for own in found:
            for labels in own:
                dims = lb.varying(labels)
                if dims and position not in dims:
                    if dims in beside:
                        self.tie(beside[dims], labels)
                    beside.setdefault(dims, labels)
        for dims, labels in beside.items():
            if not all(any(lb.varying(x) == dims for x in own) for own in found):
                self.fix([labels])
        y._channel_labels = (*result, *beside.values())

    def _multiply(self, a: Tensor, b: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """Matrix product: the labels that are summed over are tied."""
        self._meet(self.vector(a, -1), self.vector(b, -2))
        if id(b) in self.names:
            self.consumers.add((self.names[id(b)], b.ndim - 2))
        kept = (*self.others(a, -1), *self.others(b, -2))
        return tuple(x.reshape((1,) * (y.ndim - x.ndim) + x.shape) for x in kept)

    def _meet(self, a: Tensor | None, b: Tensor | None) -> None:
        if a is not None and b is not None:
            self.tie(a, b)
        else:
            self.fix(x for x in (a, b) if x is not None)

    # Layers with weights

    def _weighted(self, func: Callable, a: dict[str, Any], dim: int) -> Tensor:
        """Convolution (channels in dimension 1) and linear layer (in the last one)."""
        x, weight, groups = a["input"], a["weight"], a.get("groups", 1)
        if dim == 1 and x.ndim < weight.ndim:  # one picture without a batch
            dim = 0
        name = self.owner(weight, 0)
        arriving, channels = self.vector(x, dim), x.shape[dim]
        self.inputs.setdefault(name, []).append(tuple(x.shape))
        was_depthwise = self.former is not None and name in self.former.depthwise
        depthwise = groups > 1 and weight.shape[1] == 1
        if was_depthwise:
            a["groups"] = groups = channels
        elif self.former is not None and name and weight.shape[1] * groups != channels:
            shape = (weight.shape[0], channels // groups, *weight.shape[2:])
            a["weight"] = weight.new_empty(shape)
        if depthwise and name:
            self.depthwise.add(name)
        if arriving is None:
            leaving = None
        elif depthwise:
            leaving = arriving.repeat_interleave(weight.shape[0] // groups)
            self.take(weight, 0, leaving)
        else:
            leaving = None
            taker = self.owner(weight, 1), 1
            self.take(weight, 1, arriving, groups)
            self.consumers.add(taker)
            if hasattr(x, "_grid"):
                self.grids[taker] = x._grid
            if groups > 1:
                self.tie_loosely(arriving.reshape(groups, -1), 0)
        if leaving is None:
            leaving = self._rows(weight, groups)
        if leaving is not None:
            self.take(a.get("bias"), 0, leaving)
        output = func(**a)
        own = () if leaving is None else (lb.along(leaving, dim, output.ndim),)
        beside = tuple(
            labels
            for labels in self.others(x, dim)
            if all(output.shape[d] == x.shape[d] for d in lb.varying(labels))
        )
        output._channel_labels = own + beside
        return output

    def _rows(self, weight: Tensor, groups: int) -> Tensor | None:
        """The labels that a weight's rows give to the channels."""
        name = self.names.get(id(weight))
        if name is None:
            return self.vector(weight, 0)
        rows = self.axis((name, 0), weight.shape[0])
        if groups > 1:
            self.axes[name, 0] = rows.reshape(groups, -1)
            self.tie_loosely(rows.reshape(groups, -1), 0)
        return rows

    def _transposed(self, func: Callable, a: dict[str, Any]) -> Tensor:
        """Transposed convolution: axis 0 takes, axis 1 gives; groups are not followed."""
        x, weight, groups = a["input"], a["weight"], a.get("groups", 1)
        name, arriving = self.names.get(id(weight), ""), self.vector(x, 1)
        if groups > 1 or not name:
            self.fix([] if arriving is None else [arriving])
            return func(**a)
        if arriving is not None:
            self.take(weight, 0, arriving)
            self.consumers.add((name, 0))
        leaving = self.axis((name, 1), weight.shape[1])
        self.take(a.get("bias"), 0, leaving)
        output = func(**a)
        output._channel_labels = (lb.along(leaving, 1, output.ndim),)
        return output

    def _norm(self, func: Callable, args: tuple, kwargs: dict) -> Tensor:
        """Normalisation and PReLU: their vectors take the channels that pass."""
        a = _named(func, args, kwargs)
        x, dim = a["input"], 1
        if func is F.layer_norm:
            dim = -1
            if len(a["normalized_shape"]) > 1:  # over channels and pixels at once
                self.fix(self.of(x))
                return func(**a)
            if self.former is not None:
                a["normalized_shape"] = (x.shape[-1],)
        passing = self.vector(x, dim) if x.ndim > 1 else None
        if passing is not None:
            groups = a["num_groups"] if func is F.group_norm else 1
            if groups > 1:
                self.tie_loosely(passing.reshape(groups, -1), 0)
            for part in _BUFFERS:
                parameter = a.get(part)
                if parameter is not None and (func is not F.prelu or parameter.numel() > 1):
                    self.take(parameter, 0, passing, groups)
        if func is F.batch_norm and x.is_meta and not a.get("training"):
            # A tenth of the time that PyTorch takes for it on the meta device.
            _check_lengths(a, x.shape[1])
            output = torch.empty_like(x)
        else:
            output = func(**a)
        output._channel_labels = self.of(x)
        return output


def run(model: nn.Module, inputs: tuple, former: Trace | None = None) -> tuple[Trace, list]:
    """Run a model, whose tensors are on the meta device, under a `Trace`.

    Parts that only training uses (the auxiliary heads of GoogLeNet, say) are found by a second
    run in training mode.

    Returns:
        The trace, and the shapes of all outputs.

    Raises:
        Exception: whatever the model raises.
    """
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    trace = Trace({name: t for name, t in tensors.items() if t is not None}, former)
    trains = former is not None and former.trains
    modes = {module: module.training for module in model.modules()}
    shapes = []
    try:
        for training in (False, True):
            model.train(training)
            copies = tree_map(lambda t: t.clone() if isinstance(t, Tensor) else t, inputs)
            try:
                with torch.no_grad(), trace:
                    result = model(*copies)
            except Exception:
                if not training or trains:
                    raise
                break
            trace.trains = training
            for output in tree_leaves(result):
                if isinstance(output, Tensor):
                    trace.outputs += [x.reshape(-1) for x in trace.of(output)]
                    shapes.append(tuple(output.shape))
            used = {name for name, _ in trace.axes} | set(trace.inputs)
            if all(name in used for name, p in model.named_parameters() if p.ndim > 1):
                break
    finally:
        for module, mode in modes.items():
            module.training = mode
    trace.former = None  # or a chain of edits would keep every trace
    return trace, shapes


# Arguments and shapes


def _check_lengths(a: dict[str, Any], channels: int) -> None:
    for part in _BUFFERS:
        if a.get(part) is not None and len(a[part]) != channels:
            raise RuntimeError(f"{part} has {len(a[part])} numbers for {channels} channels")


def _spreads(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Whether broadcasting makes `to` of `shape`."""
    return len(shape) <= len(to) and all(
        n in (1, m) for n, m in zip(reversed(shape), reversed(to), strict=False)
    )


def _named(func: Any, args: tuple, kwargs: dict) -> dict[str, Any]:
    """All arguments by their names."""
    names = _ARGUMENTS.get(func) or tuple(inspect.signature(func).parameters)
    return dict(zip(names, args, strict=False)) | kwargs


def _dims(name: str, args: tuple, kwargs: dict) -> tuple[int, ...] | None:
    """The dimensions of a reduction; None if it is none (`torch.max` of two tensors)."""
    position = 2 if name == "norm" else 1
    dims = kwargs.get("dim", kwargs.get("axis", args[position] if len(args) > position else None))
    if isinstance(dims, int) and not isinstance(dims, bool):
        return (dims,)
    return tuple(dims) if isinstance(dims, (tuple, list, torch.Size)) else None


def _tensors(value: Any) -> list[Tensor]:
    return [t for t in tree_leaves(value) if isinstance(t, Tensor)]


def _first(value: Any) -> Tensor:
    return _tensors(value)[0]


def _give(output: Any, labels: tuple[Tensor, ...]) -> None:
    for y in _tensors(output):
        y._channel_labels = labels


def _replace(value: Any, old: Tensor, new: Tensor) -> Any:
    return tree_map(lambda leaf: new if leaf is old else leaf, value)
