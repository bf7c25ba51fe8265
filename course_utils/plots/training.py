"""Figures of trainings and of initial weights: learning curves, accuracy gaps, spread by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from matplotlib.axes import Axes

from course_utils.core import MINUS, CourseError
from course_utils.plots import figure as f
from course_utils.plots.charts import chosen_names, finite, listed

if TYPE_CHECKING:
    from course_utils.training import SignalSpread

_DASHES = {"train": "-", "validation": (0, (4, 2))}


class HistoryLike(Protocol):
    """The part of a training's history that `learning_curves` reads: a number per epoch."""

    epoch: Sequence[int]
    train_loss: Sequence[float]
    train_accuracy: Sequence[float]
    validation_loss: Sequence[float]
    validation_accuracy: Sequence[float]


def learning_curves(
    histories: HistoryLike | Mapping[str, HistoryLike], *, marks: Mapping[str, int] | None = None
) -> f.Figure:
    """Draw loss and accuracy by epoch: training solid, validation dashed, the gap shaded.

    Args:
        histories: one history, or several by name. The training may still run, and may have
            finished no epoch yet.
        marks: epochs by name, for a vertical line at each, such as {"kept": 7, "stopped": 12}.
    """
    named = dict(histories) if isinstance(histories, Mapping) else {"": histories}
    fig = f.Figure(height=290)
    panels = fig.subplots(1, 2)
    f.style(panels[0], "Loss", xlabel="epoch", whole="x")
    f.style(panels[1], "Accuracy", xlabel="epoch", whole="x", percent="y")

    finished = [epoch for history in named.values() for epoch in history.epoch]
    first, last = int(min(finished, default=1)), int(max(finished, default=1))
    for axes, quantity in zip(panels, ("loss", "accuracy"), strict=True):
        ends = _draw_curves(axes, named, quantity)
        if quantity == "loss":
            _note_divergence(axes, named)
        right = max(last, first + 1)
        # A mark at the last epoch must not lie on the edge of the picture.
        axes.set_xlim(first - 0.02 * last, right + (0.03 * last if marks else 0))
        if any(np.isfinite(line.get_ydata()).any() for line in axes.lines):
            low, high = axes.get_ylim()
            # The noise of a flat curve, or a single epoch, must not fill the picture.
            margin = max(0.0, 0.05 - (high - low)) / 2
            axes.set_ylim(low - margin, high + margin)
            if quantity == "accuracy":
                f.label_ends(axes, ends)
        else:
            axes.set_ylim(0, 1)
            if not finished:
                middle = {"transform": axes.transAxes, "ha": "center", "fontsize": f.TEXT}
                axes.text(0.5, 0.5, "no epoch finished yet", color=f.MUTED, **middle)
    if len(named) > 1:
        for part, word in (("train", "training"), ("validation", "validation")):
            look = {"color": f.MUTED, "linestyle": _DASHES[part], "linewidth": 1.8}
            panels[0].plot([], [], label=word, **look)
        look = {"frameon": False, "fontsize": f.SMALL, "labelcolor": f.MUTED, "handlelength": 2.4}
        panels[0].legend(loc="upper right", **look)

    for axes in panels:
        for word, epoch in (marks or {}).items():
            axes.axvline(epoch, color=f.MUTED, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
            at = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            # To the left, because the last epoch is at the right edge.
            look = {"color": f.MUTED, "fontsize": f.SMALL, "ha": "right"}
            axes.annotate(word, (epoch, 0), (-3, 4), **look, **at)
    done = max((len(history.epoch) for history in named.values()), default=0)
    names = f" of {listed(list(named))}" if "" not in named else ""
    span = f"over {done} epoch{'s' * (done != 1)}" if done else "before the first epoch is finished"
    fig.alt = f"Two charts: loss and accuracy{names} {span}, training solid, validation dashed."
    if marks:
        fig.alt += f" Marked: {listed(list(marks))}."
    return fig


def _draw_curves(
    axes: Axes, named: Mapping[str, HistoryLike], quantity: str
) -> list[tuple[float, str, str]]:
    """Draw a solid and a dashed curve for each history; return the labels of `label_ends`."""
    alone, ends = len(named) == 1, []
    for (name, history), colour in zip(named.items(), f.colours(len(named)), strict=True):
        curves = {part: finite(getattr(history, f"{part}_{quantity}")) for part in _DASHES}
        for part, y in curves.items():
            look = {"color": colour, "linestyle": _DASHES[part], "linewidth": 1.8}
            marker = "o" if len(y) == 1 else None
            axes.plot(_first(history.epoch, len(y)), y, marker=marker, ms=4.5, **look)
            if part == "validation" or alone:
                word = {"train": "training"}.get(part, part) if alone else name
                ends += [(last, word, colour) for last in y[np.isfinite(y)][-1:]]
        n = min(map(len, curves.values()))
        if n > 1 and alone:
            gap = [y[:n] for y in curves.values()]
            axes.fill_between(_first(history.epoch, n), *gap, color=colour, alpha=0.13, linewidth=0)
    return ends


def _first(epoch: Sequence[int], count: int) -> np.ndarray:
    return np.asarray(epoch[:count], dtype=float)


def _note_divergence(axes: Axes, named: Mapping[str, HistoryLike]) -> None:
    """Write which trainings lost their numbers, and in which epoch."""
    notes = []
    for name, history in named.items():
        bad = np.flatnonzero(~np.isfinite(np.asarray(history.train_loss, dtype=float)))
        if len(bad):
            notes.append(f"{name} not finite\nfrom epoch {history.epoch[bad[0]]} on".strip())
    if notes:
        # The right half is free, because the curve has ended.
        where = {"transform": axes.transAxes, "ha": "right", "va": "center"}
        ink = f.darker(f.VERMILION)
        axes.text(0.98, 0.5, "\n".join(notes), color=ink, fontsize=f.SMALL, **where)


class RunLike(Protocol):
    """The part of a run that `gaps` reads: both accuracies, as shares."""

    train_accuracy: float
    validation_accuracy: float


def gaps(
    runs: Mapping[str, RunLike],
    *,
    going: str | None = None,
    width: int = 640,
    rows: int = 0,
) -> f.Figure:
    """Draw training and validation accuracy of each run as two joined dots, with the gap in points.

    Args:
        runs: by name, the first one on top.
        going: name of a run that is still being trained; drawn paler.
        rows: how many to leave room for, so that a live picture keeps its size.
    """
    names = list(runs)
    count = max(len(names), rows, 1)
    fig = f.Figure(width, 56 + 26 * count)
    title = "Accuracy: ○ validation, ● training"
    axes = f.style(fig.subplots(), title, grid="x", percent="x")
    f.name_rows(axes, names, count)
    low = _lowest(runs)
    axes.set_xlim(low, 1.09)
    axes.set_xticks([t / 10 for t in range(10, round(10 * low) - 1, -1 if low >= 0.3 else -2)])
    for row, (name, run) in enumerate(runs.items()):
        ends = run.validation_accuracy, run.train_accuracy
        look = {"color": f.COLOURS[0], "alpha": 0.4 if name == going else 1.0}
        axes.plot(ends, (row, row), linewidth=2.2, solid_capstyle="butt", zorder=2, **look)
        axes.plot(ends[0], row, "o", ms=8, mfc="white", mew=2, zorder=3, **look)
        axes.plot(ends[1], row, "o", ms=8, zorder=3, **look)
        if math.isfinite(sum(ends)):
            gap = f"{100 * (ends[1] - ends[0]):.0f}".replace("-", MINUS)
            f.write_beside(axes, gap, (max(ends), row), 9)
    words = f" of {len(names)} runs: {listed(names)}" if names else ", no run yet"
    fig.alt = f"Training and validation accuracy{words}."
    return fig


def _lowest(runs: Mapping[str, RunLike]) -> float:
    """Return the left end of the axis: a tenth below all runs, rounded, and at most one half."""
    shares = [s for r in runs.values() for s in (r.train_accuracy, r.validation_accuracy)]
    lowest = min(filter(math.isfinite, shares), default=1)
    return min(0.5, math.floor(10 * lowest - 0.2) / 10)


def layer_statistics(
    spreads: SignalSpread | Sequence[SignalSpread] | Mapping[str, SignalSpread],
    *,
    highlight: str | None = None,
    dashed: str | Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    title: str = "",
    width: int = 640,
    height: int = 320,
) -> f.Figure:
    """Draw the spread of activations (left) and gradients (right) by layer, on one log scale.

    The grey band is a factor of ten around 1, which is the spread at the start: of the input on
    the left, of the gradient at the last layer on the right. Where numbers leave float32's range
    the line ends in ∞; where they are all equal it ends in 0. The names stand at the right ends of
    the lines on the left.

    Args:
        spreads: one, several, or several by name.
        highlight: name of the one to draw in blue; the others are thin and grey.
        dashed: names of lines to draw dashed, so that one does not hide another.
        limits: of the vertical axis, so that the axis of a live picture keeps its length. Default:
            what the numbers need.
    """
    named = _name_spreads(spreads)
    dashed = chosen_names(named, dashed)
    fig = f.Figure(width, height)
    panels = fig.subplots(1, 2, sharey=True)
    if title:
        look = {"fontsize": f.TITLE, "fontweight": "bold", "color": f.INK}
        fig.suptitle(title, x=0.01, ha="left", **look)
    exponents = tuple(math.log10(v) for v in limits) if limits else _exponents(named)
    depth = max(s.depth for s in named.values())
    columns = (
        ("Activations, forward →", "activation_std"),
        ("Gradients, ← backward", "gradient_std"),
    )
    for axes, (heading, attribute) in zip(panels, columns, strict=True):
        f.style(axes, heading, xlabel="layer", log="y", whole="x")
        axes.set_xlim(0.5, depth + 0.5)
        axes.set_ylim(*(10**exponent for exponent in exponents))
        axes.axhspan(0.1, 10, color=f.PALE, alpha=0.6, linewidth=0, zorder=0)
        ends = []
        for (name, spread), colour in zip(named.items(), f.colours(len(named)), strict=True):
            look: dict[str, Any] = {"linewidth": 1.8, "marker": "o", "ms": 3 if depth <= 30 else 0}
            if highlight == name:
                colour, look = f.BLUE, look | {"zorder": 3}
            elif highlight is not None:
                # Without neighbours there is no line, only a dot.
                colour, dot = f.RULE, "o" if depth == 1 else None
                look = {"linewidth": 1, "marker": dot, "ms": 3}
            if name in dashed:  # without dots, which would hide those of the other line
                look |= {"linestyle": "--", "marker": None}
            y = np.array(getattr(spread, attribute))
            shown = np.where(np.isfinite(y) & (y > 0), y, np.nan)
            axes.plot(np.arange(1, len(y) + 1), shown, color=colour, **look)
            if highlight in (None, name):
                _mark_ends(axes, y, exponents, f.darker(colour), attribute == "activation_std")
            ends.append((float(y[-1]), name, colour))
        if len(named) > 1 and axes is panels[0]:
            f.label_ends(axes, sorted(ends))
    verdicts = " ".join(f"{name}: {s.verdict}" for name, s in named.items())
    fig.alt = f"Spread of activations and gradients by layer, log scale. {verdicts}"
    return fig


def _exponents(named: Mapping[str, SignalSpread]) -> tuple[float, float]:
    """Return the ends of the log axis as powers of ten: around all numbers, 0.01 and 100."""
    every = [v for s in named.values() for v in (*s.activation_std, *s.gradient_std)]
    magnitudes = [math.log10(v) for v in every if 0 < v < math.inf]
    low = math.floor(min(magnitudes, default=0)) - 0.5
    high = math.ceil(max(magnitudes, default=0)) + 0.5
    return min(low, -2.5), max(high, 2.5)


def _mark_ends(
    axes: Axes, y: np.ndarray, exponents: tuple[float, float], ink: Any, forward: bool
) -> None:
    """Write ∞ or 0 at the first layer without a number, in the direction of the signal."""
    low, high = exponents
    inset = 0.02 * (high - low)
    for sign, layers, exponent, side in (
        ("∞", np.flatnonzero(~np.isfinite(y)), high - inset, "top"),
        ("0", np.flatnonzero(y == 0), low + inset, "bottom"),
    ):
        if len(layers):
            # The signal comes from the left, the gradient from the right.
            at = 1 + (layers[0] if forward else layers[-1])
            look = {"fontsize": f.TITLE + 2, "fontweight": "bold", "ha": "center", "va": side}
            axes.text(at, 10**exponent, sign, color=ink, **look)


def _name_spreads(spreads: Any) -> dict[str, SignalSpread]:
    """Return the spreads by names made of what differs between them; of the scheme if nothing."""
    if isinstance(spreads, Mapping):
        return dict(spreads)
    several = list(spreads) if isinstance(spreads, Sequence) else [spreads]
    if not several:
        raise CourseError("There is nothing to draw: pass at least one measured spread.")
    parts = {
        "scheme": lambda s: s.scheme,
        "activation": lambda s: s.activation,
        "batch_norm": lambda s: "BatchNorm" if s.batch_norm else "no BatchNorm",
        "depth": lambda s: f"{s.depth} layers",
    }
    differing = [p for p in parts if len({getattr(s, p) for s in several}) > 1] or ["scheme"]
    named: dict[str, SignalSpread] = {}
    for spread in several:
        name = ", ".join(parts[p](spread) for p in differing)
        named[name if name not in named else f"{name} ({len(named) + 1})"] = spread
    return named
