"""Charts about learning rates: paths over a loss surface, and what a range test saw.

Use them through `course_utils.plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from course_utils.chart_plots import finite, listed
from course_utils.errors import CourseError

if TYPE_CHECKING:
    from course_utils.figure import Figure
    from course_utils.range_test import RangeTest
    from course_utils.surface import Descent


def descents(
    paths: Mapping[str, Descent],
    losses: Mapping[str, Sequence[float]] | None = None,
    *,
    limits: tuple[float, float] = (4.6, 1.9),
    width: int = 700,
    alt: str | None = None,
) -> Figure:
    """Paths over the contour lines of a valley, side by side; below, the losses of a real network.

    A path that leaves the picture is cut at its edge. The losses share one axis, which ends at
    twice the first loss, so that one that explodes does not flatten the others.

    Args:
        paths: by name, from left to right; all over the same surface.
        losses: loss of each step by the same names; None for paths alone.
        limits: how far the picture goes from the minimum, along the flat and the steep parameter.
        alt: replaces the text made from the names.

    Raises:
        CourseError: nothing to draw, or other names below than above.
    """
    from course_utils import figure as f

    if not paths:
        raise CourseError("There is nothing to draw: pass at least one path.")
    if losses is not None and list(losses) != list(paths):
        raise CourseError(
            f"The paths are called {', '.join(paths)}, the losses {', '.join(losses)}: give both "
            "the same names in the same order."
        )
    rows = 1 if losses is None else 2
    fig = f.Figure(width, 60 + 170 * rows)
    panels = fig.subplots(rows, len(paths), sharey="row", squeeze=False)
    far, high = limits
    a, b = np.meshgrid(np.linspace(-far, far, 121), np.linspace(-high, high, 81))
    for axes, (name, walk), colour in zip(
        panels[0], paths.items(), f.colours(len(paths)), strict=True
    ):
        f.style(axes, name, xlabel="flat parameter", grid="")
        flat, steep = walk.curvatures
        heights = (flat * a**2 + steep * b**2) / 2
        axes.contour(a, b, heights, levels=8, colors=f.RULE, linewidths=0.7)
        x, y = np.array(walk.path).T
        axes.plot(x, y, color=colour, linewidth=1.5, marker="o", ms=2.8)
        axes.plot(0, 0, marker="+", color=f.INK, ms=9, mew=1.5)
        axes.set_xlim(-far, far)
        axes.set_ylim(-high, high)
    panels[0][0].set_ylabel("steep parameter", fontsize=f.TEXT, color=f.MUTED)
    if losses is not None:
        top = 2 * max(next(iter(values)) for values in losses.values())
        for axes, values, colour in zip(
            panels[1], losses.values(), f.colours(len(paths)), strict=True
        ):
            f.style(axes, xlabel="step", whole="x")
            steps = np.arange(1, len(values) + 1)
            axes.plot(steps, np.minimum(finite(values), top), color=colour, linewidth=1.2)
            axes.set_ylim(0, top)
        panels[1][0].set_ylabel("loss of the network", fontsize=f.TEXT, color=f.MUTED)
    below = "" if losses is None else " Below, the loss of a network by step for the same."
    fig.alt = alt or (
        f"Paths of an optimizer over the contour lines of a valley: {listed(list(paths))}.{below}"
    )
    return fig


def range_tests(
    tests: RangeTest | Mapping[str, RangeTest],
    *,
    width: int = 640,
    height: int = 300,
    alt: str | None = None,
) -> Figure:
    """Loss against learning rate, log scale; the smoothed loss as a line, the proposal as a dot.

    Of a single test the losses of the batches are shown, too, and grey lines stand where the loss
    falls fastest and where it blows up.

    Args:
        tests: one, or several by name.
        alt: replaces the text made from the names.

    Raises:
        CourseError: there is none.
    """
    from course_utils import figure as f

    named = dict(tests) if isinstance(tests, Mapping) else {"": tests}
    if not named:
        raise CourseError("There is nothing to draw: pass at least one range test.")
    fig = f.Figure(width, height)
    axes = f.style(fig.subplots(), "Loss", xlabel="learning rate", log="x")
    top = 1.6 * max(test.smoothed[0] for test in named.values())
    for (name, test), colour in zip(named.items(), f.colours(len(named)), strict=True):
        if len(named) == 1:
            axes.plot(test.rates, np.minimum(test.losses, top), color=f.RULE, linewidth=0.8)
            marks = [(test.steepest, "falls fastest"), (test.blow_up, "blows up")]
            for rate, words in marks[: 1 + test.exploded]:
                axes.axvline(rate, color=f.RULE, linewidth=1)
                axes.text(rate, 0.02 * top, f" {words}", color=f.MUTED, fontsize=f.SMALL)
        axes.plot(test.rates, test.smoothed, color=colour, linewidth=1.8, label=name)
        there = np.interp(np.log(test.suggestion), np.log(test.rates), test.smoothed)
        axes.plot(test.suggestion, there, "o", color=colour, ms=9, mec=f.PAPER, mew=1.5, zorder=3)
    axes.set_ylim(0, top)
    if len(named) > 1:
        axes.legend(loc="lower left", frameon=False, fontsize=f.TEXT, labelcolor=f.INK)
    of = f" of {listed(list(named))}" if len(named) > 1 else ""
    fig.alt = alt or (
        f"Range test{of}: loss against learning rate on a log scale; it stands, falls, and blows "
        "up, and a dot marks the proposed rate."
    )
    return fig
