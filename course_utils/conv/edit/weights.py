"""The weights of the new network: which ones are important, and where they move."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from course_utils.conv.edit.draft import Draft
from course_utils.conv.edit.labels import along
from course_utils.conv.edit.matching import Matching, Sources
from course_utils.conv.edit.trace import Axis
from course_utils.core import CourseError, kind_of

Importance = str | Callable[..., Tensor]


def class_scores(
    draft: Draft, classes: np.ndarray, importance: Importance, mean: bool = False
) -> np.ndarray:
    """Return the importance of every class of the trace; 0 for those without a scored row.

    Norms are added up over all layers that produce these channels, each relative to its mean, so
    that no layer decides alone (Fang et al. 2023, "DepGraph: Towards any structural pruning").

    Args:
        classes: a layer is scored if it produces channels of one of them.
        mean: return the mean over the layers, to compare channels that different layers produce.
    """
    trace = draft.trace
    sums, counts = np.zeros((2, trace.classes.max() + 1))
    scored = np.zeros(sums.shape, dtype=bool)
    scored[classes] = True
    for axis in trace.axes:
        if axis.dim == 0 and axis.parameter in trace.input_shapes:
            channels = trace.axis_classes(axis).reshape(-1)
            if scored[channels].any():
                norms = row_norms(draft.values(axis.parameter), importance, axis.parameter)
                np.add.at(sums, channels, norms / max(norms.mean(), 1e-30))
                np.add.at(counts, channels, 1)
    return sums / np.maximum(counts, 1) if mean else sums


def row_norms(weight: Tensor, importance: Importance, name: str = "weight") -> np.ndarray:
    """Return one number for each row of a weight, (C_out,); `name` is that of the parameter."""
    if weight.is_meta:
        return np.ones(len(weight))
    if callable(importance):
        layer = {"layer": _layer_of(name)} if _takes_layer(importance) else {}
        norms = importance(weight, **layer)
        if not isinstance(norms, Tensor):
            raise CourseError(
                f"importance returns {kind_of(norms)}; it must return a tensor with one number for "
                f"each of the {len(weight)} rows."
            )
        if norms.shape != (len(weight),):
            raise CourseError(
                f"importance returns shape {tuple(norms.shape)} for a weight of shape"
                f" {tuple(weight.shape)}; it must be one number for each of the {len(weight)} rows."
            )
        if not bool(norms.isfinite().all()):
            raise CourseError(
                f"importance returns nan or infinity for a weight of shape {tuple(weight.shape)}; "
                "it must be finite numbers."
            )
    elif importance in ("l1", "l2"):
        rows = weight.detach().flatten(1).float()
        norms = torch.linalg.vector_norm(rows, ord=int(importance[1]), dim=1)
    else:
        raise CourseError(f"importance={importance!r} is not known: give 'l1', 'l2' or a function.")
    return norms.detach().double().cpu().numpy()


def _takes_layer(importance: Callable[..., Tensor]) -> bool:
    try:
        return "layer" in inspect.signature(importance).parameters
    except (TypeError, ValueError):  # a function of C has no signature
        return False


def _layer_of(name: str) -> str:
    """Return the name of the layer that has this weight; another parameter's own name."""
    return name.removesuffix("weight").removesuffix(".") if name.endswith("weight") else name


def move_weights(draft: Draft, matching: Matching) -> None:
    """Set the numbers of the draft's parameters: the old ones in their new places."""
    moved: dict[str, Tensor] = {}
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
        now = matching.new.tensors[name].shape
        if values is not old or now != old.shape:  # a fixed slice has kept its size
            moved[name] = values
    draft.set_values(moved)


def _shared_out(values: Tensor, dim: int, sources: Sources) -> Tensor:
    """Return the numbers along an axis that is summed over: copies share their weight."""
    slot = torch.from_numpy(sources.slot).to(values.device).clamp(min=0)
    share = torch.from_numpy(sources.share).to(values.device).to(values.dtype)
    if len(slot) == 1:
        return values.index_select(dim, slot[0]) * along(share[0], dim, values.ndim)
    # The rows of each group have their own channels.
    row = torch.arange(len(values), device=values.device)
    group = row * len(slot) // len(values)
    shares = share[group]
    shares = shares.reshape(*shares.shape, *(1,) * (values.ndim - 2))
    return values[row[:, None], slot[group]] * shares
