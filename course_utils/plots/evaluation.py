"""Figures of an evaluation: confusion matrix, curves over all thresholds, reliability diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from course_utils.core import CourseError
from course_utils.plots import figure as f
from course_utils.plots.charts import listed

if TYPE_CHECKING:
    from course_utils.metrics import Confusion, Curves, Reliability

_LOWEST = 3  # classes that are drawn in colours unless others are chosen


def confusion_matrix(matrix: Confusion, *, rates: bool = False, title: str = "") -> f.Figure:
    """Draw a confusion matrix: right answers blue on the diagonal, mistakes vermilion.

    The colour of a cell shows its share of the true class, so that classes with few and with many
    pictures can be compared.

    Args:
        matrix: Such as `confusion(labels, predictions, classes)`.
        rates: Whether the numbers are shares of the true class in per cent, instead of counts.
        title: Above the matrix.
    """
    names, shares = matrix.classes, matrix.rates
    count = len(names)
    fig = f.Figure(640, 120 + (26 if title else 0) + max(20, min(38, 520 // count)) * count)
    axes = f.style(fig.subplots(), title, xlabel="predicted class", grid="")
    strength = np.sqrt(np.nan_to_num(shares))  # so that a few per cent are visible
    colour = np.where(np.eye(count, dtype=bool), -strength, strength)
    axes.imshow(colour, cmap=f.signed_map(), vmin=-1.15, vmax=1.15, aspect="auto")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, labelcolor=f.INK)
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(count), names, **turned)
    axes.set_yticks(range(count), names)
    axes.set_ylabel("true class", fontsize=f.TEXT, color=f.MUTED)
    for edge in range(1, count):
        axes.axvline(edge - 0.5, color=f.PAPER, linewidth=1.5)
        axes.axhline(edge - 0.5, color=f.PAPER, linewidth=1.5)
    for (i, j), number in np.ndenumerate(matrix.counts):
        if number:
            text = f"{100 * shares[i, j]:.0f}" if rates else f"{number:,}"
            ink = f.PAPER if strength[i, j] > 0.7 else f.INK
            axes.text(j, i, text, ha="center", va="center", fontsize=f.SMALL, color=ink)
    what = "per cent of the true class" if rates else "number of pictures"
    fig.alt = (
        f"Confusion matrix of {count} classes, {what}: rows are true classes, columns predicted "
        "ones; right answers stand on the diagonal in blue, mistakes beside it in orange-red."
    )
    return fig


def class_curves(
    curves: Curves, *, highlight: str | Sequence[str] | None = None, until: float = 1.0
) -> f.Figure:
    """Draw ROC or precision-recall curves: some classes in colours, the others grey, and the means.

    Args:
        curves: Such as `roc_curves(...)` or `precision_recall_curves(...)`.
        highlight: Names of classes to draw in colours. Default: the three with the smallest areas.
        until: Right end of the ROC's axis: good classifiers differ only near 0.

    Raises:
        CourseError: If there is no such class, or `until` is not in (0, 1].
    """
    if not 0 < until <= 1:
        raise CourseError(f"until={until!r}: give a false positive rate above 0 and up to 1.")
    if highlight is None:
        highlight = sorted(curves.by_class, key=lambda name: curves[name].area)[:_LOWEST]
    chosen = [highlight] if isinstance(highlight, str) else list(highlight)
    lines = {name: curves[name] for name in chosen}
    roc = curves.kind == "ROC"
    fig = f.Figure(640, 380)
    title, xlabel = (
        ("True positive rate", "false positive rate") if roc else ("Precision", "recall")
    )
    axes = f.style(fig.subplots(), title, xlabel=xlabel, percent="xy", grid="xy")
    how = {} if roc else {"drawstyle": "steps-pre"}
    for name, curve in curves.by_class.items():
        if name not in lines:
            axes.plot(curve.x, curve.y, color=f.RULE, linewidth=1, **how)
    for (name, curve), colour in zip(lines.items(), f.colours(len(lines)), strict=True):
        label = f"{name} ({curve.area:.3f})"
        axes.plot(curve.x, curve.y, color=colour, linewidth=1.8, label=label, **how)
    for name, style in (("macro", "--"), ("micro", ":")):
        curve = getattr(curves, name)
        label = f"{name} mean ({curve.area:.3f})"
        axes.plot(curve.x, curve.y, color=f.INK, linewidth=1.8, linestyle=style, label=label)
    if roc:
        axes.plot([0, 1], [0, 1], color=f.MUTED, linewidth=0.8)
        axes.set_xlim(0, until)
    else:
        axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    f.legend_below(fig, 3)
    area = "area" if roc else "average precision"
    others = len(curves.by_class) - len(lines)
    fig.alt = (
        f"{curves.kind} curves with their {area}: "
        f"{listed([*lines, 'the macro mean', 'the micro mean'])}"
        f"{f'; {others} other classes in grey' if others else ''}."
    )
    return fig


def reliability_diagram(results: Reliability | Mapping[str, Reliability]) -> f.Figure:
    """Draw accuracy against confidence, with Wilson's intervals, and how many pictures there are.

    Below the diagonal a network is too sure; the gap is orange-red there, and blue above.

    Args:
        results: Such as `reliability(labels, probabilities)`, or up to three by name.

    Raises:
        CourseError: If there is nothing to draw, or there are more than three.
    """
    shown = dict(results) if isinstance(results, Mapping) else {"": results}
    if not 1 <= len(shown) <= 3:
        raise CourseError(f"There are {len(shown)} diagrams: give one to three.")
    fig = f.Figure(640, 380)
    heights = {"height_ratios": (3, 1)}
    grid = fig.subplots(2, len(shown), squeeze=False, sharex=True, gridspec_kw=heights)
    for column, (name, one) in enumerate(shown.items()):
        upper, lower = grid[:, column]
        heading = f"{name}\nAccuracy" if name else "Accuracy"
        f.style(upper, heading if not column or name else "", percent="xy", grid="xy")
        _draw_reliability(upper, one)
        f.style(lower, "Pictures", xlabel="confidence", percent="xy")
        width = 0.86 * np.diff(one.edges)
        middle = (one.edges[:-1] + one.edges[1:]) / 2
        lower.bar(middle, one.counts / one.counts.sum(), width=width, color=f.MUTED, linewidth=0)
        for axes in (upper, lower):
            axes.set_xlim(0, 1)
            axes.set_xticks((0, 0.5, 1))
        lower.set_ylim(0, 1)
        lower.set_yticks((0, 0.5, 1))
    names = f" of {listed(list(shown))}" if any(shown) else ""
    fig.alt = (
        f"Reliability diagram{names}: accuracy with intervals against confidence, the diagonal, "
        "and below it the share of pictures with each confidence."
    )
    return fig


def _draw_reliability(axes: Axes, one: Reliability) -> None:
    there = np.flatnonzero(one.counts)
    sure, right = one.confidence[there], one.accuracy[there]
    axes.plot([0, 1], [0, 1], color=f.INK, linewidth=1)
    colour = [f.VERMILION if s > r else f.BLUE for s, r in zip(sure, right, strict=True)]
    width = 0.6 * np.diff(one.edges)[there]
    axes.bar(sure, right - sure, width, bottom=sure, color=colour, alpha=0.35, linewidth=0)
    found = [one.intervals()[k] for k in there]
    axes.vlines(sure, *zip(*found, strict=True), color=f.INK, linewidth=1.2)
    axes.scatter(sure, right, s=22, color=f.INK, zorder=3)
    axes.set_ylim(0, 1.02)
    axes.set_yticks((0, 0.5, 1))
