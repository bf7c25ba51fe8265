"""The two ends of a network: the channels of its pictures, and what it tells apart."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.conv.edit.coupling import widths
from course_utils.conv.edit.draft import Draft, EditError, first_draft, parameter_name
from course_utils.conv.edit.guard import agree
from course_utils.conv.edit.trace import Axis
from course_utils.conv.example import Call
from course_utils.conv.meta import mapped, tensors_in
from course_utils.core import error_line

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


# Pictures with other channels


def draft_for_pictures(
    model: nn.Module, name: str, channels: int, example_input: Any, dry_run: bool
) -> Draft:
    """Return a draft that ran on pictures as before; the example may have the new `channels`."""
    try:
        return first_draft(model, example_input, dry_run)
    except EditError:
        old = model.get_submodule(name).in_channels
        for dim in (-3, -1):
            with contextlib.suppress(EditError):
                former = mapped(example_input, lambda t, d=dim: _converted(t, d, channels, old))
                return first_draft(model, former, dry_run)
        raise


def change_input(draft: Draft, name: str, channels: int) -> Draft:
    """Return a draft whose first layer takes another number of channels; its `call` has them.

    Other layers that read the same pictures follow. With more channels the old ones are repeated,
    and the copies of one share its weights; with fewer, each one gets an equal part of their sum.
    So the network computes the same on grey pictures, whose channels are all alike.

    Raises:
        EditError: if the layer is not a first one, or if the pictures are also used elsewhere.
    """
    conv, weight = draft.model.get_submodule(name), draft.traced_weight(name)
    if _is_in_between(draft, weight):
        raise EditError("in_channels is what the layers before produce: change their out_channels.")
    if channels < 1:
        raise EditError(f"in_channels must be at least 1, but is {channels}.")
    if conv.groups > 1:
        raise EditError(
            f"{name} has groups = {conv.groups}, so its in_channels cannot change: first change its"
            " groups to 1."
        )
    old = conv.in_channels
    firsts = [weight, *(w for w in _first_weights(draft, old) if w != weight)]
    problem = ""
    for weights in ([weight], firsts):
        for call in _calls_with_channels(draft.call, old, channels):
            changed = draft.fresh()
            changed.call = call
            changed.set_values({one: spread(draft.values(one), channels) for one in weights})
            changed.set_sizes(draft.trace.depthwise)
            try:
                if agree(changed.run().output_shapes, draft.trace.output_shapes):
                    return changed
                problem = problem or "its output would have another shape"
            except Exception as error:
                problem = problem or f"its forward stops: {error_line(error)}"
    problem = problem or f"none of its inputs has {old} channels"
    raise EditError(
        f"{name} cannot take {channels} channels instead of {old}, because the network uses the"
        f" {old} channels of its pictures at other places, too ({problem})."
    )


def spread(weight: Tensor, channels: int) -> Tensor:
    """Return a weight (C_out, C_in, ...) for other input channels, with the same sum over them."""
    old = weight.shape[1]
    if channels < old:
        return (weight.sum(1, keepdim=True) / channels).repeat_interleave(channels, 1)
    source = torch.arange(channels, device=weight.device) % old
    copies = torch.bincount(source).to(weight.dtype)[source]
    return weight[:, source] / copies.reshape(-1, *(1,) * (weight.ndim - 2))


def _is_in_between(draft: Draft, weight: str) -> bool:
    """Check whether channels of other layers arrive at a convolution."""
    trace = draft.trace
    if weight not in trace.depthwise:
        arriving = trace.axis_classes(Axis(weight, 1)) if Axis(weight, 1) in trace.axes else []
        return any(
            np.isin(arriving, trace.axis_classes(axis)).any()
            for axis in trace.axes
            if axis.parameter != weight  # which may itself be standardised, say
            and axis not in trace.consumers
            and not _is_vector(draft, axis)
        )
    own = trace.axes[Axis(weight, 0)]  # the channels that arrive go on under the same labels
    for axis, labels in trace.axes.items():
        if axis.parameter == weight:
            return False
        if axis.parameter in trace.input_shapes and torch.isin(labels, own).any():
            return True
    return False


def _is_vector(draft: Draft, axis: Axis) -> bool:
    """Check whether an axis has all numbers of its parameter, and no layer produces channels."""
    shape = draft.shape(axis.parameter)
    in_layer = axis.parameter in draft.trace.input_shapes
    return math.prod(shape) == shape[axis.dim] and not in_layer


def _first_weights(draft: Draft, channels: int) -> Iterator[str]:
    """Yield the weights of the convolutions that read the pictures."""
    for name in draft.trace.input_shapes:
        if name and not _is_in_between(draft, name):
            shape = draft.shape(name)
            if len(shape) > 2 and shape[1] == channels:
                yield name


def _calls_with_channels(call: Call, old: int, new: int) -> Iterator[Call]:
    """Yield calls in which one input has other channels, then those in which all have."""
    tensors = tensors_in(call)
    for dim in (-3, -1):
        fitting = [t for t in tensors if t.ndim > 2 and t.shape[dim] == old]
        for some in [[t] for t in fitting] + ([fitting] if len(fitting) > 1 else []):
            chosen = set(map(id, some))
            yield mapped(
                call, lambda t, d=dim, c=chosen: _converted(t, d, old, new) if id(t) in c else t
            )


def _converted(picture: Tensor, dim: int, old: int, new: int) -> Tensor:
    """Return a picture with `new` channels along `dim`, if it has `old` ones there."""
    if picture.ndim < 3 or picture.shape[dim] != old:
        return picture
    return picture.index_select(dim, torch.arange(new, device=picture.device) % old)


# Outputs


def is_output(draft: Draft, weight: str) -> bool:
    """Check whether the channels of a layer, given by its weight, are the network's output."""
    trace = draft.trace
    channels = trace.axis_classes(Axis(weight, 0))
    if not any(np.isin(channels, trace.classes[x.numpy()]).any() for x in trace.output_labels):
        return False
    # They reach the output. If twice as many of them change its shape, they are the output.
    doubled = draft.fresh()
    shapes: dict[str, list[int]] = {}
    for axis in trace.axes:
        # They pass through a bias, the vectors of a BatchNorm, a depthwise layer.
        passes = _is_vector(draft, axis) or axis.parameter in trace.depthwise
        follows = passes and np.isin(trace.axis_classes(axis), channels).all()
        if axis == Axis(weight, 0) or (follows and axis not in trace.consumers):
            shape = shapes.setdefault(axis.parameter, list(doubled.shape(axis.parameter)))
            shape[axis.dim] *= 2
    doubled.set_shapes(shapes)
    doubled.set_sizes(trace.depthwise)
    try:
        return not agree(doubled.run().output_shapes, trace.output_shapes)
    except Exception:  # the network's forward combines them with something fixed
        return False


def change_output(draft: Draft, name: str, count: int) -> Draft:
    """Return the draft with another number of outputs: of classes, or of channels of a picture.

    The first outputs stay as they are. New ones begin as those of a new layer, with a fixed seed.

    Raises:
        EditError: if the layer's channels are not the network's output, or something fixes them.
    """
    layer, weight, old = draft.model.get_submodule(name), draft.traced_weight(name), draft.trace
    if count < 1:
        raise EditError(f"A network has at least 1 output, not {count}.")
    if getattr(layer, "groups", 1) > 1 or not is_output(draft, weight):
        why = "it has groups" if getattr(layer, "groups", 1) > 1 else "its channels are not that"
        raise EditError(f"{name} cannot change the network's output, because {why}.")
    free = copy.copy(old)
    free.output_labels = []  # they may change here
    random = torch.Generator().manual_seed(0)
    for axis, width in widths(free, weight, count, np.zeros(old.classes.max() + 1)).items():
        values = draft.values(axis.parameter)
        kept = values.narrow(axis.dim, 0, min(width, values.shape[axis.dim]))
        shape = list(values.shape)
        shape[axis.dim] = width - kept.shape[axis.dim]
        new = _new_numbers(draft, axis, values.new_empty(shape, device="cpu"), random)
        new = kept.mean(axis.dim, keepdim=True).expand(shape) if new is None else new.to(values)
        draft.set_values({axis.parameter: torch.cat([kept, new], axis.dim)})
    draft.set_sizes(old.depthwise)
    try:
        draft.run()
    except Exception as error:
        what = f"The network cannot have {count} outputs"
        raise EditError(f"{what}, because its forward stops: {error_line(error)}") from error
    return draft


def _new_numbers(draft: Draft, axis: Axis, empty: Tensor, random: torch.Generator) -> Tensor | None:
    """Return the numbers with which new channels begin along an axis; None if it is not known."""
    layer, _, attribute = axis.parameter.rpartition(".")
    weight = parameter_name(layer, "weight")
    if axis in draft.trace.consumers:
        return empty.zero_()
    if weight in draft.trace.input_shapes:  # as `nn.Conv2d` and `nn.Linear` do
        bound = 1 / math.sqrt(math.prod(draft.shape(weight)[1:]))
        return empty.uniform_(-bound, bound, generator=random)
    if isinstance(draft.model.get_submodule(layer), _NORMS):
        return empty.fill_(attribute in ("weight", "running_var"))
    return None
