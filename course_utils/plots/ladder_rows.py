"""The ladder as one picture: a row for each rung, with its seeds, its mean and the interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from course_utils.core import CourseError
from course_utils.plots import figure as f
from course_utils.plots.charts import listed

if TYPE_CHECKING:
    from course_utils.metrics import Estimate

WIDTH = 700
_NEAR, _ROOM = 0.1, 0.16  # space beside the marks, as a part of their range


def ladder_rows(
    rungs: Mapping[str, tuple[Estimate, Sequence[float]]],
    own: Mapping[str, Sequence[float]] | None = None,
    *,
    chosen: str = "",
    title: str = "accuracy on the test pictures (%)",
    width: int = WIDTH,
) -> f.Figure:
    """Draw the rungs of a ladder, the first one on top.

    Grey circles are single seeds, a blue dot with a line is their mean with its interval, and an
    orange diamond is a training of the reader's own.

    Args:
        rungs: For each rung its mean accuracy with an interval, and the accuracy of each seed.
        own: Accuracies of the reader's own trainings, by rung.
        chosen: A rung whose row is shaded.
        width: In pixels.

    Raises:
        CourseError: If there is no rung, or `own` or `chosen` names one that is not there.
    """
    own = own or {}
    for name in (*own, *[chosen] * bool(chosen)):
        if name not in rungs:
            raise CourseError(f"There is no rung {name!r}: there are {', '.join(rungs) or 'none'}.")
    if not rungs:
        raise CourseError("There is no rung to draw: train one first.")
    names = list(rungs)
    fig = f.Figure(width, 92 + 25 * len(names))
    axes = f.style(fig.subplots(), title, grid="x")
    marks = [v for mean, seeds in rungs.values() for v in (mean.low, mean.high, *seeds)]
    marks += [value for values in own.values() for value in values]
    low, high = 100 * min(marks), 100 * max(marks)
    span = max(high - low, 1.0)
    axes.set_xlim(low - _NEAR * span, high + _ROOM * span)
    labels: set[str] = set()

    def draw(label: str, x: Sequence[float], row: float, form: str, **look: object) -> None:
        look = {"linestyle": "none", "zorder": 3, **look}
        axes.plot(
            100 * np.asarray(x, float),
            [row] * len(x),
            form,
            label="" if label in labels else label,
            **look,
        )
        labels.add(label)

    for row, (name, (mean, seeds)) in enumerate(rungs.items()):
        if name == chosen:
            axes.axhspan(row - 0.48, row + 0.48, color=f.PALE, linewidth=0, zorder=0)
        if len(seeds) > 1:
            look = {"ms": 7, "mfc": "none", "mec": f.MUTED, "mew": 1.2}
            draw("one seed", seeds, row, "o", **look)
        line = {"color": f.BLUE, "linewidth": 2, "solid_capstyle": "butt", "zorder": 2}
        axes.plot([100 * mean.low, 100 * mean.high], [row, row], **line)
        what = "mean and 95 % interval" if len(seeds) > 1 else "one seed and 95 % interval"
        draw(what, [mean.middle], row, "o", color=f.BLUE, ms=6, mew=0)
        look = {"color": f.ORANGE, "mec": f.INK, "mew": 0.8, "ms": 8, "zorder": 4}
        if name in own:
            draw("your training", own[name], row, "D", **look)
        right = max(mean.high, *seeds, *own.get(name, ()))
        f.write_beside(axes, f"{100 * mean.middle:.1f}", (100 * right, row), 8)
    f.name_rows(axes, [f"{number}  {name}" for number, name in enumerate(names, 1)])
    for label in axes.get_yticklabels():
        label.set_horizontalalignment("left")
    axes.tick_params(axis="y", pad=8 + 6.1 * max(map(len, names)) + 14)
    f.legend_below(fig, 3)
    fig.alt = f"Accuracy with its interval of the rungs {listed(names)}, the first one on top"
    fig.alt += f"; with trainings of your own of {listed(list(own))}." if own else "."
    return fig
