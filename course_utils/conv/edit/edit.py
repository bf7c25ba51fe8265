"""Change one convolution of any network, and let the rest follow."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np
from torch import Tensor, nn

from course_utils.conv.edit.draft import Draft, example_inputs
from course_utils.conv.edit.importance import Importance
from course_utils.conv.edit.report import EditReport, report_of
from course_utils.conv.edit.settings import (
    changed_settings,
    check,
    output_sizes,
    settings_of,
)
from course_utils.conv.edit.surgery import Start, attempt, parameter_name
from course_utils.conv.edit.trace import run
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
    """A copy of a network in which one convolution is another, and all else fits it.

    What computes the same function as before (within rounding), if everything follows:

    - more channels: each copy of a channel shares the weights of those that read it (Chen,
      Goodfellow and Shlens 2016, "Net2Net: Accelerating learning via knowledge transfer"). Where a
      mean over channels is taken (LayerNorm, GroupNorm), only if every channel gets equally many
      copies; in an attention never, for its products count the copies;
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
        ImpossibleSetting: no layer has such arguments, with the nearest that one can have.
        EditError: the channels are the network's output, the network cannot be followed, or there
            is no such layer.
    """
    conv = _find(model, name, set(changes))
    wanted = changed_settings(conv, changes)
    problems: list[str] = []
    for meta in (True, False):
        try:
            start = _start(model, example_input, meta)
            break
        except Exception as error:
            if isinstance(error, CourseError):
                raise
            problems.append(f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}")
    else:
        raise EditError(
            f"The model does not run on the example input ({problems[-1]}). Give a batch that it"
            " accepts: example_input=..."
        )
    trace, inputs = start.trace, start.inputs
    own, computed = (
        start.draft.canonical(parameter_name(name, "weight")),
        f"{name}.parametrizations.",
    )
    weight = next((w for w in trace.inputs if w == own or w.startswith(computed)), "")
    if not weight:
        raise EditError(f"{name} is not used when the model runs.")
    before = settings_of(conv)
    wider = wanted["out_channels"] != before["out_channels"]
    depthwise = weight in trace.depthwise and "groups" not in changes
    ratio = conv.out_channels // conv.in_channels if depthwise and wider else 0
    check(wanted, trace.inputs[weight], ratio)
    if wider:
        _refuse_output(model, name, weight, start)
    sizes = [output_sizes(s, trace.inputs[weight]) for s in (before, wanted)]
    plans = [(False, False)]
    if adapter:
        special = type(conv).forward is not nn.Conv2d.forward  # it may see to sizes itself
        resizes = (False, True) if special or sizes[0] != sizes[1] else (False,)
        plans = [(p, r) for p in ((False, True) if wider else (False,)) for r in resizes]
    for project, resize in plans:
        try:
            start = start or Start(Draft(model, meta), inputs)
            result = attempt(start, name, wanted, project, resize, importance)
            break
        except CourseError as error:
            problems.append(str(error))
        except Exception as error:
            line = (str(error).strip().splitlines() or [""])[0]
            problems.append(f"The network's forward stops: {type(error).__name__}: {line}")
        start = None  # what failed has changed its draft
    else:
        hint = "" if adapter else " With adapter=True the layer is adapted to it."
        raise EditError(f"{name} cannot be changed like this. {problems[0]}{hint}")
    if return_report:
        return result, report_of(model, result, name, changes, inputs)
    return result


def _find(model: nn.Module, name: str, changes: set[str]) -> nn.Conv2d:
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


def _start(model: nn.Module, example: Any, meta: bool) -> Start:
    """The run on the first inputs that the model accepts."""
    draft = Draft(model, meta)
    problem: Exception | None = None
    for inputs in example_inputs(model, example, meta):
        try:
            return Start(draft, inputs)
        except Exception as error:
            problem = problem or error
    raise problem


def _refuse_output(model: nn.Module, name: str, weight: str, start: Start) -> None:
    """See that the layer's channels are not what the network gives out."""
    trace, classes = start.trace, start.classes
    own = classes[trace.axes[weight, 0].numpy()]
    if not any(np.isin(own, classes[labels.numpy()]).any() for labels in trace.outputs):
        return
    # They reach the output. If twice as many of them reach it as well, they are the output.
    draft = Draft(model)
    draft.model.get_submodule(name).bias = None
    rows, *rest = draft.shape(weight)
    draft.reshape(weight, (2 * rows, *rest))
    try:
        _, shapes = run(draft.model, start.inputs)
    except Exception:  # the network's forward puts them together with something fixed
        return
    if shapes != start.shapes:
        raise EditError(
            f"The channels of {name} are the network's output: their number is the number of"
            " classes (or colours) that it tells apart. Change another layer."
        )
