"""How many channels every layer gets when one layer changes its number."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from course_utils.conv.edit.matching import fixed, tied
from course_utils.conv.edit.trace import Axis, Trace
from course_utils.core import CourseError


class CannotFollow(CourseError):
    """The rest of the network cannot take the changed channels as they are."""


def widths(trace: Trace, weight: str, want: int, scores: np.ndarray) -> dict[Axis, int]:
    """Channels of every parameter axis that changes with the rows of `weight`, per group.

    Channels that are tied, even loosely, change alike. All that are coupled change by the same
    ratio where that gives whole numbers; else each channel is kept, dropped or copied a whole
    number of times, the most important ones first.

    Args:
        want: number of rows that `weight` shall have.
        scores: importance of every label.

    Raises:
        CannotFollow: if the channels reach something whose size is fixed, or a coupled layer would
            get a fractional number of channels.
    """
    classes = tied(trace, loosely=True)
    own = classes[trace.axes[weight, 0].numpy().reshape(-1)]
    stays = fixed(trace, classes)
    free = ~stays[own]
    if not free.any():
        raise CannotFollow(_why_fixed(trace, classes, own))
    ratio = Fraction(want - int((~free).sum()), int(free.sum()))
    alike = {int(c): ratio for c in np.unique(own[free])}
    copies = _copies(own, stays, want, np.bincount(classes, scores))
    for counts in (alike, copies):
        changed, problem = _sizes(trace, classes, counts)
        if not problem:
            return changed
    raise CannotFollow(problem)


def _sizes(trace: Trace, classes: np.ndarray, counts: dict) -> tuple[dict[Axis, int], str]:
    """The axes that change, with their new sizes, and what is wrong with them."""
    changed, touched = {}, np.zeros(classes.max() + 1, dtype=bool)
    touched[list(counts)] = True
    for axis, labels in trace.axes.items():
        slots = classes[labels.numpy()]
        if not touched[slots].any():
            continue
        present, times = np.unique(slots, return_counts=True)
        pairs = zip(present.tolist(), times.tolist(), strict=True)
        total = sum(counts.get(c, 1) * n for c, n in pairs) / Fraction(len(labels))
        if total.denominator > 1 or total < 1:
            where = f"{axis[0]} would get {float(total * len(labels)):g} channels"
            return {}, f"{where} in {len(labels)} equal groups." if len(labels) > 1 else f"{where}."
        if total != labels.shape[1]:
            changed[axis] = int(total)
    return changed, "" if counts else "No whole number of channels fits."


def _copies(own: np.ndarray, stays: np.ndarray, want: int, scores: np.ndarray) -> dict[int, int]:
    """Class -> how many of each channel there will be; empty if whole numbers do not fit."""
    ids, sizes = np.unique(own, return_counts=True)
    left = want - int(sizes[stays[ids]].sum())
    ids, sizes = ids[~stays[ids]], sizes[~stays[ids]]
    each = max(left // int(sizes.sum()), 0)
    counts = dict.fromkeys(ids.tolist(), each)
    left -= each * int(sizes.sum())
    best = np.argsort(-scores[ids] / sizes, kind="stable")
    for c, size in zip(ids[best].tolist(), sizes[best].tolist(), strict=True):
        if size <= left:
            counts[c] += 1
            left -= size
    return {} if left or not any(counts.values()) else counts


def _why_fixed(trace: Trace, classes: np.ndarray, own: np.ndarray) -> str:
    for labels, operation in trace.fixed:
        if np.isin(classes[labels.numpy()], own).any():
            return f"Its channels reach {operation!r}, which cannot be followed."
    return "Its channels meet the network's input or output, whose size is fixed."
