"""Change a layer in a draft of its network, with the first adapters that make it possible."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.conv.arithmetic import middle_overlap
from course_utils.conv.edit.adapter import AdaptedConv2d, projection
from course_utils.conv.edit.coupling import copy_counts, widths
from course_utils.conv.edit.draft import Draft, EditError, parameter_name
from course_utils.conv.edit.guard import agree
from course_utils.conv.edit.matching import match
from course_utils.conv.edit.own_padding import former_window
from course_utils.conv.edit.settings import LayerEdit, set_window
from course_utils.conv.edit.trace import Axis, Trace
from course_utils.conv.edit.weights import Importance, class_scores, move_weights, row_norms
from course_utils.core import CourseError, is_out_of_memory


class Adapters(NamedTuple):
    """The adapters after the layer where the rest of the network cannot follow."""

    project: bool = False  # a 1×1 convolution back to the number of channels before
    resize: bool = False  # a resizing to the height and width before


def change_layer(
    draft: Draft, edit: LayerEdit, importance: Importance, adapter: bool
) -> tuple[nn.Module, str]:
    """Return the network with a changed layer, and why it needs an adapter ("" without one).

    The draft has run before.

    Raises:
        EditError: if nothing helps; it says what stopped the edit without adapters.
    """
    problems: list[str] = []
    for adapters in _adapters_to_try(draft, edit) if adapter else [Adapters()]:
        try:
            if problems:  # the attempt that failed has changed its draft
                draft = draft.fresh()
                draft.run()
            return _attempt(draft, edit, importance, adapters), (problems or [""])[0]
        except CourseError as error:
            problems.append(str(error))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            problems.append(f"With these sizes the network's forward stops: {said}.")
    hint = "" if adapter else " With adapter=True the layer is adapted to it."
    raise EditError(f"{edit.name} cannot be changed like this. {problems[0]}{hint}")


def _adapters_to_try(draft: Draft, edit: LayerEdit) -> list[Adapters]:
    """Return the adapters that may help, those that change least first."""
    conv = draft.model.get_submodule(edit.name)
    computes_size = type(conv).forward is not nn.Conv2d.forward  # it may compute its own padding
    resizes = computes_size or edit.resizes(draft.input_shapes(edit.name))
    project = (False, True) if edit.changes("out_channels") else (False,)
    resize = (False, True) if resizes else (False,)
    return list(itertools.starmap(Adapters, itertools.product(project, resize)))


def _attempt(
    draft: Draft, edit: LayerEdit, importance: Importance, adapters: Adapters
) -> nn.Module:
    """Return the network after the edit with these adapters.

    The draft changes in three steps: first what concerns the layer alone, then the shapes of all
    that is coupled to it, and when the draft runs with these shapes, its numbers.
    """
    others_follow = edit.changes("out_channels") and not adapters.project
    former = former_window(draft, edit) if adapters.resize else None
    _change_alone(draft, edit, importance, adapters)
    old, weight = draft.trace, draft.listed_name(parameter_name(edit.name, "weight"))
    scores = np.zeros(old.classes.max() + 1)
    if others_follow:
        own = np.unique(old.axis_classes(Axis(weight, 0)))
        scores = class_scores(draft, own, importance)
        resize_axes(draft, widths(old, weight, edit.after["out_channels"], scores))
    if edit.changes("kernel_size"):
        size = edit.after["kernel_size"]  # the numbers still have the old channels
        numbers = with_kernel_size(draft.values(weight), size, edit.shift)
        draft.changed[weight] = numbers
        draft.set_shapes({weight: (*draft.shape(weight)[:2], *size)})
    conv = draft.model.get_submodule(edit.name)
    set_window(conv, edit.after)
    if adapters.resize and conv.former is None:
        conv.former = former
    draft.set_sizes(old.depthwise)  # a layer's own forward may look at them

    rows = {weight: edit.after["out_channels"]} if others_follow else {}
    new = run_again(draft, rows)
    if others_follow or new.input_shapes != old.input_shapes:
        matching = match(old, new, scores)
        grows = edit.after["out_channels"] > edit.before["out_channels"]
        if grows and others_follow and not matching.keeps_every_channel():
            raise EditError("The network picks channels by fixed numbers, and would lose some.")
        move_weights(draft, matching)
    draft.set_sizes(new.depthwise)
    if edit.changes("groups") and edit.changes("out_channels") and edit.after["groups"] > 1:
        _set_groups(draft, edit.name, edit.after["groups"])
    return finished(draft, old)


def finished(draft: Draft, old: Trace) -> nn.Module:
    """Return the network of a draft with its numbers, after a check that it runs as in `old`."""
    if draft.meta:
        draft.require_to_run(draft.model, old.output_shapes)
        return draft.filled()
    result = draft.filled()
    draft.require_to_run(result, old.output_shapes)
    return result


def _change_alone(
    draft: Draft, edit: LayerEdit, importance: Importance, adapters: Adapters
) -> None:
    """Change what concerns the layer alone, and run the draft again if its parameters changed."""
    name = edit.name
    changed = adapters.project or edit.changes("groups", "bias")
    if adapters.project or edit.changes("groups", "kernel_size"):
        changed |= draft.unshare(parameter_name(name, "weight"))
    if edit.changes("groups"):  # the layer has one group while its channels change
        _set_groups(draft, name, 1 if edit.changes("out_channels") else edit.after["groups"])
    if edit.changes("bias"):
        _set_bias(draft, name, edit.after["bias"])
    if adapters.project or adapters.resize:
        _make_adaptable(draft, name)
    if adapters.project:
        _project(draft, name, edit.after["out_channels"], importance)
    if changed:
        draft.run()


def run_again(draft: Draft, rows: dict[str, int]) -> Trace:
    """Return the trace of a draft whose widths have changed.

    Args:
        rows: weight -> number of rows that it was to have; empty if no width was to change.

    Raises:
        EditError: if the network does something else with these widths.
    """
    old, new = draft.trace, draft.run(before=draft.trace)
    if not agree(new.output_shapes, old.output_shapes):
        shapes = f"{new.output_shapes}, not {old.output_shapes}"
        raise EditError(f"The network's output would be {shapes}.")
    if rows and new.spread > old.spread:
        raise EditError("A single channel would meet several others, where as many met before.")
    for weight, want in rows.items():
        found = new.axes[Axis(weight, 0)].numel() if Axis(weight, 0) in new.axes else 0
        if found != want:  # a depthwise layer has the channels that it reads
            layer = weight.removesuffix(".weight")
            raise EditError(f"A slice before {layer} always takes {found} channels.")
    return new


def resize_axes(draft: Draft, widths_of: dict[Axis, int]) -> None:
    """Set the shapes in the draft that follow from other widths (channels of each group)."""
    shapes = {axis.parameter: list(draft.shape(axis.parameter)) for axis in widths_of}
    for axis, width in widths_of.items():
        labels, shape = draft.trace.axes[axis], shapes[axis.parameter]
        all_groups = shape[axis.dim] != labels.shape[1]  # one group after the other
        shape[axis.dim] = width * len(labels) if all_groups else width
    draft.set_shapes(shapes)


# Changes of the layer in the draft


def _set_groups(draft: Draft, name: str, groups: int) -> None:
    conv = draft.model.get_submodule(name)
    weight = parameter_name(name, "weight")
    draft.set_values({weight: with_groups(draft.values(weight), conv.groups, groups)})
    conv.groups = groups


def _set_bias(draft: Draft, name: str, bias: bool) -> None:
    conv = draft.model.get_submodule(name)
    conv.bias = None
    if bias:
        zeros = draft.values(parameter_name(name, "weight")).new_zeros(conv.out_channels)
        empty = torch.empty_like(zeros, device=conv.weight.device)
        conv.bias = nn.Parameter(empty, conv.weight.requires_grad)
        draft.changed[parameter_name(name, "bias")] = zeros


def _make_adaptable(draft: Draft, name: str) -> None:
    """Make the layer one that can have an adapter, wherever it is used."""
    if not name:
        raise EditError("The layer is the whole network.")
    conv = draft.model.get_submodule(name)
    adapted = AdaptedConv2d.of(conv)
    for module in draft.model.modules():
        for child, layer in module._modules.items():
            if layer is conv:
                module._modules[child] = adapted


def _project(draft: Draft, name: str, want: int, importance: Importance) -> None:
    """Change the layer to `want` channels, with a projection back to those that it had."""
    conv = draft.model.get_submodule(name)
    weight = parameter_name(name, "weight")
    if want % conv.groups:  # the most groups that are possible, such as 6 for 24 and 30 channels
        _set_groups(draft, name, math.gcd(want, conv.out_channels, conv.in_channels))
    old, groups = conv.out_channels, conv.groups
    numbers = draft.values(weight)
    scores = row_norms(numbers, importance, weight).reshape(groups, -1)
    copies = copy_counts(scores, want // groups).reshape(-1)
    source = torch.from_numpy(np.repeat(np.arange(old), copies))
    for attribute, p in list(conv._parameters.items()):  # a gain for each kernel, too
        if p is not None and p.ndim > 0 and len(p) == old:
            values = draft.values(parameter_name(name, attribute))
            rows = values.index_select(0, source.to(values.device))
            draft.set_values({parameter_name(name, attribute): rows})
    conv.out_channels = want
    layer = projection(torch.from_numpy(copies), source, numbers)
    draft.changed[parameter_name(name, "project.weight")] = layer.weight.detach()
    conv.project = layer.to(conv.weight.device) if conv.weight.is_meta else layer


# Kernels of the edited layer


def with_kernel_size(
    weight: Tensor, size: tuple[int, int], shift: tuple[int | None, int | None] = (None, None)
) -> Tensor:
    """Return kernels (C_out, C_in / g, k_h, k_w) with zeros around them, or their middles.

    `shift` is the row and the column where the old kernel begins in the new one. With None the
    centres match, as `middle_overlap` says.
    """
    pads: list[int] = []  # left, right, top, bottom; a negative one cuts
    for old, new, first in zip(weight.shape[:1:-1], size[::-1], shift[::-1], strict=True):
        if first is None:
            into, source = middle_overlap(old, new)
            first = into.start - source.start
        pads += [first, new - old - first]
    return F.pad(weight, pads)


def with_groups(weight: Tensor, old: int, new: int) -> Tensor:
    """Return weights (C_out, C_in / old, ...) as (C_out, C_in / new, ...).

    Fewer groups: zeros where an output did not see an input, so the layer computes the same.
    More groups: the weights of inputs that an output no longer sees are lost.
    """
    rows, width = weight.shape[:2]  # width: input channels of one group
    new_width = width * old // new
    old_group = torch.arange(rows) // (rows // old)
    new_group = torch.arange(rows) // (rows // new)
    channel = new_group[:, None] * new_width + torch.arange(new_width)  # of each new weight
    old_column = channel - old_group[:, None] * width
    known = (old_column >= 0) & (old_column < width)
    index = old_column.clamp(0, width - 1).to(weight.device)
    index = index.reshape(*index.shape, *(1,) * (weight.ndim - 2))
    result = torch.gather(weight, 1, index.expand(-1, -1, *weight.shape[2:]))
    return result * known.to(result).reshape(*known.shape, *(1,) * (weight.ndim - 2))
