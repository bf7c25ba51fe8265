"""Change one convolution of any network, and let the rest follow."""

from __future__ import annotations

import difflib
from typing import Any

from torch import nn

from course_utils.conv.edit.demand import require_affordable_edit, require_affordable_end
from course_utils.conv.edit.draft import Draft, EditError, first_draft
from course_utils.conv.edit.ends import (
    change_input,
    change_output,
    draft_for_pictures,
    is_output,
)
from course_utils.conv.edit.own_padding import with_measured_padding
from course_utils.conv.edit.report import EditReport, report_of
from course_utils.conv.edit.settings import LayerEdit, at_least_one, require_parameters
from course_utils.conv.edit.surgery import change_layer
from course_utils.conv.edit.weights import Importance
from course_utils.conv.example import as_example
from course_utils.core import check_network, garbage_later, memory_in_words


@garbage_later()
@memory_in_words("give smaller numbers, or a smaller example_input")
def edit_conv(
    model: nn.Module,
    name: str,
    *,
    example_input: Any = None,
    adapter: bool = True,
    importance: Importance = "l1",
    output: bool = False,
    divisible_by: int = 1,
    dry_run: bool = False,
    return_report: bool = False,
    **changes: Any,
) -> nn.Module | tuple[nn.Module, EditReport] | EditReport:
    """Return a copy of a network in which one convolution is changed, and the rest fits it.

    These changes keep the function of the network (within rounding), if everything can follow:

    - more channels: each copy of a channel shares the weights of the layers that read it (Chen,
      Goodfellow and Shlens 2016, "Net2Net: Accelerating learning via knowledge transfer"). Where a
      mean over channels is taken (LayerNorm, GroupNorm), only if every channel gets equally many
      copies. It never holds where the copies count: products of channels (attention, cosine
      similarity), a sum or softmax over channels, `F.normalize`, and weights that are normalised
      (weight standardisation, weight_norm, spectral_norm);
    - a larger kernel whose padding keeps the size: zeros around the old one;
    - a bias; fewer groups.

    Fewer channels keep the most important ones; all other changes keep the weights that fit.

    Of a network inside `torch.compile` or `DataParallel` the network itself is edited and returned:
    compile or wrap the result again.

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
            norm of their weights, or a function weight (C_out, ...) -> (C_out,). If it has an
            argument `layer`, it gets the name of the layer as well. Norms are added up over all
            layers whose channels change together, each divided by the mean of its layer.
        output: change the network's output (its classes) with `out_channels`; the layer must be
            the one that makes it. The first outputs stay; new ones begin like those of a new
            layer, with a fixed seed. `name` may then be an `nn.Linear` with `out_features`.
        divisible_by: round `out_channels` to the nearest multiple of this number, at least one
            (hardware often likes multiples of 8). The layer's groups divide it as well. Other
            layers follow as they do without it. It has no effect with `output`.
        dry_run: return only the report, which does not compare the functions then. The changed
            network gets no numbers, if the model runs without numbers.
        return_report: return (model, report).
        **changes: arguments of `nn.Conv2d` with their new values: in_channels, out_channels,
            kernel_size, stride, padding, dilation, groups, bias, padding_mode.
            A new kernel_size or dilation without a padding keeps the output's size where a padding
            can do that; a layer that pads its input itself is not padded twice.
            in_channels is for the first layer: the network's pictures then have other channels,
            and `example_input` may have either number. With more channels the old ones are
            repeated, and the copies share the weights; with fewer, each one has an equal part of
            the sum. So grey pictures (all channels alike) have the same outputs as before.

    Raises:
        ImpossibleSetting: no layer has such arguments; with the nearest possible ones.
        OutOfMemory: the network would need more memory than is free, or take minutes to run.
        EditError: the channels are the network's output (without `output`), the network cannot be
            followed, or there is no such layer.
    """
    check_network(model)
    model, name = unwrapped(model, name)
    layer = _find(model, name, set(changes), output)
    if isinstance(layer, nn.Conv2d):  # all arguments are known
        LayerEdit.of(name, layer, {n: v for n, v in changes.items() if n != "in_channels"})
    divisible_by = at_least_one("divisible_by", divisible_by)
    edited, call, left = model, None, dict(changes)
    if "in_channels" in left:
        channels = at_least_one("in_channels", left.pop("in_channels"))
        require_affordable_end(layer, f"{name} with in_channels={channels}", 1, channels)
        draft = draft_for_pictures(model, name, channels, example_input, dry_run)
        call, example_input = draft.call, as_example(draft.call)
        if channels != layer.in_channels:
            draft = change_input(draft, name, channels)
            edited, example_input = draft.filled(), as_example(draft.call)
    if output:
        count = at_least_one("out_channels", _outputs(left))
        require_affordable_end(layer, f"{name} with {count} outputs", 0, count)
        draft = change_output(first_draft(edited, example_input, dry_run), name, count)
        call, edited = call or draft.call, draft.filled()
    reason = ""
    if left or edited is model:
        draft = first_draft(edited, example_input, dry_run)
        call = call or draft.call
        edited, reason = _with_settings(draft, name, left, importance, adapter, divisible_by)
    if not (return_report or dry_run):
        return edited
    report = report_of(model, edited, name, changes, call, draft.call, output, reason)
    return report if dry_run else (edited, report)


def _with_settings(
    draft: Draft,
    name: str,
    changes: dict[str, Any],
    importance: Importance,
    adapter: bool,
    divisible_by: int,
) -> tuple[nn.Module, str]:
    """Return the network with other settings of a layer, and why it needs an adapter."""
    conv = draft.model.get_submodule(name)
    edit = LayerEdit.of(name, conv, changes)
    weight_name = draft.traced_weight(name)
    if not weight_name:
        raise EditError(f"{name} is not used when the model runs.")
    new_channels = edit.changes("out_channels")
    depthwise = weight_name in draft.trace.depthwise and "groups" not in changes
    outputs_per_input = conv.out_channels // conv.in_channels if depthwise and new_channels else 0
    if "out_channels" in changes:
        edit = edit.rounded_to(divisible_by, outputs_per_input)
    require_affordable_edit(draft, edit, weight_name)
    edit, shapes = with_measured_padding(draft, edit, "padding" in changes)
    edit.require_possible(shapes, depthwise=outputs_per_input)
    if edit.changes("out_channels") and is_output(draft, weight_name):
        raise EditError(
            f"The channels of {name} are the network's output: their number is the number of"
            " classes (or colours) that it tells apart. Change another layer, or give output=True"
            " if the network is to have other outputs."
        )
    return change_layer(draft, edit, importance, adapter)


def unwrapped(model: nn.Module, name: str = "") -> tuple[nn.Module, str]:
    """Return the network inside the wrappers of torch.compile or DataParallel, and a name in it."""
    while True:
        if "_orig_mod" in model._modules:  # torch.compile's; its class takes seconds to import
            wrapper = "_orig_mod"
        elif isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            wrapper = "module"
        else:
            return model, name
        model, name = model.get_submodule(wrapper), name.removeprefix(f"{wrapper}.")


def _find(model: nn.Module, name: str, changes: set[str], output: bool) -> nn.Module:
    """Return the layer of this name, if these settings of it can be changed."""
    modules = dict(model.named_modules())
    there = modules.get(name)
    if output and isinstance(there, nn.Linear) and changes <= {"out_features", "out_channels"}:
        return there
    convs = [n for n, m in modules.items() if isinstance(m, nn.Conv2d)]
    if name not in convs:
        close = difflib.get_close_matches(name, convs, n=3, cutoff=0.4) or convs[:3]
        what = "no layer" if there is None else f"{type(there).__name__}, not a Conv2d"
        known = f" Close to it: {', '.join(close)}." if close else " It has no Conv2d at all."
        raise EditError(f"{name!r} is {what} in this model.{known}")
    require_parameters(name, there, changes)
    return there


def _outputs(changes: dict[str, Any]) -> Any:
    """Return the number of outputs that is asked for, and take it out of the changes."""
    for name in ("out_channels", "out_features"):
        if name in changes:
            return changes.pop(name)
    raise EditError("output=True changes the number of outputs: give out_channels as well.")
