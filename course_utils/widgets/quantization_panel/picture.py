"""The picture and the words of the quantization panel."""

from __future__ import annotations

import math

import numpy as np

from course_utils.core import MINUS
from course_utils.plots import ACCENT, ACCENT_2, canvas
from course_utils.widgets.quantization_panel.rounded_filter import RoundedFilter
from course_utils.widgets.seen import fitting

WIDTH, _EDGE = 700, 10
_BOX, _TOP = (216, 150), 52  # of each of the three grids of slices
_GAP = 16
_SLICES = 24  # that are shown, at most
_HISTOGRAM = 222  # top of the histogram's title
_PLOT = 120  # height of the bars
_ERRORS = _HISTOGRAM + _PLOT + 74
_ROW, _ROWS = 20, 10  # height of a layer's row, rows that are shown
_QUIET, _PALE, _LINE = 36, 108, 88  # palette greys
_DENSE = 3  # pixels: levels that are nearer are not drawn one by one


def height_of(layers: int) -> int:
    """Return the height of the picture for a network with so many layers."""
    return _ERRORS + 24 + _ROW * min(layers, _ROWS) + 6


def describe(result: RoundedFilter) -> str:
    """Return the result in a line."""
    of = "this filter" if result.per_channel else "the whole layer"
    error = result.errors[result.layer]
    return (
        f"{result.layer}, filter {result.number}, {result.bits} bits: {len(result.levels)} levels, "
        f"scale {result.scale:.3g} and zero point {result.zero_point} of {of}; no number of the "
        f"filter moves by more than {result.largest_move:.2g}; error of the layer's weight "
        f"{percent(error)}."
    )


def draw(result: RoundedFilter) -> bytes:
    """Return the picture as a PNG, `WIDTH` pixels wide."""
    sheet = canvas.Canvas(WIDTH, height_of(len(result.errors)))
    title = (
        f"{result.layer}, filter {result.number}: {result.bits} bits, {len(result.levels)} levels"
    )
    sheet.text(fitting(title, WIDTH - 2 * _EDGE, 14, True), _EDGE, 6, 14, bold=True)
    _draw_filter(sheet, result)
    _draw_histogram(sheet, result)
    _draw_errors(sheet, result)
    return sheet.to_png()


def percent(share: float) -> str:
    """Return "0.46 %", "5.3 %" or "31 %"."""
    digits = 2 if share < 0.01 else 1 if share < 0.1 else 0
    return f"{100 * share:.{digits}f} %"


def _draw_filter(sheet: canvas.Canvas, result: RoundedFilter) -> None:
    before, after = (one.numpy()[:_SLICES] for one in (result.before, result.after))
    before, after = _as_square(before), _as_square(after)
    limit = max(float(np.abs(before).max()), float(np.abs(after).max()))
    count = len(result.before)
    some = f" (first {_SLICES} of {count} slices)" if count > _SLICES else ""
    move = after - before
    shown = (
        (f"floats{some}", before, limit),
        ("rounded", after, limit),
        (f"the change, ±{result.scale / 2:.2g} at most", move, result.scale / 2),
    )
    for place, (text, values, largest) in enumerate(shown):
        left = _EDGE + place * (_BOX[0] + _GAP)
        sheet.text(fitting(text, _BOX[0] + 8, 12), left, _TOP - 20, 12)
        tiles = canvas.tile(canvas.signed_indices(values, largest), _BOX, gap=4, ground=_PALE)
        sheet.fill(left - 1, _TOP - 1, tiles.shape[1] + 2, tiles.shape[0] + 2, _LINE)
        sheet.paste(tiles, left, _TOP)


def _as_square(values: np.ndarray) -> np.ndarray:
    """Return the numbers of a linear layer's row as a grid, padded with zeros."""
    if values.shape[:2] != (1, 1) or values.shape[2] < 12:
        return values
    side = math.ceil(math.sqrt(values.shape[2]))
    grid = np.zeros(side * side, values.dtype)
    grid[: values.shape[2]] = values.ravel()
    return grid.reshape(1, side, side)


def _draw_histogram(sheet: canvas.Canvas, result: RoundedFilter) -> None:
    values, levels = result.sharing.numpy(), result.levels.numpy()
    of = "this filter" if result.per_channel else "the layer"
    text = (
        f"The {values.size:,} numbers of {of}, and the levels: scale {result.scale:.4g}, "
        f"zero point {result.zero_point}"
    )
    sheet.text(fitting(text, WIDTH - 2 * _EDGE, 12, True), _EDGE, _HISTOGRAM, 12, bold=True)
    top, width = _HISTOGRAM + 24, WIDTH - 4 * _EDGE
    low, high = min(levels[0], values.min()), max(levels[-1], values.max())
    span = float(high - low) or 1.0
    counts, _ = np.histogram(values, bins=width // 6, range=(low, low + span))
    most = max(int(counts.max()), 1)
    at = lambda value: 2 * _EDGE + round((float(value) - low) / span * (width - 1))  # noqa: E731
    spacing = result.scale / span * width
    if spacing >= _DENSE:
        for level in levels:
            sheet.fill(at(level), top, 1, _PLOT + 6, ACCENT_2)
    else:
        sheet.fill(at(levels[0]), top + _PLOT + 2, at(levels[-1]) - at(levels[0]), 4, ACCENT_2)
        text = f"{len(levels)} levels, {spacing:.1f} pixels apart"
        sheet.text(text, WIDTH - 2 * _EDGE - canvas.text_width(text, 11), top, 11, ink=_QUIET)
    for place, count in enumerate(counts):
        height = round(count / most * (_PLOT - 6))
        height = max(height, 2) if count else 0
        sheet.fill(2 * _EDGE + 6 * place, top + _PLOT - height, 5, height, ACCENT)
    for value in sorted({float(low), 0.0, float(high)}):
        if value and abs(at(value) - at(0)) < 30:
            continue
        sheet.centred(
            f"{value:.3g}".replace("-", MINUS), at(value), top + _PLOT + 16, 11, ink=_QUIET
        )


def _draw_errors(sheet: canvas.Canvas, result: RoundedFilter) -> None:
    text = f"Error of each layer's weight with {result.bits} bits (size of the change / size)"
    sheet.text(fitting(text, WIDTH - 2 * _EDGE, 12, True), _EDGE, _ERRORS, 12, bold=True)
    names = list(result.errors)
    if len(names) > _ROWS:  # a window of rows around the chosen layer
        start = min(max(names.index(result.layer) - _ROWS // 2, 0), len(names) - _ROWS)
        names = names[start : start + _ROWS]
    left, room = 190, WIDTH - 190 - 80
    for row, name in enumerate(names):
        y, error, chosen = _ERRORS + 24 + row * _ROW, result.errors[name], name == result.layer
        sheet.text(fitting(name, left - 24, 12, chosen), _EDGE, y, 12, bold=chosen)
        # A square root keeps 8 bits visible beside 2; the number says the rest.
        length = max(1, round(min(math.sqrt(error), 1.0) * room))
        sheet.fill(left, y + 2, length, 11, ACCENT_2 if chosen else ACCENT)
        sheet.text(percent(error), left + length + 6, y, 12, bold=chosen)
