"""The table of chapter 4 as a picture: one network after each technique."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from course_utils.core import CourseError
from course_utils.plots import figure as f
from course_utils.plots.charts import listed

if TYPE_CHECKING:
    from course_utils.metrics import Comparison

_WIDTH = 760


def techniques(result: Comparison, *, accuracy: str = "accuracy") -> f.Figure:
    """Draw what `compare_models` measured, a row for each network, the original on top.

    The columns are accuracy (with its 95 % interval, if there were labels), multiply-adds and file
    size as parts of the first network's, and for each batch size how many times as fast as the
    first network each one is.

    Args:
        accuracy: The title of the first column, for example with the name of the pictures.

    Raises:
        CourseError: If there is only one network.
    """
    first, *others = result.models
    if not others:
        raise CourseError("There is nothing to compare: measure at least two networks.")
    original = result[first]
    columns: dict[str, Mapping[str, float]] = {
        "multiply-adds": {
            name: one.multiply_adds / max(original.multiply_adds, 1)
            for name, one in result.models.items()
        },
        "file size": {
            name: one.file_bytes / original.file_bytes for name, one in result.models.items()
        },
    }
    for count in original.latency:
        speeds = {name: 1 / result.latency_ratio(name, count) for name in result.models}
        columns[f"speed,\nbatch of {count}"] = speeds
    with_accuracy = all(one.accuracy is not None for one in result.models.values())
    names = list(result.models)
    fig = f.Figure(_WIDTH, 74 + 28 * len(names))
    panels = fig.subplots(1, len(columns) + with_accuracy, sharey=True)
    if with_accuracy:
        _accuracies(panels[0], accuracy, result)
    for axes, (title, values) in zip(panels[with_accuracy:], columns.items(), strict=True):
        _bars(axes, title, values)
    f.name_rows(panels[0], names)
    for axes in panels[1:]:
        axes.tick_params(axis="y", length=0, labelleft=False)
    titles = [accuracy] * with_accuracy + list(columns)
    titles = [title.replace("\n", " ") for title in titles]
    fig.alt = f"{listed(titles).capitalize()} of {listed(names)}."
    return fig


def _accuracies(axes: f.Axes, title: str, result: Comparison) -> None:
    f.style(axes, title, grid="")
    axes.spines["bottom"].set_visible(False)
    axes.xaxis.set_visible(False)
    intervals = [one.interval() for one in result.models.values()]
    lowest, highest = min(low for low, _ in intervals), max(high for _, high in intervals)
    span = max(highest - lowest, 0.01)
    axes.set_xlim(lowest - 0.1 * span, highest + 0.9 * span)
    for row, (one, (low, high)) in enumerate(zip(result.models.values(), intervals, strict=True)):
        axes.plot((low, high), (row, row), color=f.BLUE, linewidth=2, solid_capstyle="butt")
        axes.plot(one.accuracy, row, "o", color=f.BLUE, ms=6, mew=0)
        f.write_beside(axes, f"{100 * one.accuracy:.1f} %", (high, row), 5)


def _bars(axes: f.Axes, title: str, values: Mapping[str, float]) -> None:
    """Draw bars from zero with "×0.25" at their ends."""
    f.style(axes, title, grid="")
    axes.spines["bottom"].set_visible(False)
    axes.xaxis.set_visible(False)
    axes.set_xlim(0, 1.75 * max(values.values()))
    for row, value in enumerate(values.values()):
        axes.barh(row, value, height=0.62, color=f.BLUE if row else f.RULE, linewidth=0)
        f.write_beside(axes, f"×{value:.2g}" if value < 10 else f"×{value:.0f}", (value, row), 4)
