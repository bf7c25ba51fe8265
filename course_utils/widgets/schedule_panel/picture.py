"""The picture of the schedule panel: the schedule above, the trainings with schedules below."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from course_utils.plots import figure as f
from course_utils.training import RatePlan, RateRun

WIDTH, HEIGHT = 660, 520
ROWS = 6
_PLACES = ((52, 30, 600, 118), (52, 204, 264, 140), (382, 204, 270, 140), (20, 404, 632, 110))
"""Left, top, width and height in pixels of: rate, loss, accuracy, names."""
_LONGEST = 62  # letters of a name
_MEMORY = 0.9  # share of the running mean of the losses that stays at each step


@dataclass(frozen=True)
class ScheduleView:
    """The schedule and the runs that the panel shows.

    Attributes:
        plan: what the controls say.
        curve: its learning rate at each step.
        runs: all so far, the first one first.
        going: the run that is still being trained, if any; its history grows.
    """

    plan: RatePlan
    curve: tuple[float, ...]
    runs: tuple[RateRun, ...] = ()
    going: RateRun | None = None


def draw(view: ScheduleView) -> bytes:
    """Draw the picture as a PNG, 660 × 520 pixels."""
    # The places are fixed, because Matplotlib's layout takes longer than all the drawing.
    fig = f.Figure(WIDTH, HEIGHT, layout="none")
    rate, loss, accuracy, names = (
        fig.add_axes((x / WIDTH, 1 - (y + height) / HEIGHT, width / WIDTH, height / HEIGHT))
        for x, y, width, height in _PLACES
    )
    f.style(rate, "Learning rate (dashed: as set by the controls)", whole="x")
    f.style(loss, "Loss while training", xlabel="step", whole="x")
    f.style(accuracy, "Validation accuracy", xlabel="step", whole="x", percent="y")
    # Short numbers: at a low peak "0.00025" needs too much space.
    rate.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    names.axis("off")
    names.set_xlim(0, 1)
    names.set_ylim(ROWS - 0.4, -0.6)

    shown = _shown(view)
    for row, (number, run) in enumerate(shown):
        colour = f.COLOURS[(number - 1) % len(f.COLOURS)]
        alpha = 0.6 if run is view.going else 1.0
        _draw_run(run, (rate, loss, accuracy), colour, alpha)
        text = f"{number}: {run.plan.label}"
        if len({other.plan.epochs for _, other in shown}) > 1:
            text += f", {run.plan.epochs} epochs"
        text = text if len(text) <= _LONGEST else text[: _LONGEST - 1].rstrip(" ,") + "…"
        look = {"va": "center", "fontsize": f.TEXT, "color": f.INK}
        names.plot((0.0, 0.03), (row, row), color=colour, linewidth=3, alpha=alpha)
        names.text(0.04, row, text, **look)
        names.text(1.0, row, _outcome(run, run is view.going), ha="right", **look)
    if not shown:
        middle = {"transform": names.transAxes, "ha": "center", "color": f.MUTED}
        names.text(0.5, 0.6, "No run yet: press Train", fontsize=f.TEXT, **middle)
    rate.plot(_steps(view.curve), view.curve, color=f.INK, linewidth=1.6, linestyle=(0, (4, 2)))
    rate.set_ylim(bottom=0)
    last = max([len(view.curve), *(len(run.history.step_loss) for _, run in shown)])
    for axes in (rate, loss, accuracy):
        axes.set_xlim(1, max(last, 2))
    first = max((run.history.step_loss[0] for _, run in shown if run.history.step_loss), default=1)
    loss.set_ylim(0, 1.3 * first)
    accuracy.set_ylim(*_accuracies(run for _, run in shown))
    return fig.to_png(compress_level=1)


def _shown(view: ScheduleView) -> list[tuple[int, RateRun]]:
    """Return the runs with their numbers; of many, the first and the last ones."""
    runs = list(enumerate([*view.runs, *([view.going] if view.going else [])], 1))
    return runs if len(runs) <= ROWS else [runs[0], *runs[-(ROWS - 1) :]]


def _draw_run(run: RateRun, axes: tuple[Axes, ...], colour: str, alpha: float) -> None:
    rate, loss, accuracy = axes
    history, look = run.history, {"color": colour, "linewidth": 1.6, "alpha": alpha}
    losses = np.array(history.step_loss[:])  # a copy, because a thread may add to it
    rates = history.step_learning_rate[: len(losses)]
    rate.plot(_steps(rates), rates, **look)
    loss.plot(_steps(losses), _running_mean(losses), **look)
    done = history.validation_accuracy[: len(history.epoch)]
    if done:
        steps = math.ceil(run.plan.pictures / 64) * np.arange(1, len(done) + 1)
        accuracy.plot(steps, done, marker="o", ms=4, **look)


def _accuracies(runs: Iterable[RateRun]) -> tuple[float, float]:
    """Return the ends of the axis around the best, so that a failed run flattens no other."""
    best = max((a for run in runs for a in run.history.validation_accuracy), default=math.nan)
    return (max(0.0, best - 0.25), min(1.02, best + 0.05)) if math.isfinite(best) else (0.0, 1.0)


def _outcome(run: RateRun, going: bool) -> str:
    done = run.history.validation_accuracy
    return "diverged" if run.diverged else f"{done[-1]:.1%}" if done else "…" if going else "–"


def _steps(values: object) -> np.ndarray:
    return np.arange(1, len(values) + 1)


def _running_mean(losses: np.ndarray) -> np.ndarray:
    """Return the running mean of the losses, because single losses are noisy."""
    sums = itertools.accumulate(
        losses, lambda mean, loss: _MEMORY * mean + (1 - _MEMORY) * loss, initial=0
    )
    return np.array(list(sums)[1:]) / (1 - _MEMORY ** _steps(losses))
