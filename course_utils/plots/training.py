"""The figures of the course: pure functions of results that return a `Figure` with its `alt` text.

What a training or an initialisation left is drawn here; plain charts, figures made of pictures,
drawings of networks, and charts of learning rates, of searches and of many values of a name are in
`chart_plots`, `picture_plots`, `diagrams`, `rate_plots`, `search_plots` and `spread_plots`, and all
are to be had from this module. No function shows, saves or keeps
anything. The texts name what is drawn, not the numbers a training happened to end with, so that
they are the same on every machine; whoever knows more passes `alt=`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from course_utils.core import CourseError
from course_utils.plots.charts import bars, before_and_after, finite, heatmap, lines, listed
from course_utils.plots.diagrams import receptive_field_diagram
from course_utils.plots.pictures import feature_maps, filters, images, picture_row
from course_utils.plots.rates import descents, losses_and_rates, range_tests
from course_utils.plots.searches import accuracy_and_cost, best_so_far
from course_utils.plots.spreads import distributions, spreads

if TYPE_CHECKING:
    from course_utils.plots.figure import Figure
    from course_utils.training import SignalSpread

__all__ = [
    "Figure",
    "accuracy_and_cost",
    "bars",
    "before_and_after",
    "best_so_far",
    "descents",
    "distributions",
    "feature_maps",
    "filters",
    "gaps",
    "heatmap",
    "images",
    "layer_statistics",
    "learning_curves",
    "lines",
    "losses_and_rates",
    "picture_row",
    "range_tests",
    "receptive_field_diagram",
    "spreads",
]


def __getattr__(name: str) -> Any:
    # Matplotlib takes a while to import: the first figure pays for it, not the first cell.
    if name == "Figure":
        from course_utils.plots.figure import Figure

        return Figure
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class HistoryLike(Protocol):
    """What `learning_curves` reads of a training's history: one number per finished epoch."""

    epoch: Sequence[int]
    train_loss: Sequence[float]
    train_accuracy: Sequence[float]
    validation_loss: Sequence[float]
    validation_accuracy: Sequence[float]


def learning_curves(
    histories: HistoryLike | Mapping[str, HistoryLike],
    *,
    epochs: int | None = None,
    title: str = "",
    width: int = 640,
    height: int = 290,
    alt: str | None = None,
) -> Figure:
    """Loss and accuracy by epoch; training solid, validation dashed, the gap between them shaded.

    Args:
        histories: one history, or several by name. It may be of a training that still runs: no
            epoch, or one, is no trouble.
        epochs: how many there will be, so that the axis of a live picture stands still.
        alt: replaces the text made from names and number of epochs.
    """
    from course_utils.plots import figure as f

    named = dict(histories) if isinstance(histories, Mapping) else {"": histories}
    fig = f.Figure(width, height)
    panels = fig.subplots(1, 2)
    f.style(panels[0], "Loss", xlabel="epoch", whole="x")
    f.style(panels[1], "Accuracy", xlabel="epoch", whole="x", percent="y")
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=f.TITLE, fontweight="bold", color=f.INK)

    done = max((len(h.epoch) for h in named.values()), default=0)
    for axes, quantity in zip(panels, ("loss", "accuracy"), strict=True):
        ends = []
        for (name, history), colour in zip(named.items(), f.colours(len(named)), strict=True):
            curves = {}
            for part, dashes in (("train", "-"), ("validation", (0, (4, 2)))):
                y = finite(getattr(history, f"{part}_{quantity}"))
                x = np.asarray(history.epoch[: len(y)], dtype=float)
                marker = "o" if len(y) == 1 else None
                axes.plot(
                    x, y, color=colour, linestyle=dashes, linewidth=1.8, marker=marker, ms=4.5
                )
                curves[part] = (x, y)
                if part == "validation" or len(named) == 1:
                    word = name if len(named) > 1 else {"train": "training"}.get(part, part)
                    ends += [(last, word, colour) for last in y[np.isfinite(y)][-1:]]
            n = min(len(y) for _, y in curves.values())
            if n > 1 and len(named) == 1:
                pair = [y[:n] for _, y in curves.values()]
                axes.fill_between(x[:n], *pair, color=colour, alpha=0.13, linewidth=0)
        if axes is panels[0] and (diverged := _divergence(named)):
            # The right half is free: the curve that it speaks of has ended.
            where = {"transform": axes.transAxes, "ha": "right", "va": "center"}
            ink = f.darker(f.VERMILION)
            axes.text(0.98, 0.5, diverged, color=ink, fontsize=f.SMALL, **where)
        last = epochs or max((int(max(h.epoch)) for h in named.values() if len(h.epoch)), default=1)
        first = min((int(min(h.epoch)) for h in named.values() if len(h.epoch)), default=1)
        axes.set_xlim(min(first, last) - 0.02 * last, max(last, first + 1))
        if any(np.isfinite(line.get_ydata()).any() for line in axes.lines):
            low, high = axes.get_ylim()
            # Noise of a flat curve, or of a single epoch, must not fill the picture.
            margin = max(0.0, 0.05 - (high - low)) / 2
            axes.set_ylim(low - margin, high + margin)
            if axes is panels[1]:
                f.label_ends(axes, ends)
        else:
            axes.set_ylim(0, 1)
            if not done:
                middle = {"transform": axes.transAxes, "ha": "center", "fontsize": f.TEXT}
                axes.text(0.5, 0.5, "no epoch finished yet", color=f.MUTED, **middle)
    if len(named) > 1:
        for dashes, word in (("-", "training"), ((0, (4, 2)), "validation")):
            panels[0].plot([], [], color=f.MUTED, linestyle=dashes, linewidth=1.8, label=word)
        panels[0].legend(
            loc="upper right", frameon=False, fontsize=f.SMALL, labelcolor=f.MUTED, handlelength=2.4
        )

    names = f" of {listed(list(named))}" if "" not in named else ""
    span = f"over {done} epoch{'s' * (done != 1)}" if done else "before the first epoch is finished"
    fig.alt = alt or (
        f"Two charts: loss and accuracy{names} {span}, training solid, validation dashed."
    )
    return fig


def _divergence(named: Mapping[str, HistoryLike]) -> str:
    """Which of the trainings lost its numbers, and when; "" if none."""
    told = []
    for name, history in named.items():
        bad = np.flatnonzero(~np.isfinite(np.asarray(history.train_loss, dtype=float)))
        if len(bad):
            told.append(f"{name} not finite\nfrom epoch {history.epoch[bad[0]]} on".strip())
    return "\n".join(told)


class RunLike(Protocol):
    """What `gaps` reads of a run: both accuracies, as shares."""

    train_accuracy: float
    validation_accuracy: float


def gaps(
    runs: Mapping[str, RunLike],
    *,
    going: str | None = None,
    title: str = "Accuracy: ○ validation, ● training",
    width: int = 640,
    rows: int = 0,
    alt: str | None = None,
) -> Figure:
    """Training and validation accuracy of several runs, each a dumbbell, with the gap in points.

    Args:
        runs: by name, first one on top.
        going: name of a run that is still being trained; drawn paler.
        rows: how many to leave room for, so that a live picture keeps its size.
        alt: replaces the text made from the names.
    """
    from course_utils.plots import figure as f

    names = list(runs)
    count = max(len(names), rows, 1)
    fig = f.Figure(width, 56 + 26 * count)
    axes = f.style(fig.subplots(), title, grid="x", percent="x")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0, labelcolor=f.INK, labelsize=f.TEXT)
    axes.set_ylim(count - 0.4, -0.6)
    low = _lowest(runs)
    axes.set_xlim(low, 1.09)
    axes.set_xticks([t / 10 for t in range(10, round(10 * low) - 1, -1 if low >= 0.3 else -2)])
    for row, (name, run) in enumerate(runs.items()):
        ends = run.validation_accuracy, run.train_accuracy
        look = {"color": f.COLOURS[0], "alpha": 0.4 if name == going else 1.0}
        axes.plot(ends, (row, row), linewidth=2.2, solid_capstyle="butt", zorder=2, **look)
        axes.plot(ends[0], row, "o", ms=8, mfc="white", mew=2, zorder=3, **look)
        axes.plot(ends[1], row, "o", ms=8, zorder=3, **look)
        if not math.isfinite(sum(ends)):
            continue
        axes.annotate(
            f"{100 * (ends[1] - ends[0]):.0f}".replace("-", "−"),
            (max(ends), row),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            fontsize=f.TEXT,
            color=f.INK,
        )
    told = f" of {len(names)} runs: {listed(names)}" if names else ", no run yet"
    fig.alt = alt or f"Training and validation accuracy{told}."
    return fig


def _lowest(runs: Mapping[str, RunLike]) -> float:
    """Left end of the axis: a full tenth below all runs, and never above one half."""
    shares = [s for r in runs.values() for s in (r.train_accuracy, r.validation_accuracy)]
    lowest = min(filter(math.isfinite, shares), default=1)
    return min(0.5, math.floor(10 * lowest - 0.2) / 10)


def layer_statistics(
    spreads: SignalSpread | Sequence[SignalSpread] | Mapping[str, SignalSpread],
    *,
    highlight: str | None = None,
    limits: tuple[float, float] | None = None,
    title: str = "",
    width: int = 640,
    height: int = 320,
    alt: str | None = None,
) -> Figure:
    """Spread of activations (left) and of gradients (right) by layer, on one log scale.

    The grey band is a factor of ten around 1, the spread at the start: of the input on the left,
    of the gradient at the last layer on the right. Where numbers leave float32's range the line
    ends in ∞, where they are all alike in 0. The names stand beside the ends of the activations.

    Args:
        spreads: one, several, or several by name.
        highlight: name of the one to set off in blue; the others are thin and grey.
        limits: of the vertical axis, so that a live picture stands still; by default what is
            needed.
        alt: replaces the text made from names and verdicts.
    """
    from course_utils.plots import figure as f

    named = _name_spreads(spreads)
    fig = f.Figure(width, height)
    panels = fig.subplots(1, 2, sharey=True)
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=f.TITLE, fontweight="bold", color=f.INK)
    every = [v for s in named.values() for v in (*s.activation_std, *s.gradient_std)]
    magnitudes = [math.log10(v) for v in every if 0 < v < math.inf]
    low = math.floor(min(magnitudes, default=0)) - 0.5
    high = math.ceil(max(magnitudes, default=0)) + 0.5
    low, high = (math.log10(v) for v in limits) if limits else (min(low, -2.5), max(high, 2.5))
    depth = max(s.depth for s in named.values())
    columns = (
        ("Activations, forward →", "activation_std"),
        ("Gradients, ← backward", "gradient_std"),
    )
    for axes, (heading, attribute) in zip(panels, columns, strict=True):
        f.style(axes, heading, xlabel="layer", log="y", whole="x")
        axes.set_xlim(0.5, depth + 0.5)
        axes.set_ylim(10**low, 10**high)
        axes.axhspan(0.1, 10, color=f.PALE, alpha=0.6, linewidth=0, zorder=0)
        ends = []
        for (name, spread), colour in zip(named.items(), f.colours(len(named)), strict=True):
            look = {"linewidth": 1.8, "marker": "o", "ms": 3 if depth <= 30 else 0}
            if highlight is not None:
                chosen = name == highlight
                colour = f.BLUE if chosen else f.RULE
                dot = "o" if depth == 1 else None  # without neighbours there is no line
                look = look | {"zorder": 3} if chosen else {"linewidth": 1, "marker": dot, "ms": 3}
            y = np.array(getattr(spread, attribute))
            x = np.arange(1, len(y) + 1)
            shown = np.where(np.isfinite(y) & (y > 0), y, np.nan)
            axes.plot(x, shown, color=colour, **look)
            for where, edge, sign in ((~np.isfinite(y), high, "∞"), (y == 0, low, "0")):
                if where.any() and highlight in (None, name):
                    # The signal comes from the left, the gradient from the right.
                    at = x[where].min() if attribute == "activation_std" else x[where].max()
                    axes.text(
                        at,
                        10 ** (edge + (-0.02 if sign == "∞" else 0.02) * (high - low)),
                        sign,
                        color=f.darker(colour),
                        fontsize=f.TITLE + 2,
                        fontweight="bold",
                        ha="center",
                        va="top" if sign == "∞" else "bottom",
                    )
            ends.append((float(y[-1]), name, colour))
        if len(named) > 1 and axes is panels[0]:
            f.label_ends(axes, sorted(ends))
    told = " ".join(f"{name}: {s.verdict}" for name, s in named.items())
    fig.alt = alt or f"Spread of activations and gradients by layer, log scale. {told}"
    return fig


def _name_spreads(spreads: Any) -> dict[str, SignalSpread]:
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
    # A name holds what tells the spreads apart, and the scheme if nothing does.
    telling = [p for p in parts if len({getattr(s, p) for s in several}) > 1] or ["scheme"]
    named: dict[str, SignalSpread] = {}
    for spread in several:
        name = ", ".join(parts[p](spread) for p in telling)
        named[name if name not in named else f"{name} ({len(named) + 1})"] = spread
    return named
