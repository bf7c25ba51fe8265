"""Charts of searches: how fast each finds a good network, and what accuracy costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from course_utils.core import CourseError
from course_utils.plots import figure as f
from course_utils.plots.charts import as_array, listed

if TYPE_CHECKING:
    from course_utils.metrics import Estimate

Points = Sequence[tuple[float, float]]
"""(multiply-adds, accuracy) of each candidate."""


def best_so_far(
    curves: Mapping[str, tuple[Sequence[float], Sequence[Estimate]]],
    *,
    reference: str | None = None,
    columns: int = 3,
) -> f.Figure:
    """Draw each search's best validation accuracy so far, in a chart each: median and interval.

    Args:
        curves: (budget spent, best accuracy until then) by name. All charts share their axes, which
            begin below the lowest median.
        reference: name of one of them, whose median is drawn in grey in all the others.
        columns: charts in a row.

    Raises:
        CourseError: nothing to draw, or a reference that is not among the curves.
    """
    if not curves:
        raise CourseError("There is nothing to draw: pass at least one curve.")
    if reference is not None and reference not in curves:
        raise CourseError(f"{reference!r} is not among the curves: {listed(list(curves))}.")
    columns = min(columns, len(curves))
    rows = -(-len(curves) // columns)
    fig = f.Figure(700, 30 + 185 * rows)
    panels = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
    for axes in list(panels)[len(curves) :]:
        axes.set_visible(False)
    for number, (name, (x, estimates)) in enumerate(curves.items()):
        axes = fig.axes[number]
        lowest = number + columns >= len(curves)
        f.style(axes, name, xlabel="epochs spent" if lowest else "", percent="y")
        axes.tick_params(labelbottom=lowest)
        if reference not in (None, name):
            others, medians = curves[reference]
            look = {"color": f.MUTED, "linewidth": 1.2}
            axes.step(others, [e.middle for e in medians], where="post", **look)
        colour = f.MUTED if name == reference else f.BLUE
        band = [e.low for e in estimates], [e.high for e in estimates]
        axes.fill_between(x, *band, step="post", color=colour, alpha=0.22, linewidth=0)
        axes.step(x, [e.middle for e in estimates], where="post", color=colour, linewidth=1.8)
    # A bad first candidate of one seed would flatten all curves: the lower edge cuts its band.
    every = [estimate for _, estimates in curves.values() for estimate in estimates]
    low, high = min(e.middle for e in every), max(e.high for e in every)
    fig.axes[0].set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    fig.supylabel("best validation\naccuracy so far", fontsize=f.TEXT, color=f.MUTED)
    fig.alt = (
        f"Best validation accuracy so far against epochs spent, median and interval over the seeds:"
        f" {listed(list(curves))}"
        + (f"; in grey, {reference} in every chart." if reference is not None else ".")
    )
    return fig


def accuracy_and_cost(
    candidates: Mapping[str, Points],
    *,
    front: Points = (),
    floor: float = 0.0,
    apart: bool = False,
    title: str = "Accuracy against multiply-adds of one picture",
) -> f.Figure:
    """Draw candidates by cost and accuracy, and the front as a line.

    Where kinds share a point, the larger marks of earlier kinds are seen behind those of later
    ones, unless they are drawn `apart`.

    Args:
        candidates: points by the name of their kind.
        front: those that no other beats in both accuracy and cost, the cheapest first.
        floor: candidates and points of the front below this accuracy are left out; the chart says
            how many candidates.
        apart: points of equal cost that would cover each other are drawn side by side.

    Raises:
        CourseError: nothing to draw.
    """
    below = sum(y < floor for points in candidates.values() for _, y in points)
    candidates = {
        name: [point for point in points if point[1] >= floor]
        for name, points in candidates.items()
    }
    if not any(candidates.values()):
        least = f" of {floor:.0%} or more" if floor else ""
        raise CourseError(f"There is nothing to draw: no candidate has an accuracy{least}.")
    fig = f.Figure(height=340)
    axes = f.style(fig.subplots(), title, xlabel="multiply-adds", log="x", percent="y")
    marks = zip("osD^v", (6, 6, 4, 4, 3), strict=True)
    shown = _side_by_side(candidates) if apart else candidates
    kinds = zip(shown.items(), f.colours(len(candidates)), marks, strict=False)
    for (name, points), colour, (mark, size) in kinds:
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, mark, color=colour, ms=size, alpha=0.75, mew=0, label=name)
    front = [point for point in front if point[1] >= floor]
    if front:
        x, y = zip(*front, strict=True)
        axes.step(x, y, where="post", color=f.INK, linewidth=1.2, label="front")
    if below:
        text = f"{below} below {floor:.0%}: not shown"
        place = {"transform": axes.transAxes, "ha": "right", "va": "bottom"}
        axes.text(0.99, 0.02, text, color=f.MUTED, fontsize=f.SMALL, **place)
    if len(candidates) > 1 or front:
        f.legend_below(fig, 4)
    fig.alt = (
        f"Points of accuracy against multiply-adds: {listed(list(candidates))}."
        + (f" The front has {len(front)} of them." if front else "")
        + (f" {below} below {floor:.0%} are not shown." if below else "")
    )
    return fig


def search_maps(
    accuracies: Any,
    ends: tuple[Sequence[float], Sequence[float]],
    paths: Mapping[str, Sequence[tuple[float, float]]],
    *,
    names: tuple[str, str] = ("learning rate", "kernels in conv1"),
    floor: float = 0.6,
    white: str = "",
    first: int = 0,
) -> f.Figure:
    """Draw what searches tried, each on its own copy of a map of accuracies.

    Args:
        accuracies: (rows, columns), nan for none.
        ends: the values of the columns and those of the rows, both drawn on a logarithmic scale.
        paths: (value on the x axis, value on the y axis) of each candidate, by the search's name.
        names: of the two axes.
        floor: accuracies up to this one are white.
        white: what this means, written beside the colours.
        first: this many candidates of each search, its first ones, are drawn hollow.

    Raises:
        CourseError: no search, values that do not fit the map, or a map of one row or column.
    """
    table = as_array(accuracies).astype(float)
    if table.shape != (len(ends[1]), len(ends[0])) or min(table.shape) < 2 or not paths:
        raise CourseError(
            f"The map has the shape {table.shape}, and the axes have {len(ends[1])} rows and "
            f"{len(ends[0])} columns; there are {len(paths)} searches to draw."
        )
    columns = min(3, len(paths))
    rows = -(-len(paths) // columns)
    fig = f.Figure(700 if columns > 1 else 420, 62 + 195 * rows)
    panels = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
    for axes in list(panels)[len(paths) :]:
        axes.set_visible(False)
    mesh = None
    for number, (name, path) in enumerate(paths.items()):
        axes = fig.axes[number]
        lowest = number + columns >= len(paths)
        f.style(axes, name, xlabel=names[0] if lowest else "", log="xy", grid="")
        colours = {"cmap": f.positive_map(), "vmin": floor, "vmax": float(np.nanmax(table))}
        mesh = axes.pcolormesh(_edges(ends[0]), _edges(ends[1]), table, **colours)
        axes.set_yticks(ends[1], [f"{value:g}" for value in ends[1]])
        axes.tick_params(labelbottom=lowest)
        if not number % columns:
            axes.set_ylabel(names[1], fontsize=f.TEXT, color=f.MUTED)
        for some, face in ((path[:first], f.PAPER), (path[first:], f.INK)):
            if some:
                look = {"facecolors": face, "edgecolors": f.INK, "linewidths": 1.2, "s": 34}
                axes.scatter(*zip(*some, strict=True), zorder=3, clip_on=False, **look)
    bar = fig.colorbar(mesh, ax=fig.axes[: len(paths)], fraction=0.03, pad=0.02, extend="min")
    bar.ax.tick_params(labelsize=f.SMALL, labelcolor=f.MUTED, color=f.RULE)
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    bar.outline.set_visible(False)
    if white:
        bar.set_label(f"white: {white}", fontsize=f.SMALL, color=f.MUTED)
    fig.alt = (
        f"Maps of the accuracy by {names[0]} and {names[1]}, with the candidates of: "
        f"{listed([f'{name} ({len(path)})' for name, path in paths.items()])}."
        + (f" The first {first} of each are hollow." if first else "")
        + (f" White: {white}." if white else "")
    )
    return fig


def _side_by_side(candidates: Mapping[str, Points]) -> dict[str, list[tuple[float, float]]]:
    """Return the points, those of one cost that are nearly equally accurate a little apart."""
    every = np.array([point for points in candidates.values() for point in points], dtype=float)
    width = max(np.ptp(np.log(every[:, 0])), 1) / 50  # of a mark, in a chart of the usual size
    height = np.ptp(every[:, 1]) / 20
    drawn: list[tuple[float, float]] = []
    shown: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for name, points in candidates.items():
        for x, y in points:
            near = sum(x == cost and abs(y - other) <= height for cost, other in drawn)
            drawn.append((x, y))
            place = (near + 1) // 2 * (-1) ** near  # 0, -1, 1, -2, 2, ...
            shown[name].append((float(x * np.exp(width * place)), y))
    return shown


def _edges(centres: Sequence[float]) -> np.ndarray:
    """Return the borders between values, in the middle on a logarithmic scale, and both ends."""
    logs = np.log(np.asarray(centres, dtype=float))
    between = (logs[1:] + logs[:-1]) / 2
    return np.exp([2 * logs[0] - between[0], *between, 2 * logs[-1] - between[-1]])
