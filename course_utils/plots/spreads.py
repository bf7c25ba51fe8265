"""Charts of many values of each name: results of several seeds, distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from course_utils.core import CourseError
from course_utils.plots import figure as f
from course_utils.plots.charts import finite, listed, of_title


def spreads(
    values: Mapping[str, Sequence[float]],
    intervals: Mapping[str, tuple[float, float]] | None = None,
    *,
    percent: bool = False,
    zero: bool = False,
    title: str = "",
) -> f.Figure:
    """Draw a dot for each number of each name, and a tick at the median; the first name on top.

    Equal numbers of one name stand one above the other. Unlike the axis of bars, this axis need not
    begin at zero, because the reader compares the places of the dots and not lengths.

    Args:
        values: numbers by name, for example one for each seed; one that is not finite has no dot.
        intervals: (low, high) by name, drawn as a bar behind the dots.
        percent: whether the numbers are shares, written in per cent.
        zero: whether to draw a line at 0, for differences: on it nothing is gained or lost.

    Raises:
        CourseError: no names, or a name without a number.
    """
    if not values or not all(len(numbers) for numbers in values.values()):
        raise CourseError("There is nothing to draw: pass at least one number for each name.")
    fig = f.Figure(height=50 + 26 * len(values) + (26 if title else 0))
    axes = f.style(fig.subplots(), title, percent="x" if percent else "", grid="x")
    f.name_rows(axes, list(values))
    for row, (name, numbers) in enumerate(values.items()):
        numbers = finite(numbers)
        if intervals and name in intervals:
            axes.plot(intervals[name], (row, row), color=f.PALE, linewidth=9, solid_capstyle="butt")
        places = row + _beside_equals(numbers)
        axes.plot(numbers, places, "o", color=f.BLUE, ms=5, alpha=0.75, mew=0)
        if np.isfinite(numbers).any():
            axes.plot(np.nanmedian(numbers), row, "|", color=f.INK, ms=15, mew=2)
    if zero:
        axes.axvline(0, color=f.MUTED, linewidth=1, zorder=0.9)
    what = f"Single values{of_title(title)}, with their medians"
    bars = ", and intervals" if intervals else ""
    fig.alt = f"{what}{bars}: {listed(list(values))}."
    return fig


def _beside_equals(numbers: np.ndarray) -> np.ndarray:
    """Return how far each dot stands from the middle of its row, so that none hides another."""
    places = np.zeros(len(numbers))
    for value in np.unique(numbers[np.isfinite(numbers)]):
        alike = np.flatnonzero(numbers == value)
        half = min(0.14 * (len(alike) - 1), 0.35)
        places[alike] = np.linspace(-half, half, len(alike)) if half else 0
    return places


def distributions(
    samples: Mapping[str, Any],
    *,
    xlabel: str = "",
    limits: tuple[float, float] | None = None,
) -> f.Figure:
    """Draw histograms of several sets of numbers over each other, as outlines (by seaborn).

    Each is scaled to shares of its own numbers, so that sets of different sizes can be compared.

    Args:
        samples: numbers by name, in any shape.
        limits: of the axis; numbers outside are in no bin. Default: all are inside.

    Raises:
        CourseError: no set, or a set without a finite number.
    """
    import seaborn

    numbers = {name: finite(values).ravel() for name, values in samples.items()}
    numbers = {name: values[np.isfinite(values)] for name, values in numbers.items()}
    if not numbers or not all(len(values) for values in numbers.values()):
        raise CourseError("There is nothing to draw: pass at least one set of finite numbers.")
    every = np.concatenate(list(numbers.values()))
    # The number of bins is odd, so that with symmetric limits zero has its own bin.
    edges = np.linspace(*(limits or (every.min(), every.max() + 1e-12)), 81 + 1)
    fig = f.Figure()
    axes = f.style(fig.subplots(), xlabel=xlabel, percent="y")
    for (name, values), colour in zip(numbers.items(), f.colours(len(numbers)), strict=True):
        look = {"element": "step", "alpha": 0.15, "color": colour, "label": name}
        seaborn.histplot(x=values, bins=edges, stat="proportion", ax=axes, **look)
    axes.set_xlabel(xlabel)
    axes.set_ylabel("")
    axes.legend(frameon=False, fontsize=f.TEXT)
    fig.alt = f"Histograms of {xlabel or 'numbers'}: {listed(list(samples))}."
    return fig
