"""Charts of many values of each name: single results of several seeds, distributions.

Use them through `course_utils.plots.training`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from course_utils.core import CourseError
from course_utils.plots.charts import finite, listed

if TYPE_CHECKING:
    from course_utils.plots.figure import Figure


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
) -> Figure:
    """Several numbers for each name, a dot each, with a tick at their median; first name on top.

    Equal numbers of one name stand one above the other. The axis need not begin at zero, as that of
    bars has to: what can be compared is where the dots lie and how far apart.

    Args:
        values: numbers by name, one for each seed, say; one that is not finite gets no dot.
        intervals: (low, high) by name, drawn as a bar behind the dots.
        percent: whether the numbers are shares, to be written in per cent.
        highlight: names to set off by colour.
        limits: of the axis.
        alt: replaces the text made from the names.

    Raises:
        CourseError: there is no name, or one without a number.
    """
    from course_utils.plots import figure as f

    if not values or not all(len(numbers) for numbers in values.values()):
        raise CourseError("There is nothing to draw: pass at least one number for each name.")
    chosen = {highlight} if isinstance(highlight, str) else set(highlight)
    fig = f.Figure(width, 50 + 26 * len(values) + (26 if title else 0))
    axes = f.style(fig.subplots(), title, percent="x" if percent else "", grid="x")
    axes.tick_params(axis="y", length=0, labelcolor=f.INK, labelsize=f.TEXT)
    axes.set_yticks(range(len(values)), list(values))
    axes.set_ylim(len(values) - 0.4, -0.6)
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
    what = f" of {title[0].lower()}{title[1:]}" if title else ""
    bars = ", and intervals" if intervals else ""
    fig.alt = alt or f"Single values{what}, with their medians{bars}: {listed(list(values))}."
    return fig


def _beside_equals(numbers: np.ndarray) -> np.ndarray:
    """How far from the middle of its row each dot stands, so that no equal one hides it."""
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
) -> Figure:
    """Histograms of several sets of numbers over each other, drawn by seaborn as outlines.

    Each is scaled to shares of its own numbers, so that sets of different size can be compared.

    Args:
        samples: numbers by name, in any shape.
        limits: of the axis; numbers outside are counted in no bin. By default all are inside.
        bins: how many, the same for all; odd, so that zero has one of its own if `limits` are even.
        alt: replaces the text made from the names.

    Raises:
        CourseError: there is no set, or one without a finite number.
    """
    import seaborn

    from course_utils.plots import figure as f

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
