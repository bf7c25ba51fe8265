"""The labels of layers with weights: convolutions, linear layers, normalisations."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.conv.edit import labels as lb
from course_utils.conv.edit.trace import Axis, Trace
from course_utils.conv.meta import resized

CONVOLUTIONS = {F.conv1d, F.conv2d, F.conv3d}
TRANSPOSED = {F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d}
NORMS = {F.batch_norm, F.instance_norm, F.group_norm, F.layer_norm, F.prelu}

_VECTORS = ("running_mean", "running_var", "weight", "bias")
_ARGUMENTS = {  # `inspect.signature` does not know those of compiled functions
    F.linear: "input weight bias",
    F.batch_norm: "input running_mean running_var weight bias training momentum eps",
    F.layer_norm: "input normalized_shape weight bias eps",
    F.group_norm: "input num_groups weight bias eps",
    F.prelu: "input weight",
}
_ARGUMENTS |= dict.fromkeys(CONVOLUTIONS, "input weight bias stride padding dilation groups")
_BACK = "input weight bias stride padding output_padding groups dilation"
_ARGUMENTS |= dict.fromkeys(TRANSPOSED, _BACK)


def run_layer(trace: Trace, func: Callable, args: tuple, kwargs: dict) -> Tensor | None:
    """Run a function that has weights and note its channels; return None for any other function."""
    if func in CONVOLUTIONS or func is F.linear:
        return _weighted(trace, func, by_name(func, args, kwargs), -1 if func is F.linear else 1)
    if func in TRANSPOSED:
        return _transposed(trace, func, by_name(func, args, kwargs))
    if func in NORMS:
        return _norm(trace, func, by_name(func, args, kwargs))
    return None


def _weighted(trace: Trace, func: Callable, a: dict[str, Any], dim: int) -> Tensor:
    """Run a convolution (channels in dimension 1) or a linear layer (in the last one)."""
    x, weight, groups = a["input"], a["weight"], a.get("groups", 1)
    if dim == 1 and x.ndim < weight.ndim:  # one picture without a batch
        dim = 0
    name, channels = trace.source_parameter(weight, 0), x.shape[dim]
    trace.input_shapes.setdefault(name, []).append(tuple(x.shape))
    depthwise = groups > 1 and weight.shape[1] == 1
    consumed = trace.labels_along(x, dim)
    if trace.before is not None:
        if name in trace.before.depthwise:
            a["groups"] = groups = channels
        elif weight.shape[1] * groups != channels and consumed is not None:
            # More or fewer pixels were flattened, or a split cut the channels elsewhere.
            a["weight"] = resized(weight, (len(weight), channels // groups, *weight.shape[2:]))
    if depthwise:
        trace.depthwise.add(name)
    if depthwise and consumed is not None:  # each input channel goes on as one or more outputs
        produced = consumed.repeat_interleave(weight.shape[0] // groups)
        trace.bind(weight, 0, produced)
    else:
        if consumed is not None:
            _consume(trace, x, weight, consumed, groups)
        produced = _produced(trace, weight, groups)
    output = linear_on_meta(**a) if func is F.linear and x.is_meta else func(**a)
    if produced is None:
        return output
    if a.get("bias") is not None:
        trace.bind(a["bias"], 0, produced)
    others = (  # labels along other dimensions, such as the channels where tokens are mixed
        labels
        for labels in trace.labels_not_along(x, dim)
        if all(output.shape[d] == x.shape[d] for d in lb.varying(labels))
    )
    trace.set_labels(output, (lb.along(produced, dim, output.ndim), *others))
    return output


def linear_on_meta(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the output of a linear layer without numbers; PyTorch takes ten times as long."""
    fits = input.dtype == weight.dtype and input.shape[-1:] == weight.shape[1:]
    if not fits or (bias is not None and bias.shape != weight.shape[:1]):
        return F.linear(input, weight, bias)  # and let it say what is wrong
    return input.new_empty((*input.shape[:-1], weight.shape[0]))


def _consume(trace: Trace, x: Tensor, weight: Tensor, labels: Tensor, groups: int) -> None:
    """Note that axis 1 of a weight sums over the channels of `x` that have these labels."""
    axis = Axis(trace.source_parameter(weight, 1), 1)
    trace.bind(weight, 1, labels, groups)
    trace.consumers.add(axis)
    if hasattr(x, "_grid"):
        trace.grids[axis] = x._grid
    if groups > 1:
        trace.couple_widths(labels.reshape(groups, -1), 0)


def _produced(trace: Trace, weight: Tensor, groups: int) -> Tensor | None:
    """Return the labels of the channels that the rows of a weight produce."""
    name = trace.name_of(weight)
    if not name:
        return trace.labels_along(weight, 0)
    axis = Axis(name, 0)
    rows = trace.produced(axis, weight.shape[0])
    if groups > 1:
        trace.axes[axis] = rows.reshape(groups, -1)
        trace.couple_widths(rows.reshape(groups, -1), 0)
    return rows


def _transposed(trace: Trace, func: Callable, a: dict[str, Any]) -> Tensor:
    """Run a transposed convolution: axis 0 consumes, axis 1 produces; groups are not followed."""
    x, weight, groups = a["input"], a["weight"], a.get("groups", 1)
    dim = 1 if x.ndim == weight.ndim else 0  # one picture without a batch
    name, consumed = trace.name_of(weight), trace.labels_along(x, dim)
    output = func(**a)
    if groups > 1 or not name:
        trace.fix([] if consumed is None else [consumed])
        return output
    if consumed is not None:
        trace.bind(weight, 0, consumed)
        trace.consumers.add(Axis(name, 0))
    produced = trace.produced(Axis(name, 1), weight.shape[1])
    if a.get("bias") is not None:
        trace.bind(a["bias"], 0, produced)
    trace.set_labels(output, (lb.along(produced, dim, output.ndim),))
    return output


def _norm(trace: Trace, func: Callable, a: dict[str, Any]) -> Tensor:
    """Run a normalisation or PReLU: channels pass through its vectors."""
    x, dim = a["input"], 1
    if func is F.layer_norm:
        dim = -1
        if len(a["normalized_shape"]) > 1:  # over channels and pixels at once
            trace.fix(trace.labels_of(x))
            return func(**a)
        if trace.before is not None:
            a["normalized_shape"] = (x.shape[-1],)
    passing = trace.labels_along(x, dim) if x.ndim > 1 else None
    if passing is not None:
        groups = a["num_groups"] if func is F.group_norm else 1
        if groups > 1:
            trace.couple_widths(passing.reshape(groups, -1), 0)
        for part in _VECTORS:
            vector = a.get(part)
            if vector is not None and (func is not F.prelu or vector.numel() > 1):
                trace.bind(vector, 0, passing, groups)
                if hasattr(x, "_grid"):
                    trace.grids[Axis(trace.source_parameter(vector, 0), 0)] = x._grid
                if trace.before is not None and len(vector) != x.shape[dim]:
                    a[part] = resized(vector, (x.shape[dim],))  # more or fewer pixels
    if func is F.batch_norm and x.is_meta and not a.get("training"):
        output = batch_norm_on_meta(a)
    else:
        output = func(**a)
    trace.set_labels(output, trace.labels_of(x), like=x)
    if trace.before is not None and trace.bare_norm is not None:
        trace.bare_widths.append((trace.bare_norm, x.shape[dim]))
        trace.bare_norm = None
    return output


def batch_norm_on_meta(a: dict[str, Any]) -> Tensor:
    """Return the output of a BatchNorm without numbers; PyTorch takes ten times as long."""
    x = a["input"]
    lengths = {len(a[part]) for part in _VECTORS if a.get(part) is not None}
    if lengths - {x.shape[1]}:
        raise RuntimeError(f"{x.shape[1]} channels meet a BatchNorm of {lengths} channels")
    return torch.empty_like(x)


def set_width(norm: nn.Module, channels: int) -> None:
    """Set the number of channels of a normalisation without parameters, which is all it has."""
    if isinstance(norm, nn.LayerNorm):
        norm.normalized_shape = (channels,)
    else:
        setattr(
            norm, "num_channels" if isinstance(norm, nn.GroupNorm) else "num_features", channels
        )


def by_name(func: Callable, args: tuple, kwargs: dict) -> dict[str, Any]:
    """Return the arguments of a function that has weights, by their names."""
    known = _ARGUMENTS.get(func)
    names = known.split() if known else tuple(inspect.signature(func).parameters)
    return dict(zip(names, args, strict=False)) | kwargs
