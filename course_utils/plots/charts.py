"""Plain charts of numbers by name: bars, pairs, lines and heat maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from course_utils.core import MINUS, CourseError
from course_utils.plots import figure as f


def bars(
    values: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]] | None = None,
    *,
    form: str | Callable[[float], str] = "{:.3g}",
    title: str = "",
    highlight: str | Sequence[str] = (),
) -> f.Figure:
    """Draw horizontal bars from zero, the first on top, each with its number at its end.

    Args:
        values: number by name. One that is not finite gets a word (such as "∞") and no bar.
        intervals: (low, high) by name, drawn as a thin line over the bar.
        form: how a number is written: a format string such as "{:.1%}" or "{:,.0f}", or a function.
        title: names the quantity and its unit.
        highlight: names of the bars to draw in another colour.
    """
    if not values:
        raise CourseError("There is nothing to draw: pass at least one value.")
    write = form.format if isinstance(form, str) else form
    intervals = intervals or {}
    chosen = {highlight} if isinstance(highlight, str) else set(highlight)
    names = list(values)
    fig = f.Figure(height=28 + 26 * len(names) + (26 if title else 0))
    axes = f.style(fig.subplots(), title, grid="")
    axes.spines["bottom"].set_visible(False)
    axes.xaxis.set_visible(False)
    f.name_rows(axes, names)
    numbers = np.array([float(v) for v in values.values()])
    shown = np.where(np.isfinite(numbers), numbers, 0.0)
    ends = [max(v, intervals.get(n, (v, v))[1]) for n, v in zip(names, shown, strict=True)]
    starts = [min(v, intervals.get(n, (v, v))[0]) for n, v in zip(names, shown, strict=True)]
    low, high = min(0.0, *starts), max(0.0, *ends)
    axes.set_xlim(low, high if high > low else low + 1)
    for row, (name, value) in enumerate(zip(names, shown, strict=True)):
        colour = f.ORANGE if name in chosen else f.BLUE
        axes.barh(row, value, height=0.62, color=colour, linewidth=0)
        if name in intervals:
            look = {"color": f.INK, "linewidth": 1.4}
            axes.plot(intervals[name], (row, row), solid_capstyle="butt", **look)
            for edge in intervals[name]:
                axes.plot((edge, edge), (row - 0.13, row + 0.13), **look)
        f.write_beside(axes, _number(numbers[row], write), (max(ends[row], 0.0), row), 6)
    if low < 0:
        axes.axvline(0, color=f.RULE, linewidth=0.8)
    with_intervals = ", with intervals" if intervals else ""
    fig.alt = f"Bar chart{of_title(title)}{with_intervals}: {listed(names)}."
    return fig


def before_and_after(
    values: Mapping[str, tuple[float, float]],
    labels: tuple[str, str] = ("before", "after"),
    *,
    percent: bool = False,
    title: str = "",
) -> f.Figure:
    """Draw two numbers for each name, joined by a line: an open dot and a filled one.

    Args:
        values: (before, after) by name, the first one on top.
        labels: what the two numbers are.
        percent: whether the numbers are shares, written in per cent.
    """
    if not values:
        raise CourseError("There is nothing to draw: pass at least one pair.")
    fig = f.Figure(height=66 + 26 * len(values) + (26 if title else 0))
    axes = f.style(fig.subplots(), title, percent="x" if percent else "", grid="x")
    f.name_rows(axes, list(values))
    rows = range(len(values))
    before, after = (np.array([pair[i] for pair in values.values()], dtype=float) for i in (0, 1))
    axes.hlines(rows, before, after, color=f.RULE, linewidth=2, zorder=1)
    dots = {"s": 52, "linewidths": 1.8, "zorder": 2}
    axes.scatter(before, rows, facecolors="white", edgecolors=f.BLUE, label=labels[0], **dots)
    axes.scatter(after, rows, facecolors=f.ORANGE, edgecolors=f.ORANGE, label=labels[1], **dots)
    f.legend_below(fig, 2)
    fig.alt = f"{labels[0]} and {labels[1]}{of_title(title)}, for {listed(list(values))}."
    return fig


def _number(value: float, write: Callable[[float], str]) -> str:
    if np.isfinite(value):
        return write(value).replace("-", MINUS)
    return "not a number" if np.isnan(value) else "∞" if value > 0 else "−∞"


def heatmap(
    matrix: Any,
    labels: Sequence[str] | tuple[Sequence[str], Sequence[str]],
    *,
    form: str = "{:.3g}",
    xlabel: str = "",
    ylabel: str = "",
) -> f.Figure:
    """Draw a matrix as coloured squares with its numbers in them.

    Args:
        matrix: (rows, columns), array or tensor; nan stays blank. With negative entries the colours
            go from blue through white at zero to vermilion, else from white to vermilion.
        labels: names for both rows and columns, or (names of rows, names of columns).
        form: format string of the numbers; "" for none.

    Raises:
        CourseError: not a matrix, or labels that do not fit it.
    """
    values = as_array(matrix)
    if values.ndim != 2 or 0 in values.shape:
        raise CourseError(f"A heat map needs a matrix, not an array of shape {values.shape}.")
    both = len(labels) == 2 and not isinstance(labels[0], str)
    rows, columns = labels if both else (labels, labels)
    if (len(rows), len(columns)) != values.shape:
        raise CourseError(
            f"{len(rows)} and {len(columns)} labels do not fit a matrix of shape {values.shape}."
        )
    side = min(72, (640 - 150) / values.shape[1])
    slanted = max(map(len, columns)) * 6.5 > side
    fig = f.Figure(
        round(150 + side * len(columns)),
        round(max(26, side * 0.8) * len(rows) + 60 + 50 * slanted),
    )
    axes = f.style(fig.subplots(), xlabel=xlabel, grid="")
    limit = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    signed = bool((values < 0).any())
    axes.imshow(
        values,
        cmap=f.signed_map() if signed else f.positive_map(),
        vmin=-limit if signed else 0,
        vmax=limit,
        aspect="auto",
        interpolation="nearest",
    )
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, labelcolor=f.INK)
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(range(len(columns)), columns, **turned)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylabel(ylabel, fontsize=f.TEXT, color=f.MUTED)
    for edge in range(1, len(columns)):
        axes.axvline(edge - 0.5, color=f.PAPER, linewidth=1.5)
    for edge in range(1, len(rows)):
        axes.axhline(edge - 0.5, color=f.PAPER, linewidth=1.5)
    for (i, j), value in np.ndenumerate(values):
        if form and np.isfinite(value):
            ink = f.PAPER if abs(value) > 0.6 * limit else f.INK
            text = form.format(value).replace("-", MINUS)
            axes.text(j, i, text, ha="center", va="center", fontsize=f.SMALL, color=ink)
    fig.alt = (
        f"Heat map, {len(rows)} rows"
        f"{f' ({ylabel})' if ylabel else ''} by {len(columns)} columns"
        f"{f' ({xlabel})' if xlabel else ''}."
    )
    return fig


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str = "",
    ylabel: str = "",
    log: str = "",
    markers: bool = False,
    percent: str = "",
    steps: bool = False,
    dashed: str | Sequence[str] = (),
    names_at: Mapping[str, tuple[float, float]] | None = None,
    marks: Mapping[str, float] | None = None,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    alt: str | None = None,
) -> f.Figure:
    """Draw lines with their names at their right ends.

    Args:
        series: (x, y) by name; numbers that are not finite leave a gap, and on a log scale also
            those that are not positive.
        log, percent: axes ("x", "y", "xy") with a log scale, in per cent.
        markers: whether to mark each point.
        steps: whether each y holds until the next x.
        dashed: names of lines to draw dashed, so that one does not hide another.
        names_at: (x, y) where a name begins, for lines that end in the same place.
        marks: x of grey vertical lines by name.
        bands: (low, high) by name, for each x of this line: an interval, drawn pale around it.
        alt: replaces the text made from the names.

    Raises:
        CourseError: x, y and bands of different lengths, or a name that no line has.
    """
    names_at, bands, dashed = names_at or {}, bands or {}, chosen_names(series, dashed)
    chosen_names(series, [*names_at, *bands])
    fig = f.Figure(height=320)
    axes = f.style(fig.subplots(), ylabel, xlabel=xlabel, log=log, percent=percent)
    f.plain_numbers(axes, log)
    ends = []
    for (name, (x, y)), colour in zip(series.items(), f.colours(len(series)), strict=True):
        x, y = as_array(x).astype(float), finite(y)
        # A log scale has no place for 0 or less; Matplotlib would draw a line to its lower edge.
        x = np.where(x > 0, x, np.nan) if "x" in log else x
        y = np.where(y > 0, y, np.nan) if "y" in log else y
        if len(x) != len(y):
            raise CourseError(f"{name!r} has {len(x)} values of x but {len(y)} of y.")
        look = {"linestyle": "--" if name in dashed else "-", "linewidth": 1.8, "color": colour}
        look |= {"drawstyle": "steps-post" if steps else "default"}
        axes.plot(x, y, marker="o" if markers or len(x) == 1 else None, ms=4, **look)
        if name in bands:
            low, high = map(finite, bands[name])
            if not len(low) == len(high) == len(x):
                raise CourseError(
                    f"The band of {name!r} has {len(low)} and {len(high)} values, not {len(x)}."
                )
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        good = np.flatnonzero(np.isfinite(y))
        if name in names_at:
            at, ink = names_at[name], f.darker(colour)
            axes.annotate(name, at, va="center", color=ink, fontsize=f.SMALL, annotation_clip=False)
        elif len(good):
            ends.append((float(y[good[-1]]), name, colour))
    axes.set_ylim(*axes.get_ylim())
    axes.margins(x=0.02)
    for name, x in (marks or {}).items():
        axes.axvline(x, color=f.RULE, linewidth=1.2, zorder=0)
        at = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        axes.annotate(name, (x, 0), (4, 4), color=f.MUTED, fontsize=f.SMALL, **at)
    if len(series) > 1:
        f.label_ends(axes, ends)
    quantity = " against ".join(part for part in (ylabel, xlabel) if part)
    names = f": {listed(list(series))}" if len(series) > 1 else ""
    fig.alt = alt or f"Line chart{f' of {quantity}' if quantity else ''}{names}."
    return fig


def of_title(title: str) -> str:
    """Return " of accuracy" for the title "Accuracy", "" for none."""
    first = title[:1].lower() if title[1:2].islower() else title[:1]  # "AP50" stays
    return f" of {first}{title[1:]}" if title else ""


def as_array(values: Any) -> np.ndarray:
    """Return an array, or a tensor on any device, as an array."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def finite(values: Any) -> np.ndarray:
    """Return numbers as floats, with nan for every one that is not finite."""
    values = as_array(values).astype(float)
    return np.where(np.isfinite(values), values, np.nan)


def chosen_names(drawn: Mapping[str, Any], names: str | Sequence[str]) -> set[str]:
    """Return `names` as a set.

    Raises:
        CourseError: nothing that is drawn has such a name.
    """
    chosen = {names} if isinstance(names, str) else set(names)
    for name in sorted(chosen - set(drawn)):
        raise CourseError(
            f"There is no line called {name!r}, but {listed([repr(one) for one in drawn])}."
        )
    return chosen


def listed(words: Sequence[str]) -> str:
    """Return "a, b and c" for a list of words."""
    return ", ".join(words[:-1]) + (f" and {words[-1]}" if len(words) > 1 else "".join(words[-1:]))
