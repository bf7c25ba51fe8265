"""Judge before the work what an edit would take: memory, multiply-adds and channels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import nn

from course_utils.conv.affordable import LayerCosts, require_affordable, require_few_channels
from course_utils.conv.edit.draft import Draft
from course_utils.conv.edit.settings import LayerEdit, simple
from course_utils.conv.edit.trace import Axis
from course_utils.core import OutOfMemory, device_of, require_memory

MOST_FEATURES = 2**20
"""Channels, or channels times pixels, that one layer takes: an edit follows each of them."""


def require_affordable_edit(draft: Draft, edit: LayerEdit, weight: str) -> None:
    """Raise an error if the edited network needs more memory or time than there is.

    The weights are those of all layers; the draft has run, unchanged.

    Args:
        weight: name of the layer's weight in the trace.

    Raises:
        OutOfMemory: with the numbers.
    """
    listed = [s for s in edit.after if edit.before[s] != edit.after[s]]
    what = f"{edit.name} with {', '.join(f'{s}={simple(edit.after[s])!r}' for s in listed)}"
    require_few_channels(what, edit.after["out_channels"], edit.before["out_channels"])
    shapes = draft.input_shapes(edit.name)
    inputs = [(s[0] if len(s) == 4 else 1, *s[-2:]) for s in shapes]  # a picture without a batch
    before, after = (LayerCosts.of(s, inputs) for s in (edit.before, edit.after))
    own = after.weights
    if edit.changes("groups") and edit.changes("out_channels"):
        own *= max(edit.after["groups"], 1)  # while its channels change, it has one group
    pools = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
    fixed = any(isinstance(module, pools) for module in draft.model.modules())
    area = 1.0 if fixed else after.pixels / max(before.pixels, 1)
    now, then = _other_weights(draft, weight, edit.after["out_channels"], area, what)
    require_affordable(
        what,
        replace(after, weights=own + then),
        replace(before, weights=before.weights + now),
        itemsize=next(draft.model.get_submodule(edit.name).parameters()).element_size(),
        device=device_of(draft.original),
    )


def require_affordable_end(layer: nn.Module, what: str, dim: int, want: int) -> None:
    """Raise an error if the first layer has too many inputs, or the last one too many outputs.

    Args:
        what: the layer and its wish; the beginning of the sentence.
        dim: of the layer's weight, that is to have the size `want`, in each group.

    Raises:
        OutOfMemory: with the numbers.
    """
    weight = layer.weight
    now, device = weight.shape[dim], weight.device
    require_few_channels(what, want, now)
    if want > now:
        needed = 3 * weight.element_size() * weight.numel() // now * want
        require_memory(needed, what, "give a smaller number", device)


def _other_weights(draft: Draft, weight: str, want: int, area: float, what: str) -> tuple[int, int]:
    """Return the parameters of all other layers, now and if the layer has `want` channels.

    Args:
        area: ratio of the maps' pixels, for layers after a flattening.

    Raises:
        OutOfMemory: if a layer would take too many features.
    """
    trace = draft.trace
    rows = trace.axis_classes(Axis(weight, 0))
    own = np.zeros(trace.classes.max() + 1, dtype=bool)
    own[rows] = True
    before = {axis.parameter: trace.tensors[axis.parameter].numel() for axis in trace.axes}
    before.pop(weight, None)
    after: dict[str, float] = dict(before)
    changing: dict[int, float] = {}  # share of the slots, which several axes have in common
    for axis, slots in trace.axes.items():
        if axis.parameter == weight:
            continue
        classes = trace.axis_classes(axis)
        if id(slots) not in changing:
            changing[id(slots)] = own[classes].mean()
        growth = 1 + changing[id(slots)] * (want / rows.size - 1)
        growth *= area if axis in trace.grids else 1
        features = int(classes.size * growth)
        if features > max(MOST_FEATURES, classes.size):
            raise OutOfMemory(
                f"After {what}, {axis.parameter} would have {features:,} columns, over "
                f"{MOST_FEATURES:,}: give smaller numbers, or a smaller example_input."
            )
        after[axis.parameter] *= growth
    return sum(before.values()), int(sum(after.values()))
