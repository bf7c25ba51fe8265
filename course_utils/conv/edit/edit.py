"""Change one convolution of any network, and let the rest follow."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np
from torch import Tensor, nn

from course_utils.conv.edit.draft import Draft, example_inputs
from course_utils.conv.edit.report import EditReport, report_of
from course_utils.conv.edit.settings import (
    changed_settings,
    output_sizes,
    require_possible,
    settings_of,
)
from course_utils.conv.edit.surgery import (
    Adapters,
    LayerEdit,
    TracedDraft,
    attempt,
    parameter_name,
)
from course_utils.conv.edit.trace import Axis, Trace
from course_utils.conv.edit.tracer import trace_model
from course_utils.conv.edit.weights import Importance
from course_utils.core import CourseError


class EditError(CourseError):
    """A network in which this layer cannot be changed like this; says why."""


def edit_conv(
    model: nn.Module,
    name: str,
    *,
    example_input: Tensor | tuple | None = None,
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
      copies; in an attention never, because its products count the copies;
    - a larger kernel whose padding keeps the size: zeros around the old one;
    - a bias; fewer groups.

    Fewer channels keep the most important ones; all other changes keep the weights that fit.

    Args:
        name: of the `nn.Conv2d`, as in `model.get_submodule(name)`.
        example_input: a batch (N, C, H, W), one picture (C, H, W), or a tuple of all inputs; its
            numbers do not matter. With None the usual sizes of pictures are tried.
        adapter: where the rest of the network cannot follow, put a 1×1 convolution or a resizing
            behind the layer (`AdaptedConv2d`); with False that is an error.
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
    before, after = settings_of(conv), changed_settings(conv, changes)
    edit = LayerEdit(name, before, after, importance)
    traced = _first_run(model, example_input)
    weight = _traced_weight(traced, name)
    shapes = traced.trace.input_shapes[weight]
    depthwise = weight in traced.trace.depthwise and "groups" not in changes
    each = conv.out_channels // conv.in_channels if edit.changes("out_channels") else 0
    require_possible(after, shapes, depthwise=each if depthwise else 0)
    if edit.changes("out_channels"):
        _refuse_output(traced, name, weight)
    choices = _adapters(edit, conv, shapes) if adapter else [Adapters()]
    result = _first_success(traced, edit, choices, hint="" if adapter else _ADAPTER_HINT)
    if return_report:
        return result, report_of(model, result, name, changes, traced.inputs)
    return result


_ADAPTER_HINT = " With adapter=True the layer is adapted to it."


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
    others = changes - {"stride", "padding", "dilation", "padding_mode"}
    if "weight" not in conv._parameters and others:
        raise EditError(
            f"The weight of {name} is computed (weight_norm, spectral_norm, pruning), so"
            f" {', '.join(sorted(others))} cannot be changed: remove that first, with"
            " torch.nn.utils.parametrize.remove_parametrizations or prune.remove."
        )
    return conv


def _first_run(model: nn.Module, example: Any) -> TracedDraft:
    """Run a draft on the first inputs that the model accepts, on the meta device if possible."""
    for meta in (True, False):
        draft, problem = Draft(model, meta), None
        for inputs in example_inputs(model, example, meta):
            try:
                return TracedDraft(draft, inputs)
            except Exception as error:
                problem = problem or error
        if isinstance(problem, CourseError):
            raise problem
    raise EditError(
        f"The model does not run on the example input ({_one_line(problem)}). Give a batch that"
        " it accepts: example_input=..."
    )


def _traced_weight(traced: TracedDraft, name: str) -> str:
    """Return the name in the trace of a layer's weight, or of what it is computed from."""
    own = traced.draft.listed_name(parameter_name(name, "weight"))
    computed = f"{name}.parametrizations."
    for weight in traced.trace.input_shapes:
        if weight == own or weight.startswith(computed):
            return weight
    raise EditError(f"{name} is not used when the model runs.")


def _refuse_output(traced: TracedDraft, name: str, weight: str) -> None:
    """Raise an `EditError` if the layer's channels are the network's output."""
    trace = traced.trace
    if not np.isin(trace.axis_classes(Axis(weight, 0)), _output_classes(trace)).any():
        return
    # They reach the output. If twice as many of them change its shape, they are the output.
    draft = Draft(traced.draft.original, traced.draft.meta)
    draft.model.get_submodule(name).bias = None
    rows, *rest = draft.shape(weight)
    draft.set_shape(weight, (2 * rows, *rest))
    try:
        shapes = trace_model(draft.model, traced.inputs).output_shapes
    except Exception:  # the network's forward combines them with something fixed
        return
    if shapes != trace.output_shapes:
        raise EditError(
            f"The channels of {name} are the network's output: their number is the number of"
            " classes (or colours) that it tells apart. Change another layer."
        )


def _output_classes(trace: Trace) -> np.ndarray:
    labels = [labels.numpy() for labels in trace.output_labels]
    return trace.classes[np.concatenate([*labels, np.zeros(0, dtype=np.int64)])]


def _adapters(edit: LayerEdit, conv: nn.Conv2d, shapes: list[tuple[int, ...]]) -> list[Adapters]:
    """Return the adapters that may help, those that change least first."""
    resizes, projects = [False], [False]
    computes_size = type(conv).forward is not nn.Conv2d.forward  # it may compute its own padding
    if computes_size or output_sizes(edit.before, shapes) != output_sizes(edit.after, shapes):
        resizes.append(True)
    if edit.changes("out_channels"):
        projects.append(True)
    return [Adapters(project, resize) for project in projects for resize in resizes]


def _first_success(
    traced: TracedDraft, edit: LayerEdit, choices: list[Adapters], hint: str
) -> nn.Module:
    """Return the edited network of the first attempt that succeeds.

    Raises:
        EditError: if none does; it says what stopped the first one.
    """
    problems: list[str] = []
    for adapters in choices:
        try:  # a failed attempt has changed its draft
            return attempt(traced.fresh() if problems else traced, edit, adapters)
        except CourseError as error:
            problems.append(str(error))
        except Exception as error:
            problems.append(f"The network's forward stops: {_one_line(error)}")
    raise EditError(f"{edit.name} cannot be changed like this. {problems[0]}{hint}")


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
