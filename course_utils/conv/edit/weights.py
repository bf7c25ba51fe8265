"""The weights of the new network: which are important, where they move, and how kernels change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.conv.arithmetic import middle_overlap
from course_utils.conv.edit.draft import Draft
from course_utils.conv.edit.matching import Matching, Sources
from course_utils.conv.edit.trace import Axis, Trace
from course_utils.core import CourseError

Importance = str | Callable[[Tensor], Tensor]


def class_scores(draft: Draft, trace: Trace, weight: str, importance: Importance) -> np.ndarray:
    """Return the importance of every class; 0 for those without a row of `weight`.

    Norms are added up over all layers that produce these channels, each relative to its mean, so
    that no layer decides alone (Fang et al. 2023, "DepGraph: Towards any structural pruning").
    """
    own = np.unique(trace.axis_classes(Axis(weight, 0)))
    scores = np.zeros(trace.classes.max() + 1)
    for axis in trace.axes:
        if axis.dim == 0 and axis.parameter in trace.input_shapes:
            channels = trace.axis_classes(axis).reshape(-1)
            if np.isin(channels, own).any():
                norms = row_norms(draft.values(axis.parameter), importance)
                np.add.at(scores, channels, norms / max(norms.mean(), 1e-30))
    return scores


def row_norms(weight: Tensor, importance: Importance) -> np.ndarray:
    """Return one number for each row of a weight, (C_out,).

    Raises:
        CourseError: for an unknown importance, or one that returns another shape.
    """
    if weight.is_meta:
        return np.ones(len(weight))
    if callable(importance):
        norms = importance(weight)
        if norms.shape != (len(weight),):
            raise CourseError(
                f"importance returns shape {tuple(norms.shape)} for a weight of shape"
                f" {tuple(weight.shape)}; it must be one number for each of the {len(weight)} rows."
            )
    elif importance in ("l1", "l2"):
        norms = torch.linalg.vector_norm(
            weight.detach().flatten(1).float(), ord=int(importance[1]), dim=1
        )
    else:
        raise CourseError(f"importance={importance!r} is not known: give 'l1', 'l2' or a function.")
    return norms.double().cpu().numpy()


def move_weights(draft: Draft, matching: Matching) -> None:
    """Give the draft's parameters their old numbers in their new places."""
    for name in dict.fromkeys(axis.parameter for axis in matching.old.axes):
        values = old = draft.values(name)
        for axis in (Axis(name, dim) for dim in range(old.ndim)):
            sources = matching.sources(axis) if axis in matching.old.axes else None
            if sources is None:
                continue
            if axis in matching.old.consumers:
                values = _shared_out(values, axis.dim, sources)
            else:
                rows = torch.from_numpy(sources.rows()).to(values.device)
                values = values.index_select(axis.dim, rows)
        if values is not old:
            draft.set_values(name, values)


def _shared_out(values: Tensor, dim: int, sources: Sources) -> Tensor:
    """Return the numbers along an axis that is summed over: copies share their weight."""
    slot = torch.from_numpy(sources.slot).to(values.device).clamp(min=0)
    share = torch.from_numpy(sources.share).to(values.device).to(values.dtype)
    if len(slot) == 1:
        along = [1] * values.ndim
        along[dim] = -1
        return values.index_select(dim, slot[0]) * share.reshape(along)
    # The rows of each group have their own channels.
    row = torch.arange(len(values), device=values.device)
    group = row * len(slot) // len(values)
    shares = share[group]
    return values[row[:, None], slot[group]] * shares.reshape(
        *shares.shape, *(1,) * (values.ndim - 2)
    )


def set_sizes(model: nn.Module, depthwise: set[str]) -> None:
    """Set the layers' own numbers (`in_channels`, ...) to the sizes of their weights.

    Args:
        depthwise: weights of depthwise convolutions, whose groups follow their channels.
    """
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else ()
        match module:
            case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
                if f"{name}.weight".removeprefix(".") in depthwise:
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


# Kernels of the edited layer


def with_kernel_size(weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Return kernels (C_out, C_in / g, k_h, k_w) with zeros around them, or their middles.

    `middle_overlap` says which part of the old and the new kernel agree.
    """
    for dim, new in zip((2, 3), size, strict=True):
        old = weight.shape[dim]
        if new == old:
            continue
        into, source = middle_overlap(old, new)
        kept = weight.narrow(dim, source.start, source.stop - source.start)
        shape = list(weight.shape)
        shape[dim] = new
        weight = weight.new_zeros(shape)
        weight.narrow(dim, into.start, into.stop - into.start).copy_(kept)
    return weight


def with_groups(weight: Tensor, old: int, new: int) -> Tensor:
    """Return weights (C_out, C_in / old, ...) as (C_out, C_in / new, ...).

    Fewer groups: zeros where an output did not see an input, so the layer computes the same.
    More groups: the weights of inputs that an output no longer sees are lost.
    """
    rows, width = weight.shape[:2]  # width: input channels of one group
    new_width = width * old // new
    old_group = torch.arange(rows) // (rows // old)
    new_group = torch.arange(rows) // (rows // new)
    channel = new_group[:, None] * new_width + torch.arange(new_width)  # behind each new weight
    old_column = channel - old_group[:, None] * width
    known = (old_column >= 0) & (old_column < width)
    index = old_column.clamp(0, width - 1).to(weight.device)
    index = index.reshape(*index.shape, *(1,) * (weight.ndim - 2))
    result = torch.gather(weight, 1, index.expand(-1, -1, *weight.shape[2:]))
    return result * known.to(result).reshape(*known.shape, *(1,) * (weight.ndim - 2))
