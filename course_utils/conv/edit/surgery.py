"""One attempt to change a layer in a draft of its network, with or without adapters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from course_utils.conv.edit.adapter import AdaptedConv2d, projection, window_of
from course_utils.conv.edit.coupling import CannotFollow, copy_counts, widths
from course_utils.conv.edit.draft import Draft
from course_utils.conv.edit.matching import match
from course_utils.conv.edit.settings import set_window, with_groups, with_kernel_size
from course_utils.conv.edit.trace import Trace
from course_utils.conv.edit.tracer import trace_model
from course_utils.conv.edit.weights import Importance, class_scores, moved, row_norms, set_sizes


class TracedDraft:
    """A draft of a network, and the trace of its run on some inputs."""

    trace: Trace

    def __init__(self, draft: Draft, inputs: tuple):
        self.draft, self.inputs = draft, inputs
        self.retrace()

    def retrace(self) -> None:
        """Run the draft again, after it has changed."""
        self.trace = trace_model(self.draft.model, self.inputs)

    def fresh(self) -> TracedDraft:
        """Return another draft of the same network, with nothing changed."""
        return TracedDraft(Draft(self.draft.original, self.draft.meta), self.inputs)


@dataclass(frozen=True)
class LayerEdit:
    """The change of one convolution that was asked for.

    Attributes:
        name: of the layer.
        before, after: its settings (see `settings.settings_of`).
        importance: which channels to keep, or to copy first.
    """

    name: str
    before: dict[str, Any]
    after: dict[str, Any]
    importance: Importance

    def changes(self, *settings: str) -> bool:
        """Check whether any of these settings changes."""
        return any(self.before[name] != self.after[name] for name in settings)


@dataclass(frozen=True)
class Adapters:
    """What is put behind the layer where the rest of the network cannot follow.

    Attributes:
        project: a 1×1 convolution back to the number of channels before.
        resize: a resizing to the height and width before.
    """

    project: bool = False
    resize: bool = False


def attempt(traced: TracedDraft, edit: LayerEdit, adapters: Adapters) -> nn.Module:
    """Make the edit with these adapters; return the edited network.

    The draft is changed in three steps: what concerns the layer alone, then the shapes of all
    that is coupled to it, then, when the draft runs with these shapes, its numbers.

    Raises:
        Exception: any error that stops it; the draft is of no use after that.
    """
    draft = traced.draft
    others_follow = edit.changes("out_channels") and not adapters.project
    _change_alone(traced, edit, adapters)
    old = traced.trace
    weight = draft.listed_name(parameter_name(edit.name, "weight"))
    scores = np.zeros(old.classes.max() + 1)
    if others_follow:
        scores = class_scores(draft, old, weight, edit.importance)
        _resize_coupled(draft, old, weight, edit, scores)
    if edit.changes("kernel_size"):
        size = edit.after["kernel_size"]  # the numbers still have the old channels
        numbers = with_kernel_size(draft.values(weight), size)
        draft.set_values(weight, numbers, shape=(*draft.shape(weight)[:2], *size))
    conv = draft.model.get_submodule(edit.name)
    set_window(conv, edit.after)
    if adapters.resize and conv.former is None:
        conv.former = window_of(edit.before)
    set_sizes(draft.model, old.depthwise)  # a layer's own forward may look at them

    new = trace_model(draft.model, traced.inputs, before=old)
    if new.output_shapes != old.output_shapes:
        raise CannotFollow(
            f"The network's output would be {new.output_shapes}, not {old.output_shapes}."
        )
    if others_follow or new.input_shapes != old.input_shapes:
        matching = match(old, new, scores)
        grows = edit.after["out_channels"] > edit.before["out_channels"]
        if grows and others_follow and not matching.keeps_every_channel():
            raise CannotFollow("The network picks channels by fixed numbers, and would lose some.")
        for name in dict.fromkeys(axis.parameter for axis in old.axes):
            numbers = moved(draft.values(name), name, matching)
            if numbers is not None:
                draft.set_values(name, numbers)
    set_sizes(draft.model, new.depthwise)
    if edit.changes("groups") and edit.changes("out_channels") and edit.after["groups"] > 1:
        _set_groups(draft, edit.name, edit.after["groups"])
    return draft.filled()


def _change_alone(traced: TracedDraft, edit: LayerEdit, adapters: Adapters) -> None:
    """Change what concerns the layer alone, and trace the draft again if its parameters changed."""
    draft, name = traced.draft, edit.name
    weight = parameter_name(name, "weight")
    changed = adapters.project or edit.changes("groups", "bias")
    if adapters.project or edit.changes("groups", "kernel_size"):
        changed |= draft.unshare(weight)
    if edit.changes("groups"):  # the layer has one group while its channels change
        _set_groups(draft, name, 1 if edit.changes("out_channels") else edit.after["groups"])
    if edit.changes("bias"):
        _set_bias(draft, name, edit.after["bias"])
    if adapters.project or adapters.resize:
        _make_adaptable(draft, name)
    if adapters.project:
        _project(draft, edit)
    if changed:
        traced.retrace()


def _resize_coupled(
    draft: Draft, trace: Trace, weight: str, edit: LayerEdit, scores: np.ndarray
) -> None:
    """Give the draft's parameters the shapes that follow from the layer's new channels."""
    for axis, width in widths(trace, weight, edit.after["out_channels"], scores).items():
        labels, shape = trace.axes[axis], list(draft.shape(axis.parameter))
        in_groups = shape[axis.dim] != labels.shape[1]  # the axis holds all groups in a row
        shape[axis.dim] = width * len(labels) if in_groups else width
        draft.set_shape(axis.parameter, shape)


# Changes of the layer in the draft


def parameter_name(layer: str, attribute: str) -> str:
    """Return the name of a layer's parameter in the model; the layer may be the whole model."""
    return f"{layer}.{attribute}" if layer else attribute


def _set_groups(draft: Draft, name: str, groups: int) -> None:
    conv = draft.model.get_submodule(name)
    weight = parameter_name(name, "weight")
    draft.set_values(weight, with_groups(draft.values(weight), conv.groups, groups))
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
        raise CannotFollow("The layer is the whole network.")
    conv = draft.model.get_submodule(name)
    adapted = AdaptedConv2d.of(conv)
    for module in draft.model.modules():
        for child, layer in module._modules.items():
            if layer is conv:
                module._modules[child] = adapted


def _project(draft: Draft, edit: LayerEdit) -> None:
    """Give the layer its new channels, and a projection back to those before."""
    name, want = edit.name, edit.after["out_channels"]
    conv = draft.model.get_submodule(name)
    weight = parameter_name(name, "weight")
    if want % conv.groups:  # the most groups that are possible, such as 6 for 24 and 30 channels
        _set_groups(draft, name, math.gcd(want, conv.out_channels, conv.in_channels))
    old, groups = conv.out_channels, conv.groups
    numbers = draft.values(weight)
    scores = row_norms(numbers, edit.importance).reshape(groups, -1)
    copies = copy_counts(scores, want // groups).reshape(-1)
    source = torch.from_numpy(np.repeat(np.arange(old), copies))
    for attribute, p in list(conv._parameters.items()):  # a gain for each kernel, too
        if p is not None and p.ndim > 0 and len(p) == old:
            values = draft.values(parameter_name(name, attribute))
            rows = values.index_select(0, source.to(values.device))
            draft.set_values(parameter_name(name, attribute), rows)
    conv.out_channels = want
    layer = projection(copies.tolist(), source, numbers)
    draft.changed[parameter_name(name, "project.weight")] = layer.weight.detach()
    conv.project = layer.to(conv.weight.device) if conv.weight.is_meta else layer
