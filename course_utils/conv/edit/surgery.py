"""One attempt to change a layer in a draft of its network, with or without adapters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from course_utils.conv.edit.adapter import AdaptedConv2d, keep_size_of, projection
from course_utils.conv.edit.coupling import CannotFollow, widths
from course_utils.conv.edit.draft import Draft
from course_utils.conv.edit.importance import Importance, class_scores, row_norms
from course_utils.conv.edit.matching import match, tied
from course_utils.conv.edit.rebuild import fix_attributes, rebuilt
from course_utils.conv.edit.settings import (
    set_window,
    settings_of,
    with_groups,
    with_kernel_size,
)
from course_utils.conv.edit.trace import run


class Start:
    """A draft of the network, and what its run tells."""

    def __init__(self, draft: Draft, inputs: tuple):
        self.draft, self.inputs = draft, inputs
        self.again()

    def again(self) -> None:
        """Run the draft once more, after it has changed."""
        self.trace, self.shapes = run(self.draft.model, self.inputs)
        self.classes = tied(self.trace)


def attempt(
    start: Start,
    name: str,
    wanted: dict[str, Any],
    project: bool,
    resize: bool,
    importance: Importance,
) -> nn.Module:
    """Make the edit, with the adapters asked for.

    Raises:
        Exception: whatever stops it.
    """
    draft = start.draft
    weight = draft.canonical(parameter_name(name, "weight"))
    conv = draft.model.get_submodule(name)
    before = settings_of(conv)
    want = wanted["out_channels"]
    wider, regroup, rebias = (
        wanted[setting] != before[setting] for setting in ("out_channels", "groups", "bias")
    )
    alone = regroup or project or wanted["kernel_size"] != before["kernel_size"]
    if alone and draft.own(parameter_name(name, "weight")):
        weight = draft.canonical(parameter_name(name, "weight"))
        start.again()
    # Groups and bias concern the layer alone. If its channels change, too, it is dense meanwhile.
    if regroup:
        _set_groups(draft, name, 1 if wider else wanted["groups"])
    if rebias:
        _set_bias(draft, name, wanted["bias"])
    if project or resize:
        conv = _adapted(draft, name)
    if project:
        _project(draft, name, want, importance)
    if regroup or rebias or project:
        start.again()
    old, classes = start.trace, start.classes
    scores = np.zeros(classes.max() + 1)
    if wider and not project:
        scores = class_scores(draft, old, classes, weight, importance)
        for (tensor, dim), size in widths(old, weight, want, scores[classes]).items():
            labels, shape = old.axes[tensor, dim], list(draft.shape(tensor))
            shape[dim] = size if shape[dim] == labels.shape[1] else size * len(labels)
            draft.reshape(tensor, shape)
    if wanted["kernel_size"] != before["kernel_size"]:
        rows, columns = draft.shape(weight)[:2]
        draft.tensors[weight] = with_kernel_size(draft.tensor(weight), wanted["kernel_size"])
        draft.reshape(weight, (rows, columns, *wanted["kernel_size"]))
    set_window(conv, wanted)
    if resize and conv.former is None:
        conv.former = keep_size_of(before)
    fix_attributes(draft.model, old.depthwise)  # a layer's own forward may look at them
    new, shapes = run(draft.model, start.inputs, former=old)
    if shapes != start.shapes:
        raise CannotFollow(f"The network's output would be {shapes}, not {start.shapes}.")
    if (wider and not project) or new.inputs != old.inputs:
        matching = match(old, new, scores, classes)
        if want > before["out_channels"] and not project and not matching.lossless():
            raise CannotFollow("The network picks channels by fixed numbers, and would lose some.")
        for tensor in dict.fromkeys(axis[0] for axis in old.axes):
            numbers = rebuilt(draft.tensor(tensor), tensor, matching)
            if numbers is not None:
                draft.replace(tensor, numbers)
    fix_attributes(draft.model, new.depthwise)
    if regroup and wider and wanted["groups"] > 1:
        _set_groups(draft, name, wanted["groups"])
    return draft.filled()


# Changes of the layer in the draft


def parameter_name(layer: str, attribute: str) -> str:
    """The name of a layer's parameter in the model; the layer may be the whole model."""
    return f"{layer}.{attribute}" if layer else attribute


def _set_groups(draft: Draft, name: str, groups: int) -> None:
    conv = draft.model.get_submodule(name)
    weight = parameter_name(name, "weight")
    draft.replace(weight, with_groups(draft.tensor(weight), conv.groups, groups))
    conv.groups = groups


def _set_bias(draft: Draft, name: str, bias: bool) -> None:
    conv = draft.model.get_submodule(name)
    conv.bias = None
    if bias:
        like = draft.tensor(parameter_name(name, "weight"))
        zeros = like.new_zeros(conv.out_channels)
        empty = torch.empty_like(zeros, device=conv.weight.device)
        conv.bias = nn.Parameter(empty, conv.weight.requires_grad)
        draft.tensors[parameter_name(name, "bias")] = zeros


def _adapted(draft: Draft, name: str) -> AdaptedConv2d:
    """Make the layer one that can have an adapter."""
    if not name:
        raise CannotFollow("The layer is the whole network.")
    conv = draft.model.get_submodule(name)
    adapted = AdaptedConv2d.of(conv)
    for module in draft.model.modules():  # it may be used at several places
        for child, layer in module._modules.items():
            if layer is conv:
                module._modules[child] = adapted
    return adapted


def _project(draft: Draft, name: str, want: int, importance: Importance) -> None:
    """Give the layer `want` channels, and a projection back to those it had."""
    conv = draft.model.get_submodule(name)
    weight = parameter_name(name, "weight")
    if want % conv.groups:  # the most groups that there can be, such as 6 for 24 and 30 channels
        _set_groups(draft, name, math.gcd(want, conv.out_channels, conv.in_channels))
    had, groups = conv.out_channels, conv.groups
    numbers = draft.tensor(weight)
    order = np.argsort(-row_norms(numbers, importance).reshape(groups, -1), kind="stable")
    copies = np.full((groups, had // groups), want // had)
    extra = want // groups - copies.sum(1)[0]
    np.put_along_axis(copies, order[:, :extra], want // had + 1, axis=1)
    copies = copies.reshape(-1)
    kept = torch.from_numpy(np.repeat(np.arange(had), copies))
    for own, p in list(conv._parameters.items()):  # a gain for each kernel, too
        if p is not None and p.ndim > 0 and len(p) == had:
            values = draft.tensor(parameter_name(name, own))
            draft.replace(parameter_name(name, own), values.index_select(0, kept.to(values.device)))
    conv.out_channels = want
    layer = projection(copies.tolist(), kept, numbers)
    draft.tensors[f"{weight.removesuffix('weight')}project.weight"] = layer.weight.detach()
    conv.project = layer.to(conv.weight.device) if conv.weight.is_meta else layer
