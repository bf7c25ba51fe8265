"""Which channels matter most: those to keep, and to copy first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from course_utils.conv.edit.draft import Draft
from course_utils.conv.edit.matching import Classes
from course_utils.conv.edit.trace import Trace
from course_utils.core import CourseError

Importance = str | Callable[[Tensor], Tensor]


def class_scores(
    draft: Draft, trace: Trace, classes: Classes, weight: str, importance: Importance
) -> np.ndarray:
    """The importance of every class of channels that the rows of `weight` belong to.

    Added up over all layers that give these channels, each relative to its mean, so that no layer
    decides alone (Fang et al. 2023, "DepGraph: Towards any structural pruning").
    """
    own = np.unique(classes[trace.axes[weight, 0].numpy()])
    scores = np.zeros(classes.max() + 1)
    for (name, dim), labels in trace.axes.items():
        channels = classes[labels.numpy().reshape(-1)]
        if dim == 0 and name in trace.inputs and np.isin(channels, own).any():
            norms = row_norms(draft.tensor(name), importance)
            np.add.at(scores, channels, norms / max(norms.mean(), 1e-30))
    return scores


def row_norms(weight: Tensor, importance: Importance) -> np.ndarray:
    """One number for each row of a weight, (C_out,).

    Raises:
        CourseError: for an importance that is not known, or gives another shape.
    """
    if weight.is_meta:
        return np.ones(len(weight))
    if callable(importance):
        norms = importance(weight)
        if norms.shape != (len(weight),):
            raise CourseError(
                f"importance gives shape {tuple(norms.shape)} for a weight of shape"
                f" {tuple(weight.shape)}; one number for each of the {len(weight)} rows is needed."
            )
    elif importance in ("l1", "l2"):
        norms = torch.linalg.vector_norm(
            weight.detach().flatten(1).float(), ord=int(importance[1]), dim=1
        )
    else:
        raise CourseError(f"importance={importance!r} is not known: 'l1', 'l2' or a function.")
    return norms.double().cpu().numpy()
