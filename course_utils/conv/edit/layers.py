"""Where the labels go in layers with weights: convolutions, linear layers, normalisations."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.conv.edit import labels as lb

if TYPE_CHECKING:
    from course_utils.conv.edit.trace import Trace

CONVOLUTIONS = {F.conv1d, F.conv2d, F.conv3d}
TRANSPOSED = {F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d}
NORMS = {F.batch_norm, F.instance_norm, F.group_norm, F.layer_norm, F.prelu}

_VECTORS = ("running_mean", "running_var", "weight", "bias")
_ARGUMENTS = {
    F.linear: "input weight bias",
    F.batch_norm: "input running_mean running_var weight bias training momentum eps",
    F.layer_norm: "input normalized_shape weight bias eps",
    F.group_norm: "input num_groups weight bias eps",
    F.prelu: "input weight",
}
_ARGUMENTS |= dict.fromkeys(CONVOLUTIONS, "input weight bias stride padding dilation groups")
_ARGUMENTS |= dict.fromkeys(
    TRANSPOSED, "input weight bias stride padding output_padding groups dilation"
)


def run_layer(trace: Trace, func: Callable, args: tuple, kwargs: dict) -> Tensor | None:
    """Run a function that has weights, and note its channels; None if it has none."""
    if func in CONVOLUTIONS:
        return _weighted(trace, func, _named(func, args, kwargs), 1)
    if func is F.linear:
        return _weighted(trace, func, _named(func, args, kwargs), -1)
    if func in TRANSPOSED:
        return _transposed(trace, func, _named(func, args, kwargs))
    if func in NORMS:
        return _norm(trace, func, _named(func, args, kwargs))
    return None


def _weighted(trace: Trace, func: Callable, a: dict[str, Any], dim: int) -> Tensor:
    """Convolution (channels in dimension 1) and linear layer (in the last one)."""
    x, weight, groups = a["input"], a["weight"], a.get("groups", 1)
    if dim == 1 and x.ndim < weight.ndim:  # one picture without a batch
        dim = 0
    name, channels = trace.owner(weight, 0), x.shape[dim]
    trace.inputs.setdefault(name, []).append(tuple(x.shape))
    depthwise = groups > 1 and weight.shape[1] == 1
    arriving, leaving = trace.vector(x, dim), None
    if trace.former is not None:
        if name in trace.former.depthwise:
            a["groups"] = groups = channels
        elif weight.shape[1] * groups != channels and arriving is not None:
            # More or fewer pixels were flattened, or a split cut the channels elsewhere.
            a["weight"] = weight.new_empty(weight.shape[0], channels // groups, *weight.shape[2:])
    if depthwise:
        trace.depthwise.add(name)
    if depthwise and arriving is not None:
        leaving = arriving.repeat_interleave(weight.shape[0] // groups)
        trace.take(weight, 0, leaving)
    elif arriving is not None:
        taker = trace.owner(weight, 1), 1
        trace.take(weight, 1, arriving, groups)
        trace.consumers.add(taker)
        if hasattr(x, "_grid"):
            trace.grids[taker] = x._grid
        if groups > 1:
            trace.tie_loosely(arriving.reshape(groups, -1), 0)
    if leaving is None:
        leaving = _rows(trace, weight, groups)
    output = func(**a)
    if leaving is None:
        return output
    if a.get("bias") is not None:
        trace.take(a["bias"], 0, leaving)
    beside = (  # labels along other dimensions, such as the channels where tokens are mixed
        labels
        for labels in trace.beside(x, dim)
        if all(output.shape[d] == x.shape[d] for d in lb.varying(labels))
    )
    trace.give(output, (lb.along(leaving, dim, output.ndim), *beside))
    return output


def _rows(trace: Trace, weight: Tensor, groups: int) -> Tensor | None:
    """The labels that a weight's rows give to the channels."""
    name = trace.names.get(id(weight))
    if name is None:
        return trace.vector(weight, 0)
    rows = trace.axis((name, 0), weight.shape[0])
    if groups > 1:
        trace.axes[name, 0] = rows.reshape(groups, -1)
        trace.tie_loosely(rows.reshape(groups, -1), 0)
    return rows


def _transposed(trace: Trace, func: Callable, a: dict[str, Any]) -> Tensor:
    """Transposed convolution: axis 0 takes, axis 1 gives; groups are not followed."""
    x, weight, groups = a["input"], a["weight"], a.get("groups", 1)
    name, arriving = trace.names.get(id(weight), ""), trace.vector(x, 1)
    output = func(**a)
    if groups > 1 or not name:
        trace.fix([] if arriving is None else [arriving])
        return output
    if arriving is not None:
        trace.take(weight, 0, arriving)
        trace.consumers.add((name, 0))
    leaving = trace.axis((name, 1), weight.shape[1])
    if a.get("bias") is not None:
        trace.take(a["bias"], 0, leaving)
    trace.give(output, (lb.along(leaving, 1, output.ndim),))
    return output


def _norm(trace: Trace, func: Callable, a: dict[str, Any]) -> Tensor:
    """Normalisation and PReLU: their vectors take the channels that pass."""
    x, dim = a["input"], 1
    if func is F.layer_norm:
        dim = -1
        if len(a["normalized_shape"]) > 1:  # over channels and pixels at once
            trace.fix(trace.of(x))
            return func(**a)
        if trace.former is not None:
            a["normalized_shape"] = (x.shape[-1],)
    passing = trace.vector(x, dim) if x.ndim > 1 else None
    if passing is not None:
        groups = a["num_groups"] if func is F.group_norm else 1
        if groups > 1:
            trace.tie_loosely(passing.reshape(groups, -1), 0)
        for part in _VECTORS:
            vector = a.get(part)
            if vector is not None and (func is not F.prelu or vector.numel() > 1):
                trace.take(vector, 0, passing, groups)
                if hasattr(x, "_grid"):
                    trace.grids[trace.owner(vector, 0), 0] = x._grid
                if trace.former is not None and len(vector) != x.shape[dim]:
                    a[part] = vector.new_empty(x.shape[dim])  # more or fewer pixels
    if func is F.batch_norm and x.is_meta and not a.get("training"):
        # PyTorch takes ten times as long for it on the meta device.
        lengths = {len(a[part]) for part in _VECTORS if a.get(part) is not None}
        if lengths - {x.shape[1]}:
            raise RuntimeError(f"{x.shape[1]} channels meet a BatchNorm of {lengths} channels")
        output = torch.empty_like(x)
    else:
        output = func(**a)
    trace.give(output, trace.of(x), like=x)
    if trace.former is not None and trace.bare_norm is not None:
        _note_width(trace.bare_norm, x.shape[dim])
        trace.bare_norm = None
    return output


def _note_width(norm: nn.Module, channels: int) -> None:
    """Only a number in a normalisation without parameters says how wide it is."""
    match norm:
        case nn.LayerNorm():
            norm.normalized_shape = (channels,)
        case nn.GroupNorm():
            norm.num_channels = channels
        case _:
            norm.num_features = channels


def _named(func: Callable, args: tuple, kwargs: dict) -> dict[str, Any]:
    """All arguments by their names."""
    known = _ARGUMENTS.get(func)
    names = known.split() if known else tuple(inspect.signature(func).parameters)
    return dict(zip(names, args, strict=False)) | kwargs
