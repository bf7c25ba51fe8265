"""The picture of the improve panel: accuracy against cost, and the highest accuracy so far."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from course_utils.plots import figure as f

if TYPE_CHECKING:
    from course_utils.search import Tried

WIDTH, HEIGHT = 680, 344
_TOP, _BOTTOM = 34, 88  # pixels above and below both charts
_LEFT, _RIGHT = (60, 414), (452, 664)  # left and right ends of the two charts
_LEAST_SPAN = 3.0  # least ratio of the two ends of the cost axis
_TYPICAL = (1e5, 1e7)  # ends of the cost axis before the search


@dataclass(frozen=True)
class ImproveView:
    """The content of the picture."""

    start: Tried | None = None  # the given network; None before a search
    tried: tuple[Tried, ...] = ()  # the candidates so far, in order
    front: tuple[Tried, ...] = ()  # the Pareto front in accuracy and cost, cheapest first
    chosen: Tried | None = None  # the candidate with a ring
    seconds: float = 1.0  # least end of the time axis

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
    """The limits of the axes, chosen so that the good candidates do not overlap.

    A network that has learned nothing would squeeze all others into one line at the top. So a
    candidate far below the better half is drawn hollow at the lower edge. The limits are `costs` in
    multiply-adds, for a logarithmic axis, and `accuracies` as shares.
    """

    def __init__(self, view: ImproveView):
        costs = [cost(one) for one in view.points] or list(_TYPICAL)
        low, high = min(costs), max(costs)
        wider = max(1.0, _LEAST_SPAN * low / high) ** 0.5 * (high / low) ** 0.06
        self.costs = low / wider / 1.05, high * wider * 1.05
        values = [one.accuracy for one in view.points] or [0.0, 1.0]
        others = sorted(values[1:] or values)  # without the network as it was given
        best, middle = max(values), others[(len(others) - 1) // 2]
        floor = best - max(0.05, 3 * (best - middle))
        least = min(value for value in values if value >= floor)
        span = max(best - least, 0.02)
        self.accuracies = max(0.0, best - 1.16 * span), best + 0.12 * span

    def below(self, one: Tried) -> bool:
        """Return True if a candidate is below the axis."""
        return one.accuracy < self.accuracies[0]

    def accuracy(self, one: Tried) -> float:
        """Return the drawn accuracy: at the lower edge for a candidate below the axis."""
        low, high = self.accuracies
        return max(one.accuracy, low + 0.035 * (high - low))

    def places(self, view: ImproveView) -> tuple[Point, ...]:
        """Return the points from left to right."""
        low, high = (math.log(cost) for cost in self.costs)
        bottom, top = self.accuracies
        places = []
        for one in view.points:
            right = (math.log(cost(one)) - low) / (high - low)
            up = (self.accuracy(one) - bottom) / (top - bottom)
            x = _LEFT[0] + (_LEFT[1] - _LEFT[0]) * right
            places.append(Point(one, x, HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * up))
        return tuple(sorted(places, key=lambda place: (place.x, place.one.number)))


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
    f.style(left, "Validation accuracy", xlabel="multiply-adds of one picture", percent="y")
    left.set_xscale("log")
    left.set_xlim(*scale.costs)
    ticks = _ticks(*scale.costs)
    left.set_xticks(ticks, [short(tick) for tick in ticks])
    left.set_xticks([], minor=True)
    f.style(right, "Highest so far", xlabel="seconds", percent="y")
    for axes in (left, right):
        axes.set_ylim(*scale.accuracies)
    right.tick_params(labelleft=False)
    last = max((one.at for one in view.tried), default=0.0)
    right.set_xlim(0, max(view.seconds, 1.02 * last))
    if not view.points:
        left.set(xticks=[], yticks=[])
        right.set_yticks([])
        hint = "No candidate yet: press Improve"
        left.text(0.5, 0.5, hint, color=f.MUTED, ha="center", transform=left.transAxes)
        return figure
    _draw_candidates(left, view, scale)
    _draw_best(right, view, scale)
    _draw_legend(figure, view, scale)
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


def _draw_candidates(axes: Axes, view: ImproveView, scale: Scale) -> None:
    front = [one for one in view.front if not scale.below(one)]
    values = [one.accuracy for one in front]
    axes.plot([cost(one) for one in front], values, color=f.RULE, linewidth=2.2, zorder=2)
    for number, mark in _MARKS.items():
        for below in (False, True):
            ones = [o for o in view.points if o.round == number and scale.below(o) == below]
            axes.plot(
                [cost(one) for one in ones],
                [scale.accuracy(one) for one in ones],
                linestyle="",
                markerfacecolor=f.PAPER if below else mark["color"],
                markeredgecolor=mark["color"] if below else f.PAPER,
                markeredgewidth=1.4 if below else 0.7,
                zorder=3.5 if number == 0 else 3,  # a single mark that others would hide
                **mark,
            )
    if view.chosen is not None and view.chosen.accuracy is not None:
        axes.plot(cost(view.chosen), scale.accuracy(view.chosen), **_RING)


def _draw_best(axes: Axes, view: ImproveView, scale: Scale) -> None:
    best = [view.start]  # the candidates that were the best so far
    for one in view.points[1:]:
        if one.accuracy > best[-1].accuracy:
            best.append(one)
    times = [one.at for one in best] + [max(one.at for one in (*view.tried, view.start))]
    values = [one.accuracy for one in best]
    axes.plot(times, [*values, values[-1]], drawstyle="steps-post", color=f.MUTED, linewidth=1.8)
    for one in best:
        if not scale.below(one):
            edge = {"markeredgecolor": f.PAPER, "markeredgewidth": 0.7, "clip_on": False}
            axes.plot(one.at, one.accuracy, linestyle="", zorder=3, **edge, **_MARKS[one.round])


def _draw_legend(figure: f.Figure, view: ImproveView, scale: Scale) -> None:
    names = ("as given", "round 1", "round 2", "round 3")
    entries = [
        Line2D([], [], linestyle="", markeredgecolor=f.PAPER, label=name, **mark)
        for name, mark in zip(names, _MARKS.values(), strict=True)
    ]
    entries.append(Line2D([], [], color=f.RULE, linewidth=2.2, label="front"))
    if view.chosen is not None:
        label = f"chosen: no. {view.chosen.number}"
        entries.append(Line2D([], [], label=label, **(_RING | {"ms": 11})))
    if any(scale.below(one) for one in view.points):
        hollow = {"marker": "o", "ms": 7, "linestyle": "", "markerfacecolor": f.PAPER}
        entries.append(Line2D([], [], markeredgecolor=f.MUTED, label="off the scale", **hollow))
    text = {"frameon": False, "fontsize": f.SMALL, "labelcolor": f.INK}
    gaps = {"handlelength": 1.4, "handletextpad": 0.3, "columnspacing": 0.9}
    figure.legend(handles=entries, loc="lower center", ncols=len(entries), **text, **gaps)


def short(count: float) -> str:
    """Return a large number in short: 950, 24 k, 1.2 M, 3 G."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= 0.9995 * size:
            return f"{count / size:.3g}{unit}"
    return f"{count:.3g}"


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers between the two, three to seven where possible."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = [d * 10.0**p for p in powers for d in digits if low <= d * 10.0**p <= high]
        if len(ticks) >= 3:
            break
    return ticks[:: -(-len(ticks) // 7) or 1]
