"""Charts of what accuracy costs: points with intervals, and the front of those that none beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from course_utils.core import CourseError
from course_utils.plots import figure as f
from course_utils.plots.charts import listed

Point = tuple[float, tuple[float, float, float]]
"""Cost, and (accuracy, low end, high end) as shares."""


def tradeoffs(
    charts: Mapping[str, Mapping[str, Point]],
    *,
    kinds: Mapping[str, str] | None = None,
    chosen: str = "",
) -> f.Figure:
    """Draw accuracy against one or several costs, in a chart each, side by side.

    A point that no other beats in both accuracy and cost is on the front, the dark steps.

    Args:
        charts: by the name and unit of a cost, which is on a log scale: points by name.
        kinds: a word for a point's name; points of one kind have one colour.
        chosen: name of a point that has a ring.

    Raises:
        CourseError: nothing to draw, or a cost that is not positive.
    """
    if not charts or not all(charts.values()):
        raise CourseError("There is nothing to draw: pass at least one point for each cost.")
    kinds = kinds or {}
    words = list(dict.fromkeys(kinds.values()))
    colours = dict(zip(words, f.colours(len(words)), strict=True)) if words else {}
    names = list(next(iter(charts.values())))
    rows = -(-len(names) // 2)  # of the names below
    fig = f.Figure(700, 260 + 20 * max(4, rows))
    for axes, (cost, points) in zip(
        fig.subplots(1, len(charts), sharey=True, squeeze=False).flat, charts.items(), strict=True
    ):
        if any(x <= 0 for x, _ in points.values()):
            raise CourseError(f"{cost}: a cost is not positive, so it has no place on a log scale.")
        f.style(axes, xlabel=cost, log="x", percent="y")
        f.plain_numbers(axes, "x")
        steps = front(points)
        axes.step(*zip(*steps, strict=True), where="post", color=f.INK, linewidth=1.2, zorder=1)
        for name, (x, (middle, low, high)) in points.items():
            colour = colours.get(kinds.get(name, ""), f.BLUE)
            axes.plot((x, x), (low, high), color=colour, linewidth=1.4, alpha=0.6)
            axes.plot(x, middle, "o", color=colour, ms=6, gid=name)
            if name == chosen:
                axes.plot(x, middle, "o", ms=13, mfc="none", mec=f.INK, mew=1.6)
        axes.margins(x=0.12)
    for number, name in enumerate(names, start=1):
        colour = colours.get(kinds.get(name, ""), f.BLUE)
        fig.axes[0].plot([], [], "o", color=colour, ms=6, label=f"{number}  {name}")
    f.legend_below(fig, 2)
    fig.draw_without_rendering()  # places the axes
    for axes, points in zip(fig.axes, charts.values(), strict=True):
        places = {name: (x, middle) for name, (x, (middle, _, _)) in points.items()}
        offsets = _offsets(axes, list(places.values()))
        for number, ((name, place), (dx, dy)) in enumerate(
            zip(places.items(), offsets, strict=True), start=1
        ):
            look = {"color": f.darker(colours.get(kinds.get(name, ""), f.BLUE))}
            look |= {"ha": "center", "va": "center", "fontsize": f.SMALL}
            axes.annotate(f"{number}", place, (dx, dy), textcoords="offset points", **look)
    fig.alt = f"Accuracy, with intervals, against {listed(list(charts))}: {listed(names)}."
    return fig


_SIDES = [(dx, dy) for radius in (9, 17, 25) for dy in (8, -8, 0) for dx in (radius, -radius)]


def _offsets(axes: f.Axes, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return where the number of each point stands, in typographic points from it.

    Each takes the first of a few places that is far from the other points and numbers; if there is
    none, the one that is farthest from them.
    """
    dots = axes.transData.transform(points) * 72 / axes.figure.dpi
    taken, chosen = list(dots), []

    def room(dot: np.ndarray, side: tuple[float, float]) -> float:
        # A number of two digits is about 14 points wide and 12 high.
        return min(np.max(np.abs(dot + side - one) / (14, 12)) for one in taken)

    for row, dot in enumerate(dots):
        taken[row] = np.array((np.inf, np.inf))  # its own point may be near
        free = (side for side in _SIDES if room(dot, side) >= 1)
        side = next(free, None) or max(_SIDES, key=lambda side, dot=dot: room(dot, side))
        taken[row] = dot
        taken.append(dot + side)
        chosen.append(side)
    return chosen


def places(figure: f.Figure) -> list[tuple[str, float, float]]:
    """Return (name, x, y) of each point of `tradeoffs`, in pixels from the upper left corner.

    The figure must have been drawn, because that fixes the place of its axes.
    """
    found, height = [], figure.get_figheight() * figure.dpi
    for axes in figure.axes:
        for line in axes.lines:
            if name := line.get_gid():
                x, y = axes.transData.transform(line.get_xydata()[0])
                found.append((name, float(x), float(height - y)))
    return found


def front(points: Mapping[str, Point]) -> Sequence[tuple[float, float]]:
    """Return (cost, accuracy) of the points that no other beats in both, the cheapest first."""
    best: list[tuple[float, float]] = []
    for cost, (accuracy, _, _) in sorted(points.values(), key=lambda p: (p[0], -p[1][0])):
        if not best or accuracy > best[-1][1]:
            best.append((cost, accuracy))
    return best
