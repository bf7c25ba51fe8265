"""Change one convolution of any network, and let the rest follow."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np
from torch import nn

from course_utils.conv.edit.draft import Draft, EditError, first_draft
from course_utils.conv.edit.guard import agree
from course_utils.conv.edit.own_padding import with_measured_padding
from course_utils.conv.edit.report import EditReport, report_of
from course_utils.conv.edit.settings import LayerEdit, require_parameters
from course_utils.conv.edit.surgery import change_layer
from course_utils.conv.edit.trace import Axis
from course_utils.conv.edit.weights import Importance


def edit_conv(
    model: nn.Module,
    name: str,
    *,
    example_input: Any = None,
    adapter: bool = True,
    importance: Importance = "l1",
    return_report: bool = False,
    **changes: Any,
) -> nn.Module | tuple[nn.Module, EditReport]:
    """Return a copy of a network in which one convolution is changed, and the rest fits it.

    These changes keep the function of the network (within rounding), if everything can follow:

    - more channels: each copy of a channel shares the weights of the layers that read it (Chen,
      Goodfellow and Shlens 2016, "Net2Net: Accelerating learning via knowledge transfer"). Where a
      mean over channels is taken (LayerNorm, GroupNorm), only if every channel gets equally many
      copies. It never holds for an attention layer, because its products count the copies;
    - a larger kernel whose padding keeps the size: zeros around the old one;
    - a bias; fewer groups.

    Fewer channels keep the most important ones; all other changes keep the weights that fit.

    Args:
        name: of the `nn.Conv2d`, as in `model.get_submodule(name)`.
        example_input: what the model runs on: a batch (N, C, H, W), a list of pictures, a tuple of
            all inputs, a dictionary (of keyword arguments, where its names are such), ... It is
            used exactly as given where the model runs on that; else one picture (C, H, W) becomes
            a batch. Its numbers do not matter, unless the model looks at them. With None the usual
            sizes of pictures are tried.
        adapter: where the rest of the network cannot follow, put a 1×1 convolution or a resizing
            after the layer (`AdaptedConv2d`); with False that is an error.
        importance: which channels to keep, or to copy first: those with the largest "l1" or "l2"
            norm of their weights, or a function weight (C_out, ...) -> (C_out,). Norms are added up
            over all layers whose channels change together.
        return_report: return (model, report).
        **changes: arguments of `nn.Conv2d` with their new values: out_channels, kernel_size,
            stride, padding, dilation, groups, bias, padding_mode. A new kernel_size or dilation
            without a padding keeps the output's size.

    Raises:
        ImpossibleSetting: no layer has such arguments; with the nearest possible ones.
        EditError: the channels are the network's output, the network cannot be followed, or there
            is no such layer.
    """
    conv = _find(model, name, set(changes))
    edit = LayerEdit.of(name, conv, changes)
    draft = first_draft(model, example_input)
    weight_name = draft.traced_weight(name)
    if not weight_name:
        raise EditError(f"{name} is not used when the model runs.")
    new_channels = edit.changes("out_channels")
    depthwise = weight_name in draft.trace.depthwise and "groups" not in changes
    outputs_per_input = conv.out_channels // conv.in_channels if depthwise and new_channels else 0
    edit, shapes = with_measured_padding(draft, edit, "padding" in changes)
    edit.require_possible(shapes, depthwise=outputs_per_input)
    if new_channels and _is_output(draft, name, weight_name):
        raise EditError(
            f"The channels of {name} are the network's output: their number is the number of"
            " classes (or colours) that it tells apart. Change another layer."
        )
    result = change_layer(draft, edit, importance, adapter)
    if return_report:
        return result, report_of(model, result, name, changes, draft.call)
    return result


def _find(model: nn.Module, name: str, changes: set[str]) -> nn.Conv2d:
    """Return the convolution of this name, if these settings of it can be changed."""
    convs = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    if name not in convs:
        close = difflib.get_close_matches(name, convs, n=3, cutoff=0.4) or convs[:3]
        there = dict(model.named_modules()).get(name)
        what = "no layer" if there is None else f"{type(there).__name__}, not a Conv2d"
        known = f" Close to it: {', '.join(close)}." if close else " It has no Conv2d at all."
        raise EditError(f"{name!r} is {what} in this model.{known}")
    conv = model.get_submodule(name)
    require_parameters(name, conv, changes)
    return conv


def _is_output(draft: Draft, name: str, weight: str) -> bool:
    """Check whether the layer's channels are the network's output."""
    trace = draft.trace
    channels = trace.axis_classes(Axis(weight, 0))
    if not any(np.isin(channels, trace.classes[x.numpy()]).any() for x in trace.output_labels):
        return False
    # They reach the output. If twice as many of them change its shape, they are the output.
    doubled = draft.fresh()
    doubled.model.get_submodule(name).bias = None
    rows, *rest = doubled.shape(weight)
    doubled.set_shape(weight, (2 * rows, *rest))
    try:
        return not agree(doubled.run().output_shapes, trace.output_shapes)
    except Exception:  # the network's forward combines them with something fixed
        return False
