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
    title: str = "",
    highlight: str | Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    width: int = 640,
    alt: str | None = None,
) -> f.Figure:
    """Draw a dot for each number of each name, and a tick at the median; the first name on top.

    Equal numbers of one name stand one above the other. Unlike the axis of bars, this axis need not
    begin at zero, because the reader compares the places of the dots and not lengths.

    Args:
        values: numbers by name, for example one for each seed; one that is not finite has no dot.
        intervals: (low, high) by name, drawn as a bar behind the dots.
        percent: whether the numbers are shares, written in per cent.
        highlight: names to draw in another colour.
        limits: of the axis.
        alt: replaces the text made from the names.

    Raises:
        CourseError: no names, or a name without a number.
    """
    if not values or not all(len(numbers) for numbers in values.values()):
        raise CourseError("There is nothing to draw: pass at least one number for each name.")
    chosen = {highlight} if isinstance(highlight, str) else set(highlight)
    fig = f.Figure(width, 50 + 26 * len(values) + (26 if title else 0))
    axes = f.style(fig.subplots(), title, percent="x" if percent else "", grid="x")
    f.name_rows(axes, list(values))
    for row, (name, numbers) in enumerate(values.items()):
        colour = f.ORANGE if name in chosen else f.BLUE
        numbers = finite(numbers)
        if intervals and name in intervals:
            axes.plot(intervals[name], (row, row), color=f.PALE, linewidth=9, solid_capstyle="butt")
        places = row + _beside_equals(numbers)
        axes.plot(numbers, places, "o", color=colour, ms=5, alpha=0.75, mew=0)
        if np.isfinite(numbers).any():
            axes.plot(np.nanmedian(numbers), row, "|", color=f.INK, ms=15, mew=2)
    if limits is not None:
        axes.set_xlim(*limits)
    what = f"Single values{of_title(title)}, with their medians"
    bars = ", and intervals" if intervals else ""
    fig.alt = alt or f"{what}{bars}: {listed(list(values))}."
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
    bins: int = 81,
    title: str = "",
    width: int = 640,
    height: int = 300,
    alt: str | None = None,
) -> f.Figure:
    """Draw histograms of several sets of numbers over each other, as outlines (by seaborn).

    Each is scaled to shares of its own numbers, so that sets of different sizes can be compared.

    Args:
        samples: numbers by name, in any shape.
        limits: of the axis; numbers outside are in no bin. Default: all are inside.
        bins: how many, the same for all; odd, so that with symmetric `limits` zero has its own bin.
        alt: replaces the text made from the names.

    Raises:
        CourseError: no set, or a set without a finite number.
    """
    import seaborn

    numbers = {name: finite(values).ravel() for name, values in samples.items()}
    numbers = {name: values[np.isfinite(values)] for name, values in numbers.items()}
    if not numbers or not all(len(values) for values in numbers.values()):
        raise CourseError("There is nothing to draw: pass at least one set of finite numbers.")
    every = np.concatenate(list(numbers.values()))
    edges = np.linspace(*(limits or (every.min(), every.max() + 1e-12)), bins + 1)
    fig = f.Figure(width, height)
    axes = f.style(fig.subplots(), title, xlabel=xlabel, percent="y")
    for (name, values), colour in zip(numbers.items(), f.colours(len(numbers)), strict=True):
        seaborn.histplot(
            x=values,
            bins=edges,
            stat="proportion",
            element="step",
            alpha=0.15,
            color=colour,
            label=name,
            ax=axes,
        )
    axes.set_xlabel(xlabel)
    axes.set_ylabel("")
    axes.legend(frameon=False, fontsize=f.TEXT)
    fig.alt = alt or f"Histograms of {xlabel or title or 'numbers'}: {listed(list(samples))}."
    return fig
