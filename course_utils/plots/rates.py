"""Charts of learning rates: paths over a loss surface, range tests, rates that follow a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from course_utils.core import CourseError
from course_utils.plots import figure as f
from course_utils.plots.charts import chosen_names, finite, listed

if TYPE_CHECKING:
    from course_utils.training import Descent, History, RangeTest


def descents(
    paths: Mapping[str, Descent],
    *,
    reach: tuple[float, float] = (4.6, 1.9),
    losses: tuple[float, float] = (1e-8, 1e3),
) -> f.Figure:
    """Draw paths over the contour lines of a valley, and beside each its loss by step (log scale).

    Both parameters have the same scale, so a step of plain gradient descent is perpendicular to the
    contour line where it starts. A path that leaves the map ends there.

    Args:
        paths: by name, the first one on top.
        reach: ends of the map along the flat and the steep parameter.
        losses: ends of the axes of the losses.

    Raises:
        CourseError: nothing to draw.
    """
    if not paths:
        raise CourseError("There is nothing to draw: pass at least one path.")
    # The places are fixed, because Matplotlib's layout takes longer than all the drawing.
    far, high = reach
    top, bottom, width = 30, 48, 386
    height = round(width * high / far)
    row = top + height + 18
    fig = f.Figure(640, row * len(paths) + bottom - 18, layout="none")
    a, b = np.meshgrid(np.linspace(-far, far, 121), np.linspace(-high, high, 81))
    for number, ((name, walk), colour) in enumerate(
        zip(paths.items(), f.colours(len(paths)), strict=True)
    ):
        places = ((62, width), (506, 114))
        lower = fig.bbox.height - row * number - top - height
        valley, loss = (
            fig.add_axes((x / 640, lower / fig.bbox.height, wide / 640, height / fig.bbox.height))
            for x, wide in places
        )
        last = number == len(paths) - 1
        f.style(valley, name, xlabel="flat parameter a" if last else "", grid="")
        flat, steep = walk.curvatures
        heights = (flat * a**2 + steep * b**2) / 2
        valley.contour(a, b, heights, levels=8, colors=f.RULE, linewidths=0.7)
        x, y = np.array(walk.path).T
        outside = np.flatnonzero((abs(x) > far) | (abs(y) > high))
        x, y = (values[: outside[0] + 1] if len(outside) else values for values in (x, y))
        valley.plot(x, y, color=colour, linewidth=1, marker="o", ms=3)
        valley.plot(0, 0, marker="+", color=f.INK, ms=10, mew=1.5)
        valley.set(xlim=(-far, far), ylim=(-high, high))
        valley.set_ylabel("steep parameter b", fontsize=f.TEXT, color=f.MUTED)
        f.style(loss, "Loss", xlabel="step" if last else "", log="y", whole="x")
        loss.plot(np.clip(walk.losses, losses[0] / 10, 10 * losses[1]), color=colour, linewidth=1.6)
        loss.set(xlim=(0, max(1, len(walk.losses) - 1)), ylim=losses)
        loss.xaxis.get_major_locator().set_params(nbins=4)
    fig.alt = (
        f"Paths of an optimizer over the contour lines of a valley, and the loss by step: "
        f"{listed(list(paths))}."
    )
    return fig


def range_tests(
    tests: RangeTest | Mapping[str, RangeTest], *, dashed: str | Sequence[str] = ()
) -> f.Figure:
    """Draw the smoothed loss against the learning rate (log scale), the proposed rate as a dot.

    A single test also shows the loss of each batch, and grey lines where the loss falls fastest and
    where its average rises again.

    Args:
        tests: one, or several by name.
        dashed: names of lines to draw dashed, so that one does not hide another.

    Raises:
        CourseError: no test, or no test has a name in `dashed`.
    """
    named = dict(tests) if isinstance(tests, Mapping) else {"": tests}
    if not named:
        raise CourseError("There is nothing to draw: pass at least one range test.")
    dashed = chosen_names(named, dashed)
    fig = f.Figure()
    axes = f.style(fig.subplots(), "Loss", xlabel="learning rate", log="x")
    f.plain_numbers(axes, "x")
    top = 1.6 * max(test.smoothed[0] for test in named.values())
    for (name, test), colour in zip(named.items(), f.colours(len(named)), strict=True):
        if len(named) == 1:
            axes.plot(test.rates, np.minimum(test.losses, top), color=f.RULE, linewidth=0.8)
            marks = [(test.steepest, "falls fastest"), (test.blow_up, "average rises")]
            for rate, words in marks[: 1 + test.exploded]:
                axes.axvline(rate, color=f.RULE, linewidth=1)
                axes.text(rate, 0.02 * top, f" {words}", color=f.MUTED, fontsize=f.SMALL)
        look = {"color": colour, "linewidth": 1.8, "linestyle": "--" if name in dashed else "-"}
        axes.plot(test.rates, test.smoothed, label=name, **look)
        there = np.interp(np.log(test.suggestion), np.log(test.rates), test.smoothed)
        axes.plot(test.suggestion, there, "o", color=colour, ms=9, mec=f.PAPER, mew=1.5, zorder=3)
    axes.set_ylim(0, top)
    if len(named) > 1:
        axes.legend(loc="lower left", frameon=False, fontsize=f.TEXT, labelcolor=f.INK)
    of = f" of {listed(list(named))}" if len(named) > 1 else ""
    fig.alt = (
        f"Range test{of}: loss against learning rate on a log scale; a dot marks the proposed rate."
    )
    return fig


def losses_and_rates(history: History) -> f.Figure:
    """Draw validation loss (above) and learning rate (below) by epoch, for rates that change.

    Grey lines stand where the rate was lowered.

    Raises:
        CourseError: no epoch is finished.
    """
    if not history.epoch:
        raise CourseError("There is nothing to draw: the training has not finished an epoch.")
    fig = f.Figure(height=380)
    loss, rate = fig.subplots(2, 1, sharex=True)
    f.style(loss, "Validation loss", whole="x")
    f.style(rate, "Learning rate of the epoch", xlabel="epoch", log="y", whole="x")
    f.plain_numbers(rate, "y")
    look = {"linewidth": 1.8, "marker": "o", "ms": 4}
    loss.plot(history.epoch, finite(history.validation_loss), color=f.BLUE, **look)
    look |= {"color": f.ORANGE, "drawstyle": "steps-mid"}
    rate.plot(history.epoch, history.learning_rate, **look)
    both = zip(history.epoch[1:], history.learning_rate, history.learning_rate[1:], strict=False)
    for epoch in (epoch for epoch, before, after in both if after < before):
        for axes in (loss, rate):
            axes.axvline(epoch - 0.5, color=f.RULE, linewidth=1, zorder=0)
    fig.alt = (
        "Validation loss above and learning rate below, by epoch; grey lines where the rate was "
        "lowered."
    )
    return fig
