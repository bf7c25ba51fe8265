"""The picture of the regularisation panel: augmented pictures above, all runs so far below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from course_utils import charts, pictures
from course_utils.regularisation import RegularisationRun

WIDTH, HEIGHT = 660, 486
ROWS = 10
_PICTURES, _TOP, _LEFT = 68, 28, 236
_STRIP = (WIDTH - _PICTURES - 2, 56)
_RUNS, _ROW = 246, 20


@dataclass(frozen=True)
class RegularisationView:
    """What the panel shows.

    Attributes:
        pictures: uint8 (3, N, C, H, W): as they are, then as two epochs show them.
        augments: whether the settings change the pictures at all.
        runs: all so far, the first one first.
        going: the one that is still being trained, if any.
    """

    pictures: Tensor
    augments: bool
    runs: tuple[RegularisationRun, ...] = ()
    going: RegularisationRun | None = None


def draw(view: RegularisationView) -> bytes:
    """The picture as a PNG, 660 × 486 pixels."""
    sheet = charts.Sheet(WIDTH, HEIGHT)
    what = "other pictures in every epoch" if view.augments else "the same pictures in every epoch"
    sheet.text(f"What the network is shown: {what}", 10, 4)
    top = _TOP
    for row, name in zip(view.pictures, ("as it is", "epoch 1", "epoch 2"), strict=True):
        height = _draw_pictures(sheet, row, top)
        sheet.text(name, _PICTURES - 10, top + height // 2, 12, charts.GREY, "rm")
        top += height + 4
    _draw_runs(sheet, view)
    return sheet.to_png()


def _draw_pictures(sheet: charts.Sheet, row: Tensor, top: int) -> int:
    """One row of pictures (N, C, H, W); returns its height."""
    values = row.numpy()
    if values.shape[1] == 3:
        height, width = values.shape[2:]
        zoom = max(1, _STRIP[1] // height)
        line = np.full((height * zoom, len(values), width * zoom + 4, 3), 255, dtype=np.uint8)
        for k, one in enumerate(np.moveaxis(values, 1, -1)):
            line[:, k, :-4] = one.repeat(zoom, axis=0).repeat(zoom, axis=1)
        pixels = line.reshape(height * zoom, -1, 3)[:, : _STRIP[0]]
        sheet.picture(pixels, _PICTURES, top)
        return len(pixels)
    tiles = pictures.tile(pictures.grey_indices(values[:, 0], 0, 255), _STRIP, gap=3)
    sheet.tiles(tiles, _PICTURES, top)
    return len(tiles)


def _draw_runs(sheet: charts.Sheet, view: RegularisationView) -> None:
    runs = [*view.runs, *([view.going] if view.going else [])]
    if len(runs) > ROWS:  # the first one is what the others are compared with
        runs = [runs[0], *runs[-(ROWS - 1) :]]
    shares = [s for run in runs for s in _shares(run) if math.isfinite(s)]
    low = min(80, 10 * math.floor(10 * min(shares, default=0.7) - 0.3))
    height = _ROW * ROWS
    chart = sheet.chart(
        (_LEFT, _RUNS, WIDTH - _LEFT - 96, height),
        x_limits=(max(0, low), 100.5),
        y_limits=(ROWS, 0),
        x_ticks=range(max(0, low), 101, 10 if low < 60 else 5),
        y_ticks=(),
        x_label="accuracy in %",
    )
    chart.legend([("training", charts.ORANGE), ("validation", charts.BLUE)])
    number = len(view.runs) + bool(view.going)
    title = f"runs so far: {number}" if number else "no run yet: press Train"
    if number > len(runs):
        title += f", the first and the last {ROWS - 1}"
    sheet.text(title, 10, _RUNS - 21)
    sheet.text("gap", WIDTH - 12, _RUNS - 19, 11, charts.GREY, "ra")
    if view.runs:
        first = 100 * view.runs[0].validation_accuracy
        chart.line([first, first], [0, ROWS], (178, 211, 232), 1)
    for row, run in enumerate(runs):
        _draw_run(sheet, chart, row, run, _name(run, runs), done=run is not view.going)
    chart.done()


def _draw_run(
    sheet: charts.Sheet,
    chart: charts.Chart,
    row: int,
    run: RegularisationRun,
    name: str,
    done: bool,
) -> None:
    y, middle = row + 0.5, _RUNS + round((row + 0.5) * _ROW)
    name, size = _fit(name, _LEFT - 16)
    sheet.text(name, _LEFT - 8, middle, size, anchor="rm")
    train, validation = (100 * share for share in _shares(run))
    chart.line([train, validation], [y, y], charts.FAINT, 4)
    chart.dots([train], [y], charts.ORANGE, 5, filled=done)
    chart.dots([validation], [y], charts.BLUE, 5, filled=done)
    if math.isfinite(run.gap):
        text = f"{100 * run.gap:.1f} points" if done else "training …"
        sheet.text(text, WIDTH - 12, middle, 12, anchor="rm")


def _shares(run: RegularisationRun) -> tuple[float, float]:
    return run.train_accuracy, run.validation_accuracy


def _name(run: RegularisationRun, runs: Sequence[RegularisationRun]) -> str:
    """The run's methods, and its number of pictures or epochs where these are not all the same."""
    name = run.settings.label
    if len({other.settings.pictures for other in runs}) > 1:
        name = f"{run.settings.pictures:,}: {name}"
    if len({other.settings.epochs for other in runs}) > 1:
        name = f"{name}, {run.settings.epochs} ep."
    return name


def _fit(text: str, width: int) -> tuple[str, int]:
    """The text and a size in which it has room, shortened where even the smallest is too large."""
    for size in (12, 11, 10):
        if pictures.font(size).getlength(text) <= width:
            return text, size
    while pictures.font(size).getlength(text) > width:
        text = text.rstrip("…")[:-1] + "…"
    return text, size
