"""The picture of the regularisation panel: augmented pictures above, all runs so far below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from course_utils import plots
from course_utils.plots import canvas
from course_utils.training import RegularisationRun

WIDTH, HEIGHT = 660, 504
ROWS = 8
_LEFT, _TOP, _RUNS = 70, 32, 222
_STRIP = (WIDTH - _LEFT - 2, 56)
_LONGEST = 40  # letters of a name


@dataclass(frozen=True)
class RegularisationView:
    """The pictures and the runs that the panel shows.

    Attributes:
        pictures: uint8 (3, N, C, H, W): unchanged, then as two epochs show them.
        augments: whether the settings change the pictures.
        runs: all so far, the first one first.
        going: the run that is still being trained, if any.
    """

    pictures: Tensor
    augments: bool
    runs: tuple[RegularisationRun, ...] = ()
    going: RegularisationRun | None = None


def draw(view: RegularisationView) -> bytes:
    """Draw the picture as a PNG, 660 × 504 pixels."""
    sheet = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(sheet)
    what = "other pictures in every epoch" if view.augments else "the same pictures in every epoch"
    canvas.heading(sheet, f"What the network is shown: {what}", 10, 6)
    top = _TOP
    for row, name in zip(view.pictures, ("original", "epoch 1", "epoch 2"), strict=True):
        strip = _strip(row.numpy())
        sheet.paste(strip, (_LEFT, top))
        middle = (_LEFT - 10, top + strip.height // 2)
        pen.text(middle, name, "#666666", canvas.font(13), anchor="rm")
        top += strip.height + 4
    _draw_runs(sheet, view)
    return canvas.to_png(sheet)


def _strip(row: np.ndarray) -> Image.Image:
    """Draw pictures (N, C, H, W) side by side."""
    if row.shape[1] != 3:
        tiles = canvas.tile(canvas.grey_indices(row[:, 0], 0, 255), _STRIP, gap=3)
        return canvas.coloured(tiles)
    height, width = row.shape[2:]
    zoom = max(1, _STRIP[1] // height)
    line = np.full((height * zoom, len(row), width * zoom + 4, 3), 255, dtype=np.uint8)
    for k, one in enumerate(np.moveaxis(row, 1, -1)):
        line[:, k, :-4] = one.repeat(zoom, axis=0).repeat(zoom, axis=1)
    return Image.fromarray(line.reshape(height * zoom, -1, 3)[:, : _STRIP[0]])


def _draw_runs(sheet: Image.Image, view: RegularisationView) -> None:
    runs = [*view.runs, *([view.going] if view.going else [])]
    title = f"Runs so far: {len(runs)}" if runs else "No run yet: press Train"
    named = {_name(number, run, runs): run for number, run in enumerate(runs, 1)}
    if len(runs) > ROWS:  # the first run stays, because the others are compared with it
        title += f", the first and the last {ROWS - 1}"
        shown = list(named)
        named = {name: named[name] for name in (shown[0], *shown[-(ROWS - 1) :])}
    going = list(named)[-1] if view.going else None
    if runs:
        title += "; numbers: gap in points"
    canvas.heading(sheet, title, 10, _RUNS)
    sheet.paste(plots.gaps(named, rows=ROWS, going=going, width=WIDTH).to_image(), (0, _RUNS + 18))


def _name(number: int, run: RegularisationRun, runs: Sequence[RegularisationRun]) -> str:
    """Return the number and the methods; also pictures and epochs if they differ between runs."""
    parts = []
    if len({other.settings.pictures for other in runs}) > 1:
        parts.append(f"{run.settings.pictures:,} pict.")
    if len({other.settings.epochs for other in runs}) > 1:
        parts.append(f"{run.settings.epochs} ep.")
    name = f"{number}: {', '.join([*parts, run.settings.label])}"
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1].rstrip(" +,") + "…"
