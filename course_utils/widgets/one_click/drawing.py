"""The drawing of a network in the one-click lab: a block for each layer, changed ones marked."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from course_utils.core import shape_text
from course_utils.plots import ACCENT, ACCENT_2, BLACK, WHITE, canvas
from course_utils.widgets.one_click.edit_result import EditResult
from course_utils.widgets.one_click.measured_network import Block, MeasuredNetwork

WIDTH, EDGE = 680, 10
OUTLINE, PALE, QUIET = 44, 116, 36  # palette greys: outlines, inside of a block, small text
_ARROW, _INPUT = 80, 88
_LEGEND = 20  # its height

Extent = tuple[int, int]  # width and height of a block in pixels


@dataclass(frozen=True)
class Style:
    """The sizes in the drawing of a network, in pixels."""

    cell: tuple[int, int]  # width and height of a layer's cell
    tallest: int  # height of the highest block
    says: str  # below a block: "name" (and channels, size), "size" (and channels), "channels", ""
    most: int  # largest number of layers for this style, the input included


_STYLES = (
    Style((132, 110), 62, "name", 5),
    Style((82, 104), 56, "name", 8),
    Style((47, 82), 42, "size", 28),
    Style((33, 54), 30, "channels", 80),
    Style((20, 32), 22, "", 10**6),
)


@dataclass(frozen=True)
class Place:
    """The cell of a layer, in pixels from the upper left of the drawing."""

    layer: str
    left: int
    top: int
    width: int
    height: int


class Drawing:
    """The layers of a network in the order of their first calls, in one or more rows.

    The network before the edit decides where everything is drawn, below `top` in the picture.
    """

    def __init__(self, network: MeasuredNetwork, top: int):
        count = len(network.blocks) + 1
        self._style = style = next(style for style in _STYLES if count <= style.most)
        channels, *size = network.held_out.shape
        self._source = Block("", "input", channels, tuple(size), None)
        width, height = style.cell
        columns = (WIDTH - 2 * EDGE) // width
        names = ["", *(block.name for block in network.blocks)]
        self._cells = [
            Place(name, EDGE + k % columns * width, top + k // columns * height, width, height)
            for k, name in enumerate(names)
        ]
        self.places = tuple(self._cells[1:])
        self._rows_end = self._cells[-1].top + height
        self.height = self._rows_end + _LEGEND - top  # with the legend

    def draw(self, sheet: canvas.Canvas, result: EditResult, remark: str) -> None:
        """Draw the network after the edit; `remark` is to the right of the legend."""
        before, after = (
            {block.name: block for block in (self._source, *network.blocks)}
            for network in (result.before, result.after)
        )
        scale = _Scale(self._style, [*before.values(), *after.values()])
        row, left = None, 0  # top of the row, right end of the block before
        for cell in self._cells:
            old = before[cell.layer]
            new = after.get(cell.layer, old)
            middle, y = cell.left + cell.width // 2, cell.top + 4 + self._style.tallest // 2
            if cell.layer == result.layer:
                frame = cell.left + 1, cell.top - 1, cell.width - 2, cell.height - 2
                sheet.fill(*frame, WHITE)
                sheet.frame(*frame, ACCENT_2, 2)
            if cell.top == row and self._style.says:
                sheet.fill(left, y, middle - left, 1, _ARROW)
            was, now = scale.extent(old), scale.extent(new)
            _draw_block(sheet, cell, y, was, now, cell.layer in result.touched)
            row, left = cell.top, middle + max(was[0], now[0]) // 2 + 4
            if new.adapted:
                _adapter_mark(sheet, middle + now[0] // 2, y)
                left += 7
            self._write(sheet, cell, old, new)
        _draw_legend(sheet, result, remark, self._rows_end)

    def _write(self, sheet: canvas.Canvas, cell: Place, old: Block, new: Block) -> None:
        """Write name, channels and size below a block, if they fit; changes are bold."""
        x, y = cell.left + cell.width / 2, cell.top + self._style.tallest + 16
        size = shape_text(new.size) if new.size else ""
        channels, resized = new.channels != old.channels, new.size != old.size
        if self._style.says == "name":
            name = fitting(cell.layer or "picture", cell.width - 8, 11, bold=True)
            sheet.centred(name, x, y, 11, bold=True)
            text = f"{new.channels} × {size}" if size else f"{new.channels:,}"
            sheet.centred(text, x, y + 16, 11, **_ink(channels or resized))
        elif self._style.says:
            sheet.centred(f"{new.channels}", x, y - 4, 10, **_ink(channels))
            if size and self._style.says == "size":
                sheet.centred(fitting(size, cell.width - 4, 9), x, y + 9, 9, **_ink(resized))


class _Scale:
    """The size of a block: height from its maps, width from its channels, both as square roots."""

    def __init__(self, style: Style, blocks: list[Block]):
        self._style = style
        self._side = max(max(block.size) for block in blocks if block.size)
        self._channels = max(block.channels for block in blocks)
        self._widest = min(0.7 * style.cell[0], 1.1 * style.tallest)

    def extent(self, block: Block) -> Extent:
        share = math.sqrt(block.channels / self._channels)
        if block.size is None:  # a vector: a column of numbers
            height = self._style.tallest * (0.3 + 0.5 * share)
            return max(4, round(self._widest / 7)), max(6, round(height))
        width = round(self._widest * share)
        if block.kind == "input":
            width = 3 + 2 * min(block.channels, 3)
        height = self._style.tallest * math.sqrt(max(block.size) / self._side)
        return max(3, width), max(4, round(height))


def _draw_block(
    sheet: canvas.Canvas, cell: Place, y: int, was: Extent, now: Extent, touched: bool
) -> None:
    """Draw a block around the height `y`, and the outline that it had before."""
    x, (width, height) = cell.left + cell.width // 2, now
    left, top = x - width // 2, y - height // 2
    sheet.fill(left - 2, top - 1, width + 4, height + 2, WHITE)
    sheet.fill(left, top, width, height, BLACK if touched else OUTLINE)
    inside = max(height - 2, 1), max(width - 2, 1)
    plain = np.full(inside, PALE if cell.layer else _INPUT, dtype=np.uint8)
    sheet.paste(_hatched(*inside) if touched else plain, left + 1, top + 1)
    if was != now:
        _dotted(sheet, x - was[0] // 2, y - was[1] // 2, *was)


def fitting(text: str, width: int, size: int, bold: bool = False) -> str:
    """Return the text, its end cut off if it is wider than `width` pixels."""
    if canvas.text_width(text, size, bold) <= width:
        return text
    while text and canvas.text_width(text + "…", size, bold) > width:
        text = text[:-1]
    return text + "…"


def _hatched(height: int, width: int) -> np.ndarray:
    """Return orange stripes, which differ from grey even without colour."""
    rows, columns = np.indices((height, width))
    return np.where((rows + columns) % 6 < 3, ACCENT, WHITE).astype(np.uint8)


def _dotted(sheet: canvas.Canvas, left: int, top: int, width: int, height: int) -> None:
    """Draw the outline of a rectangle in dots."""
    for x in range(left, left + width, 3):
        sheet.fill(x, top, 2, 1, BLACK)
        sheet.fill(x, top + height - 1, 2, 1, BLACK)
    for y in range(top, top + height, 3):
        sheet.fill(left, y, 1, 2, BLACK)
        sheet.fill(left + width - 1, y, 1, 2, BLACK)


def _adapter_mark(sheet: canvas.Canvas, left: int, middle: int) -> None:
    sheet.fill(left + 1, middle - 5, 8, 11, WHITE)
    sheet.fill(left + 3, middle - 5, 5, 11, BLACK)


def _ink(changed: bool) -> dict[str, int | bool]:
    return {"ink": BLACK if changed else QUIET, "bold": changed}


def _draw_legend(sheet: canvas.Canvas, result: EditResult, remark: str, top: int) -> None:
    y = top + 6
    sheet.frame(EDGE, y, 15, 13, ACCENT_2, 2)
    x = _write_word(sheet, "chosen", EDGE + 20, y)
    sheet.fill(x, y + 1, 13, 11, BLACK)
    sheet.paste(_hatched(9, 11), x + 1, y + 2)
    x = _write_word(sheet, "changed", x + 18, y)
    _dotted(sheet, x, y + 1, 13, 11)
    x = _write_word(sheet, "as it was", x + 18, y)
    if any(block.adapted for block in result.after.blocks):
        _adapter_mark(sheet, x - 2, y + 6)
        x = _write_word(sheet, "adapter", x + 11, y)
    remark = fitting(remark, WIDTH - EDGE - x - 6, 11)
    sheet.text(remark, WIDTH - EDGE - canvas.text_width(remark, 11), y - 1, 11)


def _write_word(sheet: canvas.Canvas, text: str, left: int, y: int) -> int:
    """Write a word of the legend; return the left end of the next mark."""
    sheet.text(text, left, y - 1, 11, ink=QUIET)
    return left + canvas.text_width(text, 11) + 16
