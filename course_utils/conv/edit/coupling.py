"""The channels that change together, and how many each layer gets if one changes its number."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from course_utils.conv.edit.draft import EditError, first_draft
from course_utils.conv.edit.trace import Axis, Trace

if TYPE_CHECKING:
    import pandas


def widths(trace: Trace, weight: str, want: int, scores: np.ndarray) -> dict[Axis, int]:
    """Return the new width (channels per group) of every axis that changes with a weight's rows.

    Channels with coupled widths change alike: all by the same ratio where that gives whole numbers;
    else each one is kept, dropped or copied a whole number of times, the most important first.

    Args:
        want: number of rows that `weight` is to have.
        scores: importance of every class of `trace.classes`.

    Raises:
        EditError: if the channels reach something whose size is fixed, or a coupled layer would
            get a fractional number of channels.
    """
    classes = trace.width_classes
    rows = classes[trace.axes[Axis(weight, 0)].numpy().reshape(-1)]
    fixed = trace.fixed_classes(classes)
    free = ~fixed[rows]
    if not free.any():
        raise EditError(_why_fixed(trace, classes, rows))
    ratio = Fraction(want - int((~free).sum()), int(free.sum()))
    alike = {int(c): ratio for c in np.unique(rows[free])}
    whole = _whole_copies(rows, fixed, want, np.bincount(classes, scores[trace.classes]))
    problems = []
    for copies, loose in ((alike, False), (whole, False), (whole, True)):
        changed, problem = _changed_axes(trace, classes, copies, loose)
        if not problem:
            return changed
        problems.append(problem)
    raise EditError(problems[1])


def scaled_widths(trace: Trace, ratios: dict[int, Fraction]) -> dict[Axis, int]:
    """Return the new width of every axis that changes if width classes change by these ratios.

    Raises:
        EditError: if a layer would get a fractional number of channels.
    """
    problems = []
    for loose in (False, True):
        changed, problem = _changed_axes(trace, trace.width_classes, ratios, loose)
        if not problem:
            return changed
        problems.append(problem)
    raise EditError(problems[0])


def streams(trace: Trace, produced: Sequence[np.ndarray]) -> np.ndarray:
    """Return for each width class the number of its stream.

    A stream is all that must change together if each layer is to change by one ratio. Layers that
    share a class, because their outputs are added up, say, are in one stream.

    Args:
        produced: for each layer, the width classes of the channels that it produces.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    firsts = [np.full(len(classes), classes[0]) for classes in produced]
    a, b = (np.concatenate([[0], *x]) for x in (firsts, produced))
    count = trace.width_classes.max() + 1
    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def copy_counts(scores: np.ndarray, places: int) -> np.ndarray:
    """Return how many of some places each channel gets, (..., channels).

    This decides which channels stay. With fewer places than channels, those with the largest scores
    get one place each, and the others are dropped. With more places all get equally many, and the
    largest scores get one more each, until no place is left.
    """
    channels = scores.shape[-1]
    counts = np.full(scores.shape, places // channels)
    best = np.argsort(-scores, axis=-1, kind="stable")[..., : places % channels]
    np.put_along_axis(counts, best, places // channels + 1, axis=-1)
    return counts


def _changed_axes(
    trace: Trace, classes: np.ndarray, copies: dict[int, int | Fraction], loose: bool
) -> tuple[dict[Axis, int], str]:
    """Return the axes that change with their new widths, and what is wrong with them.

    Args:
        copies: of each class of `classes` that changes, its new number divided by the old one.
        loose: leave out the layers that read a part of the channels which does not change by whole
            numbers. A fixed slice decides how many there are, when the network runs.
    """
    changed, ratios = {}, [1, *dict.fromkeys(copies.values())]
    numbers = {ratio: number for number, ratio in enumerate(ratios[1:], start=1)}
    ratio_of = np.zeros(classes.max() + 1, dtype=np.int64)  # of each class, as a place in `ratios`
    ratio_of[list(copies)] = [numbers[ratio] for ratio in copies.values()]
    counted: dict[int, np.ndarray] = {}  # of slots that several axes share
    for axis, labels in trace.axes.items():
        times = counted.get(id(labels))
        if times is None:
            places = ratio_of[classes[labels.numpy()].reshape(-1)]
            times = counted[id(labels)] = np.bincount(places, minlength=len(ratios))
        if not times[1:].any():
            continue
        pairs = zip(ratios, times.tolist(), strict=True)
        width = sum((ratio * n for ratio, n in pairs if n), Fraction(0)) / len(labels)
        if width.denominator > 1 or width < 1:
            if loose and len(labels) == 1 and axis in trace.consumers:
                continue
            problem = f"{axis.parameter} would get {float(width * len(labels)):g} channels"
            return {}, problem + (f" in {len(labels)} equal groups." if len(labels) > 1 else ".")
        if width != labels.shape[1]:
            changed[axis] = int(width)
    return changed, "" if copies else "No whole number of channels fits."


def _whole_copies(
    rows: np.ndarray, fixed: np.ndarray, want: int, scores: np.ndarray
) -> dict[int, int]:
    """Return class -> copies of each of its channels; empty if whole numbers do not fit.

    A class takes several rows at once (a channel of each group, say), so `copy_counts` won't do.
    """
    ids, sizes = np.unique(rows, return_counts=True)
    left = want - int(sizes[fixed[ids]].sum())
    ids, sizes = ids[~fixed[ids]], sizes[~fixed[ids]]
    each = max(left // int(sizes.sum()), 0)
    copies = dict.fromkeys(ids.tolist(), each)
    left -= each * int(sizes.sum())
    best = np.argsort(-scores[ids] / sizes, kind="stable")
    for c, size in zip(ids[best].tolist(), sizes[best].tolist(), strict=True):
        if size <= left:
            copies[c] += 1
            left -= size
    return {} if left or not any(copies.values()) else copies


def _why_fixed(trace: Trace, classes: np.ndarray, rows: np.ndarray) -> str:
    for labels, operation in trace.fixed:
        if np.isin(classes[labels.numpy()], rows).any():
            return f"Its channels reach {operation!r}, which cannot be followed."
    return "Its channels meet the network's input or output, whose size is fixed."


def channel_table(model: nn.Module, example_input: Any) -> pandas.DataFrame:
    """Return a row for each axis of each parameter through which channels pass.

    Channels with the same number are one channel for an edit: copied, dropped or kept together. A
    channel that must stay (it meets the network's input or output) has a • instead of a number.

    Columns: parameter; does ("gives", "takes", or "passes" for a bias or a normalisation's vector);
    channels (their numbers, in order).

    Raises:
        EditError: if the model does not run on the input.
    """
    import pandas

    trace = first_draft(model, example_input).trace
    fixed = trace.fixed_classes(trace.classes)
    numbers: dict[int, int | str] = {}
    count, rows = 0, []
    for axis in trace.axes:
        slots = trace.axis_classes(axis).reshape(-1).tolist()
        for c in slots:
            if c not in numbers:
                count += not fixed[c]
                numbers[c] = "•" if fixed[c] else count
        does = "gives" if axis.parameter in trace.input_shapes else "passes"
        does = "takes" if axis in trace.consumers else does
        rows.append((axis.parameter, does, [numbers[c] for c in slots]))
    return pandas.DataFrame(rows, columns=["parameter", "does", "channels"])
