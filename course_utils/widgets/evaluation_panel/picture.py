"""The picture and the words of the evaluation panel: matrix, pictures of a cell, and measures."""

from __future__ import annotations

import numpy as np
from PIL import Image

from course_utils.metrics import Estimate
from course_utils.plots import ACCENT, ACCENT_2, BLACK, canvas
from course_utils.widgets.evaluation_panel.judged import Judged
from course_utils.widgets.overlay import Spot
from course_utils.widgets.seen import fitting

WIDTH, HEIGHT, _EDGE = 700, 560, 10
_MATRIX = (122, 62)  # left and top of the cells
_SIDE = 290  # of the matrix
_PICTURES, _BOX = (436, 62), 254  # left and top; width
MOST = 30  # pictures
_BARS = (122, 408, 360)  # left, top and width of 100 %
_ROW = 28
_QUIET, _LINE = 36, 96  # palette greys

# A click on a cell chooses it in the two lists.
_CLICK = (
    "const panel = this.closest('.course-panel');"
    " for (const [name, k] of [['true', {row}], ['predicted', {column}]]) {{"
    " const list = panel.querySelector('.course-' + name + ' select'); list.selectedIndex = k;"
    " list.dispatchEvent(new Event('change', {{bubbles: true}})); }}"
)


def summary(result: Judged, measured: bool = True) -> str:
    """Return the result in a line; without `measured` it has no numbers of the network."""
    thin = f", {share_text(result.share)} of {result.rare}" if result.share < 1 else ""
    head = f"{result.name}, {len(result.matrix.labels):,} pictures{thin}"
    if not measured:
        return f"{head}; {cell_text(result)}."
    count = len(result.shown)
    pictures = f"{count} picture{'s' * (count != 1)}"
    numbers = ", ".join(f"{name} {_percent(one)}" for name, one, _ in result.bars()[:2])
    return f"{head}: {numbers}; {cell_text(result)}: {pictures}."


def cell_text(result: Judged) -> str:
    """Return "Shirt taken for Coat", or "Shirt, recognised"."""
    true, predicted = result.cell
    return f"{true}, recognised" if true == predicted else f"{true} taken for {predicted}"


def share_text(share: float) -> str:
    """Return a share in per cent: "0.5 %"."""
    return f"{100 * share:g} %"


def spots(result: Judged) -> list[Spot]:
    """Return a button for each cell with pictures."""
    classes, pitch = result.matrix.classes, _pitch(result)
    found = []
    for row, column in np.argwhere(result.matrix.counts).tolist():
        label = f"{classes[row]} → {classes[column]}: {result.matrix.counts[row, column]}"
        pressed = (classes[row], classes[column]) == result.cell
        left, top = round(_MATRIX[0] + column * pitch), round(_MATRIX[1] + row * pitch)
        script = _CLICK.format(row=row, column=column)
        found.append(Spot(label, script, pressed, left, top, int(pitch), int(pitch)))
    return found


def draw(result: Judged) -> bytes:
    """Return the picture as a PNG, `WIDTH` pixels wide."""
    sheet = canvas.Canvas(WIDTH, HEIGHT)
    wrong = len(result.matrix.labels) - int(np.trace(result.matrix.counts))
    text = f"{result.name}: {wrong:,} mistakes in {len(result.matrix.labels):,} pictures"
    sheet.text(fitting(text, WIDTH - 2 * _EDGE, 14, True), _EDGE, 8, 14, bold=True)
    _draw_matrix(sheet, result)
    _draw_bars(sheet, result)
    return _draw_pictures(sheet, result)


def _pitch(result: Judged) -> float:
    return _SIDE / len(result.matrix.classes)


def _draw_matrix(sheet: canvas.Canvas, result: Judged) -> None:
    matrix, pitch = result.matrix, _pitch(result)
    left, top = _MATRIX
    strength = np.sqrt(np.nan_to_num(matrix.rates))  # so that a few per cent are visible
    sign = np.where(np.eye(len(matrix.classes), dtype=bool), -1.0, 1.0)
    grounds = canvas.signed_indices(sign * strength, 1.15)
    sheet.text("true class ↓", _EDGE, top - 34, 11, ink=_QUIET)
    sheet.text("predicted class →", left, top - 34, 11, ink=_QUIET)
    every = max(1, round(14 / pitch))
    for k, name in enumerate(matrix.classes):
        at = round((k + 0.5) * pitch)
        if k % every == 0:
            sheet.centred(f"{k}", left + at, top - 10, 11, bold=name == result.cell[1])
            bold = name == result.cell[0]
            words = fitting(f"{k}  {name}", left - _EDGE - 4, 11, bold)
            sheet.text(words, _EDGE, top + at - 7, 11, bold=bold)
    for (row, column), index in np.ndenumerate(grounds):
        x, y = round(left + column * pitch), round(top + row * pitch)
        side = round(left + (column + 1) * pitch) - x, round(top + (row + 1) * pitch) - y
        sheet.fill(x, y, *side, _LINE)
        sheet.fill(x, y, side[0] - 1, side[1] - 1, int(index))
        count = int(matrix.counts[row, column])
        if count and pitch >= 20:
            ink = canvas.ink_on(int(index))
            sheet.centred(f"{count}", x + pitch / 2, y + pitch / 2, 11, ink=ink)
        if (matrix.classes[row], matrix.classes[column]) == result.cell:
            sheet.frame(x - 1, y - 1, side[0] + 1, side[1] + 1, ACCENT, 3)


def _draw_pictures(sheet: canvas.Canvas, result: Judged) -> bytes:
    left, top = _PICTURES
    count = len(result.shown)
    sheet.text(fitting(cell_text(result), _BOX, 12, True), left, top - 34, 12, bold=True)
    some = f"{count} picture{'s' * (count != 1)}{f', the first {MOST}' * (count > MOST)}"
    sheet.text(some, left, top - 17, 11, ink=_QUIET)
    images = result.images[result.shown[:MOST]].numpy()
    if not count:
        return sheet.to_png()
    if images.shape[1] == 3:
        page = canvas.coloured(sheet.pixels)
        channels = [Image.fromarray(_tiles(one, count, 255)) for one in images.swapaxes(0, 1)]
        page.paste(Image.merge("RGB", channels), (left, top))
        return canvas.to_png(page)
    grey = canvas.grey_indices(images.mean(1), 0, 255)
    sheet.paste(_tiles(grey, count, canvas.WHITE), left, top)
    return sheet.to_png()


def _tiles(pictures: np.ndarray, count: int, ground: int) -> np.ndarray:
    """Return the pictures (K, H, W) in a grid; a few are not enlarged to fill the whole box."""
    columns = 5 if count > 12 else 4 if count > 6 else 3
    pitch = _BOX // columns
    side = pitch - 3
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * pitch, columns * pitch), ground, dtype=np.uint8)
    scale = side / max(pictures.shape[1:])
    height, width = (max(1, round(scale * length)) for length in pictures.shape[1:])
    for k, one in enumerate(pictures):
        picture = np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BOX))
        y, x = k // columns * pitch, k % columns * pitch
        sheet[y : y + height, x : x + width] = picture
    return sheet


def _draw_bars(sheet: canvas.Canvas, result: Judged) -> None:
    left, top, width = _BARS
    title = f"with {share_text(result.share)} of {result.rare}"
    sheet.text(fitting(title, 230, 12, True), _EDGE, top - 26, 12, bold=True)
    names = (260, ACCENT_2, "this network"), (376, ACCENT, f"if it never says {result.rare}")
    for x, colour, words in names:
        sheet.fill(x, top - 22, 10, 10, colour)
        sheet.text(fitting(words, WIDTH - x - 20, 11), x + 15, top - 24, 11)
    for row, (name, one, lazy) in enumerate(result.bars()):
        y = top + row * _ROW
        words = name if row < 2 else f"{result.rare}: {name}"
        sheet.text(fitting(words, left - _EDGE - 4, 11), _EDGE, y + 4, 11)
        for k, (value, colour) in enumerate(((one, ACCENT_2), (lazy, ACCENT))):
            _draw_bar(sheet, value, left, y + 12 * k, width, colour)
        numbers = f"{_percent(one)}  ({_percent(one.low)} to {_percent(one.high)})"
        sheet.text(numbers, left + width + 10, y - 2, 11, bold=True)
        sheet.text(_percent(lazy), left + width + 10, y + 11, 11, ink=_QUIET)
    bottom = top + 5 * _ROW
    for share in (0, 0.5, 1):
        x = left + round(share * width)
        sheet.fill(x, top - 2, 1, bottom - top, _LINE)


def _draw_bar(
    sheet: canvas.Canvas, value: Estimate, left: int, top: int, width: int, colour: int
) -> None:
    sheet.fill(left, top, round(width * value.middle), 10, colour)
    low, high = (left + round(width * end) for end in value.ends)
    sheet.fill(low, top + 4, max(1, high - low), 2, BLACK)


def _percent(value: Estimate | float) -> str:
    share = value.middle if isinstance(value, Estimate) else value
    return f"{100 * share:.0f} %"
