"""Change one convolution of any network, and let the rest follow."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.conv.editing.adapter import AdaptedConv2d, keep_size_of, projection
from course_utils.conv.editing.draft import Draft, example_inputs
from course_utils.conv.editing.layer import (
    changed_settings,
    check,
    output_sizes,
    set_window,
    settings_of,
    with_groups,
    with_kernel_size,
)
from course_utils.conv.editing.matching import Matching, match, tied
from course_utils.conv.editing.report import EditReport, report_of
from course_utils.conv.editing.trace import Trace, run
from course_utils.conv.editing.widths import CannotFollow, widths
from course_utils.errors import CourseError

Importance = str | Callable[[Tensor], Tensor]


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
      Goodfellow and Shlens 2016, "Net2Net: Accelerating learning via knowledge transfer"). Behind a
      LayerNorm or GroupNorm only if every channel gets equally many copies, and in an attention
      never: the mean, the variance and the products there count the copies;
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
    conv = _find(model, name)
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
    weight = _parameter(name, "weight")
    if weight not in trace.inputs:
        raise EditError(f"{name} is not used when the model runs.")
    before = settings_of(conv)
    wider = wanted["out_channels"] != before["out_channels"]
    depthwise = weight in trace.depthwise and "groups" not in changes
    ratio = conv.out_channels // conv.in_channels if depthwise and wider else 0
    check(wanted, trace.inputs[weight], ratio)
    if wider:
        _refuse_output(trace, weight, name)
    sizes = [output_sizes(s, trace.inputs[weight]) for s in (before, wanted)]
    plans = [(False, False)]
    if adapter:
        resizes = (False, True) if sizes[0] != sizes[1] else (False,)
        plans = [(p, r) for p in ((False, True) if wider else (False,)) for r in resizes]
    for project, resize in plans:
        try:
            start = start or _Start(Draft(model, meta), inputs)
            result = _attempt(start, name, wanted, project, resize, importance)
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


def _find(model: nn.Module, name: str) -> nn.Conv2d:
    convs = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    if name not in convs:
        close = difflib.get_close_matches(name, convs, n=3, cutoff=0.4) or convs[:3]
        there = dict(model.named_modules()).get(name)
        what = "no layer" if there is None else f"{type(there).__name__}, not a Conv2d"
        known = f" Close to it: {', '.join(close)}." if close else " It has no Conv2d at all."
        raise EditError(f"{name!r} is {what} in this model.{known}")
    conv = model.get_submodule(name)
    if "weight" not in conv._parameters:
        raise EditError(
            f"The weight of {name} is computed (weight_norm, spectral_norm, pruning): remove that"
            " first, with torch.nn.utils.parametrize.remove_parametrizations or prune.remove."
        )
    return conv


class _Start:
    """A draft of the network, and what its run tells."""

    def __init__(self, draft: Draft, inputs: tuple):
        self.draft, self.inputs = draft, inputs
        self.trace, self.shapes = run(draft.model, inputs)

    def again(self) -> None:
        """Run the draft once more, after it has changed."""
        self.trace, self.shapes = run(self.draft.model, self.inputs)


def _start(model: nn.Module, example: Any, meta: bool) -> _Start:
    """The run on the first inputs that the model accepts."""
    draft = Draft(model, meta)
    problem: Exception | None = None
    for inputs in example_inputs(model, example, meta):
        try:
            return _Start(draft, inputs)
        except Exception as error:
            problem = problem or error
    raise problem


def _refuse_output(trace: Trace, weight: str, name: str) -> None:
    classes = tied(trace)
    own = classes[trace.axes[weight, 0].numpy()]
    if any(np.isin(own, classes[labels.numpy()]).any() for labels in trace.outputs):
        raise EditError(
            f"The channels of {name} are the network's output: their number is the number of"
            " classes (or colours) that it tells apart. Change another layer."
        )


def _attempt(
    start: _Start,
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
    weight = _parameter(name, "weight")
    conv = draft.model.get_submodule(name)
    before = settings_of(conv)
    wider = wanted["out_channels"] != conv.out_channels
    regroup = wanted["groups"] != conv.groups
    # Groups and bias concern the layer alone. With other channels, too, it is dense until the end.
    if regroup:
        _set_groups(draft, name, 1 if wider else wanted["groups"])
    rebias = wanted["bias"] != before["bias"]
    if rebias:
        _set_bias(draft, name, wanted["bias"])
    if project or resize:
        conv = _adapted(draft, name)
    if project:
        _project(draft, name, wanted["out_channels"], importance)
        wider = False
    if regroup or rebias or project:
        start.again()
    old = start.trace
    scores = np.zeros(old.count)
    if wider:
        scores = _scores(draft, old, weight, importance)
        for (tensor, dim), size in widths(old, weight, wanted["out_channels"], scores).items():
            shape = list(draft.shape(tensor))
            labels = old.axes[tensor, dim]
            shape[dim] = size if shape[dim] == labels.shape[1] else size * len(labels)
            draft.reshape(tensor, shape)
    if wanted["kernel_size"] != before["kernel_size"]:
        rows, columns = draft.shape(weight)[:2]
        draft.tensors[weight] = with_kernel_size(draft.tensor(weight), wanted["kernel_size"])
        draft.reshape(weight, (rows, columns, *wanted["kernel_size"]))
    set_window(conv, wanted)
    if resize and conv.former is None:
        conv.former = keep_size_of(before)
    new, shapes = run(draft.model, start.inputs, former=old)
    if shapes != start.shapes:
        raise CannotFollow(f"The network's output would be {shapes}, not {start.shapes}.")
    if wider or new.inputs != old.inputs:
        classes = tied(old)
        importances = np.zeros(classes.max() + 1)
        np.add.at(importances, classes, scores)
        matching = match(old, new, importances, classes)
        for tensor in dict.fromkeys(n for n, _ in old.axes):
            rebuilt = _rebuilt(draft.tensor(tensor), tensor, matching)
            if rebuilt is not None:
                draft.replace(tensor, rebuilt)
    _fix_attributes(draft.model, new.depthwise)
    if regroup and wider and wanted["groups"] > 1:
        _set_groups(draft, name, wanted["groups"])
    return draft.filled()


def _rebuilt(tensor: Tensor, name: str, matching: Matching) -> Tensor | None:
    """A parameter's numbers in their new places; None if nothing changes."""
    changed = False
    for dim in range(tensor.ndim):
        axis = (name, dim)
        if axis not in matching.old.axes:
            continue
        if axis not in matching.old.consumers:
            rows = matching.rows(axis)
            if rows is not None:
                tensor = tensor.index_select(dim, torch.from_numpy(rows).to(tensor.device))
                changed = True
            continue
        found = matching.columns(axis)
        if found is None:
            continue
        index, share = (torch.from_numpy(x).to(tensor.device) for x in found)
        share, index, changed = share.to(tensor.dtype), index.clamp(min=0), True
        if len(index) == 1:
            along = [1] * tensor.ndim
            along[dim] = -1
            tensor = tensor.index_select(dim, index[0]) * share.reshape(along)
        else:  # the rows of each group take their own channels
            group = torch.arange(len(tensor), device=tensor.device) * len(index) // len(tensor)
            row = torch.arange(len(tensor), device=tensor.device)[:, None]
            rest = (1,) * (tensor.ndim - 2)
            shares = share[group]
            tensor = tensor[row, index[group]] * shares.reshape(*shares.shape, *rest)
    return tensor if changed else None


def _scores(draft: Draft, trace: Trace, weight: str, importance: Importance) -> np.ndarray:
    """The importance of every label: norms of the weights that give it, relative to their mean."""
    classes = tied(trace)
    own = np.unique(classes[trace.axes[weight, 0].numpy()])
    scores = np.zeros(trace.count)
    for (name, dim), labels in trace.axes.items():
        flat = labels.numpy().reshape(-1)
        if dim == 0 and name in trace.inputs and np.isin(classes[flat], own).any():
            norms = _norms(draft.tensor(name), importance)
            np.add.at(scores, flat, norms / max(norms.mean(), 1e-30))
    return scores


def _norms(weight: Tensor, importance: Importance) -> np.ndarray:
    if weight.is_meta:
        return np.ones(len(weight))
    rows = weight.detach().flatten(1).float()
    if callable(importance):
        norms = importance(weight)
        if norms.shape != (len(weight),):
            raise CourseError(
                f"importance gives shape {tuple(norms.shape)} for a weight of shape"
                f" {tuple(weight.shape)}; one number for each of the {len(weight)} rows is needed."
            )
    elif importance in ("l1", "l2"):
        norms = torch.linalg.vector_norm(rows, ord=int(importance[1]), dim=1)
    else:
        raise CourseError(f"importance={importance!r} is not known: 'l1', 'l2' or a function.")
    return norms.double().cpu().numpy()


# Changes of the layer in the draft


def _parameter(layer: str, attribute: str) -> str:
    return f"{layer}.{attribute}" if layer else attribute


def _set_groups(draft: Draft, name: str, groups: int) -> None:
    conv = draft.model.get_submodule(name)
    weight = _parameter(name, "weight")
    draft.replace(weight, with_groups(draft.tensor(weight), conv.groups, groups))
    conv.groups = groups


def _set_bias(draft: Draft, name: str, bias: bool) -> None:
    conv = draft.model.get_submodule(name)
    conv.bias = None
    if bias:
        like = draft.tensor(_parameter(name, "weight"))
        zeros = like.new_zeros(conv.out_channels)
        empty = torch.empty_like(zeros, device=conv.weight.device)
        conv.bias = nn.Parameter(empty, conv.weight.requires_grad)
        draft.tensors[_parameter(name, "bias")] = zeros


def _adapted(draft: Draft, name: str) -> AdaptedConv2d:
    """Make the layer one that can have an adapter."""
    if not name:
        raise CannotFollow("The layer is the whole network.")
    conv = AdaptedConv2d.of(draft.model.get_submodule(name))
    for module in draft.model.modules():  # it may be used at several places
        for child, layer in module._modules.items():
            if layer is draft.model.get_submodule(name) and layer is not conv:
                module._modules[child] = conv
    return conv


def _project(draft: Draft, name: str, want: int, importance: Importance) -> None:
    """Give the layer `want` channels, and a projection back to those it had."""
    conv = draft.model.get_submodule(name)
    weight = _parameter(name, "weight")
    had, groups = conv.out_channels, conv.groups
    numbers = draft.tensor(weight)
    order = np.argsort(-_norms(numbers, importance).reshape(groups, -1), kind="stable")
    copies = np.full((groups, had // groups), want // had)
    extra = want // groups - copies.sum(1)[0]
    np.put_along_axis(copies, order[:, :extra], want // had + 1, axis=1)
    copies = copies.reshape(-1)
    kept = torch.from_numpy(np.repeat(np.arange(had), copies))
    for parameter in (weight, _parameter(name, "bias")):
        if parameter == weight or conv.bias is not None:
            values = draft.tensor(parameter)
            draft.replace(parameter, values.index_select(0, kept.to(values.device)))
    conv.out_channels = want
    layer = projection(copies.tolist(), kept, numbers)
    draft.tensors[f"{weight.removesuffix('weight')}project.weight"] = layer.weight.detach()
    conv.project = layer.to(conv.weight.device) if conv.weight.is_meta else layer


def _fix_attributes(model: nn.Module, depthwise: set[str]) -> None:
    """Let the layers' own numbers say what their weights say."""
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else ()
        match module:
            case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
                if _parameter(name, "weight") in depthwise:
                    each = module.out_channels // module.in_channels
                    module.groups = module.in_channels = shape[0] // each
                module.out_channels, module.in_channels = shape[0], shape[1] * module.groups
            case nn.ConvTranspose1d() | nn.ConvTranspose2d() | nn.ConvTranspose3d():
                module.in_channels, module.out_channels = shape[0], shape[1] * module.groups
            case nn.Linear():
                module.out_features, module.in_features = shape
            case nn.modules.batchnorm._NormBase():
                vector = weight if shape else module.running_mean
                if vector is not None:
                    module.num_features = len(vector)
            case nn.GroupNorm() if shape:
                module.num_channels = shape[0]
            case nn.LayerNorm() if len(shape) == 1:
                module.normalized_shape = shape
            case nn.PReLU():
                module.num_parameters = shape[0]
