"""Follow every channel through a network, whatever its architecture.

The network's own `forward` runs once on the meta device: shapes without numbers. A
`TorchFunctionMode` is shown each operation of it. Every activation carries labels (see `labels`):

- a convolution or linear layer gives each of its output channels a new label (`weighted`);
- operations that only move numbers (view, permute, cat, chunk, ...) are run on the labels, too;
- operations that combine tensors number by number (add, mul, ...) *tie* the labels that meet:
  these channels can only change together;
- whatever we do not know *fixes* the labels that reach it: these channels must stay (`operations`).

What is found is kept per parameter axis: axis 0 of a convolution's weight holds the labels that it
gives, axis 1 those that it takes, a BatchNorm's vectors those that pass. No rule knows the name of
an architecture, or of a module.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from course_utils.conv.edit import labels as lb
from course_utils.conv.edit.layers import run_layer
from course_utils.conv.edit.operations import (
    FACTORIES,
    POINTWISE,
    QUESTIONS,
    follow,
    tensors_in,
)
from course_utils.core import kept_modes

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)

Axis = tuple[str, int]  # name of a parameter or buffer, and one of its dimensions


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
        self.bare_norm: nn.Module | None = None
        self._alive = list(tensors.values())  # an id is only good as long as its tensor lives
        self._own: dict[str, tuple[Tensor, ...]] = {}
        self._operation = ""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "__get__":
            name = getattr(func.__self__, "__name__", "")
        if name in QUESTIONS or name in FACTORIES:
            return func(*args, **kwargs)
        if name.endswith("_") and not name.endswith("__"):  # in place
            name = name.rstrip("_")
        self._operation = name
        output = run_layer(self, func, args, kwargs)
        if output is None and name in POINTWISE and isinstance(args[0], Tensor) and args[0].is_meta:
            # PyTorch takes ten times as long on the meta device, for the same shape.
            in_place = func.__name__.endswith("_") or kwargs.get("inplace", False)
            output = args[0] if in_place else torch.empty_like(args[0])
            self.give(output, self.of(args[0]), like=args[0])
        elif output is None:
            output = func(*args, **kwargs)
            follow(self, func, name, args, kwargs, output)
        return output

    def enter(self, norm: nn.Module, _inputs: tuple) -> None:
        """A normalisation without parameters begins to run."""
        self.bare_norm = norm

    # The labels of a tensor

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

    def give(self, tensor: Tensor, labels: tuple[Tensor, ...], like: Tensor | None = None) -> None:
        """Label a tensor; `like`: the one that it was made of, number by number."""
        tensor._channel_labels = labels
        if hasattr(like, "_grid"):
            tensor._grid = like._grid

    def axis(self, axis: Axis, n: int) -> Tensor:
        """The labels that a parameter's axis gives; new ones at its first use."""
        if axis not in self.axes:
            self.axes[axis] = torch.arange(self.count, self.count + n)[None]
            self.count += n
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
            if labels.numel() == 1 and tensor.shape[dim] == math.prod(getattr(tensor, "_grid", ())):
                return labels.reshape(-1).expand(tensor.shape[dim])  # the pixels of one channel
        return None

    def beside(self, tensor: Tensor, dim: int) -> tuple[Tensor, ...]:
        """The label tensors that do not vary along `dim`."""
        return tuple(x for x in self.of(tensor) if x.shape[dim] == 1 and x.numel() > 1)

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

    # What is learned about labels

    def tie(self, a: Tensor, b: Tensor) -> None:
        """The same channel: kept, copied or dropped as one."""
        if a is not b:
            self.ties.append((a.reshape(-1), b.reshape(-1)))

    def tie_loosely(self, labels: Tensor, dim: int) -> None:
        """Along `dim` lie parts that stay equally wide: groups, heads, halves."""
        first = labels.narrow(dim, 0, 1).expand_as(labels)
        self.loose_ties.append((labels.reshape(-1), first.reshape(-1)))

    def fix(self, labels: Iterable[Tensor]) -> tuple[()]:
        """These channels cannot change in number; returns no labels."""
        self.fixed += [(x.reshape(-1), self._operation) for x in labels]
        return ()

    def meet(self, a: Tensor | None, b: Tensor | None) -> None:
        """Tie two vectors of labels; one that meets none is fixed."""
        if a is not None and b is not None:
            self.tie(a, b)
        else:
            self.fix(x for x in (a, b) if x is not None)

    def take(self, parameter: Tensor, dim: int, arriving: Tensor, groups: int = 1) -> None:
        """An axis of a parameter meets channels; `arriving` holds their labels."""
        axis = (self.owner(parameter, dim), dim)
        slots = arriving.reshape(groups, -1)
        if not axis[0]:
            self.fix([arriving])
        elif axis not in self.axes or (groups > 1 and len(self.axes[axis]) == 1):
            self.axes[axis] = slots
        else:
            self.tie(self.axes[axis], slots)


def run(model: nn.Module, inputs: tuple, former: Trace | None = None) -> tuple[Trace, list]:
    """Run a model under a `Trace`.

    Parts that only training uses (the auxiliary heads of GoogLeNet, say) are found by a second
    run in training mode.

    Returns:
        The trace, and the shapes of all outputs.

    Raises:
        Exception: whatever the model raises.
    """
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    trace = Trace(tensors, former)
    must_train = former is not None and former.trains
    shapes = []
    bare = [m for m in model.modules() if isinstance(m, _NORMS) and not m.state_dict()]
    with contextlib.ExitStack() as stack:
        stack.enter_context(kept_modes(model))
        for module in bare:
            stack.callback(module.register_forward_pre_hook(trace.enter).remove)
        for training in (False, True):
            model.train(training)
            copies = tree_map(lambda t: t.clone() if isinstance(t, Tensor) else t, inputs)
            try:
                with torch.no_grad(), warnings.catch_warnings(), trace:
                    warnings.simplefilter("ignore")  # they come again when the model is used
                    result = model(*copies)
            except Exception:
                if not training or must_train:
                    raise
                break
            trace.trains = training
            for output in tensors_in(result):
                trace.outputs += [x.reshape(-1) for x in trace.of(output)]
                shapes.append(tuple(output.shape))
            used = {name for name, _ in trace.axes} | set(trace.inputs)
            if all(name in used for name, p in model.named_parameters() if p.ndim > 1):
                break
    trace.former = None  # or a chain of edits would keep every trace
    return trace, shapes
