"""The labels of layers with weights: convolutions, linear layers, normalisations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.conv.edit.labels import Labels
from course_utils.conv.edit.trace import Axis, Trace
from course_utils.conv.meta import resized
from course_utils.conv.shape_rules import CONVOLUTIONS, TRANSPOSED, by_name, run_by_name
from course_utils.core import CourseError

NORMS = {F.batch_norm, F.instance_norm, F.group_norm, F.layer_norm, F.prelu}

_VECTORS = ("running_mean", "running_var", "weight", "bias")


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
    x, weight, bias, groups = a["input"], a["weight"], a.get("bias"), a.get("groups", 1)
    if dim == 1:  # a picture may have no batch
        dim = 1 - weight.ndim
    name, channels = trace.source_parameter(weight, 0), x.shape[dim]
    trace.input_shapes.setdefault(name, []).append(tuple(x.shape))
    depthwise = groups > 1 and weight.shape[1] == 1
    if trace.before is not None and name:
        depthwise = name in trace.before.depthwise  # with a single channel, too
    each = weight.shape[0] // groups
    consumed = trace.labels_along(x, dim, Axis(trace.source_parameter(weight, 1), 1))
    if trace.before is not None and consumed is not None and weight.shape[1] * groups != channels:
        # More or fewer pixels were flattened, or a split cut the channels elsewhere.
        if channels < 1 or (channels % groups and not depthwise):
            raise CourseError(f"{name} would read {channels} channels in {groups} groups.")
        if not depthwise:
            a["weight"] = resized(weight, (len(weight), channels // groups, *weight.shape[2:]))
        elif groups == weight.shape[0] // trace.before.depthwise[name]:  # they follow the weight
            a["groups"] = channels
            a["weight"] = resized(weight, (channels * each, *weight.shape[1:]))
            if bias is not None:
                a["bias"] = resized(bias, (channels * each,))
    if depthwise:
        trace.depthwise[name] = each
    if depthwise and consumed is not None:  # each input channel goes on as one or more outputs
        produced = consumed.repeat_interleave(each)
        trace.bind(weight, 0, produced)
    else:
        if consumed is not None:
            _consume(trace, x, weight, consumed, groups)
        produced = _produced(trace, weight, groups)
    output = run_by_name(func, a)
    if produced is None:
        return output
    if bias is not None:
        trace.bind(bias, 0, produced)
    others = _along_others(trace, x, output, weight, dim)
    trace.set_labels(output, (Labels.of(produced, dim, output.ndim), *others))
    return output


def _along_others(
    trace: Trace, x: Tensor, output: Tensor, weight: Tensor, dim: int
) -> Iterator[Labels]:
    """Yield the labels along other dimensions, such as the channels where tokens are mixed.

    Those along pixels that a kernel mixes are fixed.
    """
    for labels in trace.labels_not_along(x, dim):
        mixed = (d for d in labels.dims if d > dim and weight.shape[d] > 1)
        if any(mixed) or any(output.shape[d] != x.shape[d] for d in labels.dims):
            trace.fix([labels])
        else:
            yield labels


def _consume(trace: Trace, x: Tensor, weight: Tensor, labels: Tensor, groups: int) -> None:
    """Note that axis 1 of a weight sums over the channels of `x` that have these labels."""
    axis = Axis(trace.source_parameter(weight, 1), 1)
    trace.bind(weight, 1, labels.reshape(groups, -1))
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
        trace.set_slots(axis, rows.reshape(groups, -1))
        trace.couple_widths(rows.reshape(groups, -1), 0)
    return rows


def _transposed(trace: Trace, func: Callable, a: dict[str, Any]) -> Tensor:
    """Run a transposed convolution: axis 0 consumes, axis 1 produces; groups are not followed."""
    x, weight, groups = a["input"], a["weight"], a.get("groups", 1)
    dim = 1 - weight.ndim  # a picture may have no batch
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
    trace.set_labels(output, (Labels.of(produced, dim, output.ndim),))
    return output


def _norm(trace: Trace, func: Callable, a: dict[str, Any]) -> Tensor:
    """Run a normalisation or PReLU: channels pass through its vectors."""
    x, dim = a["input"], 1
    if func is F.layer_norm:
        dim = -1
        if len(a["normalized_shape"]) > 1:  # over channels and pixels at once
            trace.fix(trace.labels_of(x))
            return func(**a)
        weight = a.get("weight")
        follows = trace.bare_norm is not None or (
            weight is not None and tuple(a["normalized_shape"]) == tuple(weight.shape)
        )
        if trace.before is not None and follows:
            a["normalized_shape"] = (x.shape[-1],)
    passing = trace.labels_along(x, dim) if x.ndim > 1 else None
    if passing is not None:
        groups = a["num_groups"] if func is F.group_norm else 1
        slots = passing.reshape(groups, -1)
        if groups > 1:
            trace.couple_widths(slots, 0)
        for part in _VECTORS:
            vector = a.get(part)
            if vector is not None and not _is_one_slope(trace, func, vector):
                trace.bind(vector, 0, slots)
                if hasattr(x, "_grid"):
                    trace.grids[Axis(trace.source_parameter(vector, 0), 0)] = x._grid
                if trace.before is not None and len(vector) != x.shape[dim]:
                    a[part] = resized(vector, (x.shape[dim],))  # more or fewer pixels
    output = run_by_name(func, a)
    trace.set_labels(output, trace.labels_of(x), like=x)
    if trace.before is not None and trace.bare_norm is not None:
        trace.bare_widths.append((trace.bare_norm, x.shape[dim]))
        trace.bare_norm = None
    return output


def _is_one_slope(trace: Trace, func: Callable, vector: Tensor) -> bool:
    """Check whether a PReLU has one slope for all channels."""
    axis = Axis(trace.name_of(vector), 0)
    single = func is F.prelu and vector.numel() == 1
    return single and (trace.before is None or axis not in trace.before.axes)


def set_width(module: nn.Module, channels: int) -> None:
    """Set the number of channels of a normalisation without parameters; a shuffle's one group."""
    match module:
        case nn.LayerNorm():
            module.normalized_shape = (channels,)
        case nn.GroupNorm():
            module.num_channels = channels
        case nn.ChannelShuffle():
            module.groups = channels
        case _:
            module.num_features = channels
