"""The picture of the drawing panel: a bar for each class, and the maps of the first layer."""

from __future__ import annotations

import numpy as np

from course_utils.plots import ACCENT, ACCENT_2, canvas
from course_utils.widgets.drawing_panel.seen_drawing import SeenDrawing
from course_utils.widgets.seen import fitting, percent

WIDTH, _EDGE, _TOP = 700, 10, 30
_LINE, _START, _LONGEST = 27, 106, 130  # a bar's row, its left end, its length at 100 %
_MAPS, _SIDE = 330, 360  # left end of the maps, side of their square
_QUIET = 36
_PAGE = 84  # side of the drawing
_MOST = 16


def height_of(classes: int) -> int:
    """Return the height of the picture."""
    return _TOP + max(_SIDE, _LINE * classes + _PAGE) + 8


def draw(result: SeenDrawing) -> bytes:
    """Return the picture as a PNG, `WIDTH` pixels wide."""
    sheet = canvas.Canvas(WIDTH, height_of(len(result.probabilities)))
    sheet.text("what the network sees", _EDGE, 8, 12, bold=True)
    first = max(result.probabilities.values())
    for k, (name, share) in enumerate(result.probabilities.items()):
        y, is_first = _TOP + _LINE * k, share == first
        sheet.text(fitting(name, _START - _EDGE - 6, 12, is_first), _EDGE, y, 12, bold=is_first)
        length = max(1, round(_LONGEST * share))
        sheet.fill(_START, y - 1, length, 14, ACCENT if is_first else ACCENT_2)
        sheet.text(percent(share), _START + length + 5, y, 12)
    side = result.drawing.shape[-1]
    page = canvas.tile(canvas.grey_indices(result.drawing.numpy(), 0, 255), (_PAGE, _PAGE), 0)
    sheet.paste(page, _START, _TOP + _LINE * len(result.probabilities) + 4)
    sheet.text(f"in {side} × {side}", _EDGE, _TOP + _LINE * len(result.probabilities) + 22, 12)
    sheet.text("pixels", _EDGE, _TOP + _LINE * len(result.probabilities) + 38, 12)
    maps = result.maps[:_MOST]
    some = f"{len(maps)} of {len(result.maps)}" if len(maps) < len(result.maps) else f"{len(maps)}"
    sheet.text(
        f"{result.layer}: {some} maps, {maps.shape[1]} × {maps.shape[2]}", _MAPS, 8, 12, bold=True
    )
    tiles = canvas.tile(canvas.signed_indices(np.asarray(maps)), (_SIDE, _SIDE), 6)
    sheet.paste(tiles, _MAPS, _TOP)
    sheet.text("blue: negative, red: positive", _MAPS + 190, 9, 10, ink=_QUIET)
    return sheet.to_png()
