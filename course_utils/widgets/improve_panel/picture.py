"""The picture of the improve panel: accuracy against cost, and the highest accuracy so far."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from course_utils.plots import figure as f

if TYPE_CHECKING:
    from course_utils.search import Tried

WIDTH, HEIGHT = 680, 344
_TOP, _BOTTOM = 34, 88  # pixels above and below both charts
_LEFT, _RIGHT = (60, 414), (452, 664)  # left and right ends of the two charts
_LEAST_SPAN = 3.0  # least ratio of the two ends of the cost axis
_LEAST_STRETCH = 0.2  # least height of the stretched accuracy axis
_TICK_GAP = 22  # least pixels between two of its ticks
_TYPICAL = (1e5, 1e7)  # ends of the cost axis before the search


@dataclass(frozen=True)
class ImproveView:
    """The content of the picture."""

    start: Tried | None = None  # the given network; None before a search
    tried: tuple[Tried, ...] = ()  # the candidates so far, in order
    front: tuple[Tried, ...] = ()  # the Pareto front in accuracy and cost, cheapest first
    chosen: Tried | None = None  # the candidate with a ring
    planned: int = 0  # candidates that the search will try; 0 if nobody knows

    @property
    def points(self) -> list[Tried]:
        """The candidates with an accuracy, the given network first."""
        start = [] if self.start is None else [self.start]
        return start + [one for one in self.tried if one.accuracy is not None]


@dataclass(frozen=True)
class Point:
    """The place of a candidate, in pixels from the upper left corner of the picture."""

    one: Tried
    x: float
    y: float


class Scale:
    """The limits of the axes, chosen so that every candidate is on them and the good ones apart.

    A network that has learned nothing is right on a tenth of the images, and on a plain axis it
    would squeeze all others into one line at the top. So the accuracy has a stretched axis: half as
    many errors are the same distance everywhere (see `stretched`). The limits are `costs` in
    multiply-adds, for a logarithmic axis, and `accuracies` as shares.
    """

    def __init__(self, view: ImproveView):
        costs = [cost(one) for one in view.points] or list(_TYPICAL)
        low, high = min(costs), max(costs)
        wider = max(1.0, _LEAST_SPAN * low / high) ** 0.5 * (high / low) ** 0.06
        self.costs = low / wider / 1.05, high * wider * 1.05
        values = [one.accuracy for one in view.points] or [0.1, 0.9]
        low, high = stretched(min(values)), stretched(max(values))
        span = max(high - low, _LEAST_STRETCH)
        self.accuracies = plain(low - 0.06 * span), plain(low + 1.1 * span)

    def places(self, view: ImproveView) -> tuple[Point, ...]:
        """Return the points from left to right."""
        low, high = (math.log(cost) for cost in self.costs)
        bottom, top = (stretched(end) for end in self.accuracies)
        places = []
        for one in view.points:
            right = (math.log(cost(one)) - low) / (high - low)
            up = (stretched(one.accuracy) - bottom) / (top - bottom)
            x = _LEFT[0] + (_LEFT[1] - _LEFT[0]) * right
            places.append(Point(one, x, HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * up))
        return tuple(sorted(places, key=lambda place: (place.x, place.one.number)))


def stretched(accuracy: Any) -> Any:
    """Return how often the share of errors was halved, at most nine times; numbers or arrays."""
    return -np.log2(np.maximum(1.0 - np.asarray(accuracy), 2.0**-9))


def plain(height: Any) -> Any:
    """Return the accuracy of a height on the stretched axis; the inverse of `stretched`."""
    return 1.0 - 2.0 ** -np.asarray(height)


def cost(one: Tried) -> int:
    """Return the multiply-adds, at least 1 (the axis is logarithmic)."""
    return max(1, one.multiply_adds)


def draw(view: ImproveView) -> bytes:
    """Return the picture as a PNG, 680 × 344 pixels."""
    return _figure(view).to_png(compress_level=1)


def _figure(view: ImproveView) -> f.Figure:
    figure, scale = f.Figure(WIDTH, HEIGHT, layout="none"), Scale(view)
    height = (HEIGHT - _TOP - _BOTTOM) / HEIGHT
    left, right = (
        figure.add_axes((begin / WIDTH, _BOTTOM / HEIGHT, (end - begin) / WIDTH, height))
        for begin, end in (_LEFT, _RIGHT)
    )
    f.style(left, "Validation accuracy", xlabel="multiply-adds of one image")
    left.set_xscale("log")
    left.set_xlim(*scale.costs)
    ticks = _ticks(*scale.costs)
    left.set_xticks(ticks, [short(tick) for tick in ticks])
    left.set_xticks([], minor=True)
    f.style(right, "Highest so far", xlabel="candidate", whole="x")
    accuracies = _accuracy_ticks(*scale.accuracies)
    for axes in (left, right):
        axes.set_yscale("function", functions=(stretched, plain))
        axes.set_ylim(*scale.accuracies)
        axes.set_yticks(accuracies, [f"{100 * one:.4g} %" for one in accuracies])
    right.tick_params(labelleft=False)
    right.set_xlim(0, 1.02 * max(view.planned, len(view.tried), 1))
    if not view.points:
        left.set(xticks=[], yticks=[])
        right.set_yticks([])
        hint = "No candidate yet: press Improve"
        left.text(0.5, 0.5, hint, color=f.MUTED, ha="center", transform=left.transAxes)
        return figure
    _draw_candidates(left, view)
    _draw_best(right, view)
    _draw_legend(figure, view)
    return figure


# The mark of each round; 0 is the given network. Shapes differ, not only colours.
_MARKS = {
    0: {"marker": "X", "color": f.INK, "ms": 10},
    1: {"marker": "o", "color": f.BLUE, "ms": 7},
    2: {"marker": "s", "color": f.ORANGE, "ms": 7},
    3: {"marker": "^", "color": f.GREEN, "ms": 9},
}
_RING = {
    **{"marker": "o", "ms": 16, "linestyle": "", "zorder": 4},
    **{"markerfacecolor": "none", "markeredgecolor": f.INK, "markeredgewidth": 2.0},
}


def _draw_candidates(axes: Axes, view: ImproveView) -> None:
    values = [one.accuracy for one in view.front]
    axes.plot([cost(one) for one in view.front], values, color=f.RULE, linewidth=2.2, zorder=2)
    for number, mark in _MARKS.items():
        ones = [one for one in view.points if one.round == number]
        axes.plot(
            [cost(one) for one in ones],
            [one.accuracy for one in ones],
            linestyle="",
            markeredgecolor=f.PAPER,
            markeredgewidth=0.7,
            zorder=3.5 if number == 0 else 3,  # a single mark that others would hide
            **mark,
        )
    if view.chosen is not None and view.chosen.accuracy is not None:
        axes.plot(cost(view.chosen), view.chosen.accuracy, **_RING)


def _draw_best(axes: Axes, view: ImproveView) -> None:
    best = [view.start]  # the candidates that were the best so far
    for one in view.points[1:]:
        if one.accuracy > best[-1].accuracy:
            best.append(one)
    numbers = [one.number for one in best] + [len(view.tried)]
    values = [one.accuracy for one in best]
    axes.plot(numbers, [*values, values[-1]], drawstyle="steps-post", color=f.MUTED, linewidth=1.8)
    edge = {"markeredgecolor": f.PAPER, "markeredgewidth": 0.7, "clip_on": False}
    for one in best:
        axes.plot(one.number, one.accuracy, linestyle="", zorder=3, **edge, **_MARKS[one.round])


def _draw_legend(figure: f.Figure, view: ImproveView) -> None:
    names = ("as given", "round 1", "round 2", "round 3")
    entries = [
        Line2D([], [], linestyle="", markeredgecolor=f.PAPER, label=name, **mark)
        for name, mark in zip(names, _MARKS.values(), strict=True)
    ]
    entries.append(Line2D([], [], color=f.RULE, linewidth=2.2, label="front"))
    if view.chosen is not None:
        label = f"chosen: no. {view.chosen.number}"
        entries.append(Line2D([], [], label=label, **(_RING | {"ms": 11})))
    text = {"frameon": False, "fontsize": f.SMALL, "labelcolor": f.INK}
    gaps = {"handlelength": 1.4, "handletextpad": 0.3, "columnspacing": 0.9}
    figure.legend(handles=entries, loc="lower center", ncols=len(entries), **text, **gaps)


def short(count: float) -> str:
    """Return a large number in short: 950, 24 k, 1.2 M, 3 G."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= 0.9995 * size:
            return f"{count / size:.3g}{unit}"
    return f"{count:.3g}"


def _accuracy_ticks(low: float, high: float) -> list[float]:
    """Return round shares between the two, at least `_TICK_GAP` apart on the stretched axis."""
    bottom, top = stretched(low), stretched(high)
    gap = (top - bottom) * _TICK_GAP / (HEIGHT - _TOP - _BOTTOM)
    ticks: list[float] = []
    for step in (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001):
        if len(ticks) >= 5:
            break
        for tick in step * np.arange(math.ceil(low / step), math.floor(high / step) + 1):
            if all(abs(stretched(tick) - stretched(other)) >= gap for other in ticks):
                ticks.append(round(float(tick), 4))
    return sorted(ticks)


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers between the two, three to seven where possible."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = [d * 10.0**p for p in powers for d in digits if low <= d * 10.0**p <= high]
        if len(ticks) >= 3:
            break
    return ticks[:: -(-len(ticks) // 7) or 1]
