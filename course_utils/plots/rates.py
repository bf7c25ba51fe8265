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
    losses: Mapping[str, Sequence[float]] | None = None,
    *,
    rates: Mapping[str, tuple[float, ...]] | None = None,
) -> f.Figure:
    """Draw paths over the contour lines of a valley, side by side; below, losses of a real network.

    A path that leaves the picture ends there. The losses share one axis, which ends at
    twice the first loss, so that a loss that explodes does not flatten the others.

    Args:
        paths: by name, from left to right; all over the same surface.
        losses: loss of each step by the same names; None for paths only.
        rates: learning rates (of the path, of the network) by the same names, for the headings.

    Raises:
        CourseError: nothing to draw, or losses or rates by other names.
    """
    if not paths:
        raise CourseError("There is nothing to draw: pass at least one path.")
    for what, given in (("losses", losses), ("rates", rates)):
        if given is not None and list(given) != list(paths):
            raise CourseError(
                f"The paths are called {', '.join(paths)}, the {what} {', '.join(given)}: use the "
                "same names in the same order for both."
            )
    rows = 1 if losses is None else 2
    fig = f.Figure(700, 60 + (170 if rates is None else 180) * rows)
    panels = fig.subplots(rows, len(paths), sharey="row", squeeze=False)
    far, high = 4.6, 1.9  # ends of the picture along the flat and the steep parameter
    a, b = np.meshgrid(np.linspace(-far, far, 121), np.linspace(-high, high, 81))
    for axes, (name, walk), colour in zip(
        panels[0], paths.items(), f.colours(len(paths)), strict=True
    ):
        f.style(axes, _heading(name, rates, 0), xlabel="flat parameter", grid="")
        flat, steep = walk.curvatures
        heights = (flat * a**2 + steep * b**2) / 2
        axes.contour(a, b, heights, levels=8, colors=f.RULE, linewidths=0.7)
        x, y = np.array(walk.path).T
        outside = np.flatnonzero((abs(x) > far) | (abs(y) > high))
        x, y = (values[: outside[0] + 1] if len(outside) else values for values in (x, y))
        axes.plot(x, y, color=colour, linewidth=1.5, marker="o", ms=2.8)
        axes.plot(0, 0, marker="+", color=f.INK, ms=9, mew=1.5)
        axes.set_xlim(-far, far)
        axes.set_ylim(-high, high)
    panels[0][0].set_ylabel("steep parameter", fontsize=f.TEXT, color=f.MUTED)
    if losses is not None:
        top = 2 * max(next(iter(values)) for values in losses.values())
        for axes, (name, values), colour in zip(
            panels[1], losses.items(), f.colours(len(paths)), strict=True
        ):
            f.style(axes, _heading(name, rates, 1) if rates else "", xlabel="step", whole="x")
            steps = np.arange(1, len(values) + 1)
            axes.plot(steps, np.minimum(finite(values), top), color=colour, linewidth=1.2)
            axes.set_ylim(0, top)
        panels[1][0].set_ylabel("loss of the network", fontsize=f.TEXT, color=f.MUTED)
    below = "" if losses is None else " Below, the loss of a network by step for the same."
    fig.alt = (
        f"Paths of an optimizer over the contour lines of a valley: {listed(list(paths))}.{below}"
    )
    return fig


def _heading(name: str, rates: Mapping[str, tuple[float, ...]] | None, which: int) -> str:
    return name if rates is None else f"{name}: rate {f.plain_number(rates[name][which])}"


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
        f"Range test{of}: loss against learning rate on a log scale; it is flat, falls, and blows "
        "up, and a dot marks the proposed rate."
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
