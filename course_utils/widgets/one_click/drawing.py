"""The drawing of a network in the one-click lab: its graph, with changed layers marked."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from course_utils.conv import Node
from course_utils.core import shape_text
from course_utils.plots import ACCENT, ACCENT_2, BLACK, WHITE, canvas
from course_utils.widgets.one_click.edit_result import EditResult
from course_utils.widgets.one_click.geometry import (
    EDGE,
    EVERY_OPERATION,
    ONCE,
    WIDTH,
    Place,
    Span,
    Style,
    geometry_of,
)
from course_utils.widgets.one_click.measured_network import Block, MeasuredNetwork
from course_utils.widgets.seen import fitting

OUTLINE, PALE, QUIET = 44, 116, 36  # palette greys: outlines, inside of a block, small text
_EDGE_INK, _MODULE_INK, _INPUT, _BAND = 70, 96, 88, 119
_LEGEND = 37  # its height
_LEAST = 6, 9  # width and height of a block, so that its colour is seen
_SHARED = "↻"

Extent = tuple[int, int]  # width and height of a block in pixels

_SYMBOLS = {
    "add": "+",
    "iadd": "+",
    "sub": "−",
    "isub": "−",
    "mul": "×",
    "imul": "×",
    "concat": "cat",
}
_SYMBOLS |= {"concatenate": "cat", "matmul": "@", "interpolate": "up", "Upsample": "up"}
_SYMBOLS |= {"mean": "avg", "max_pool2d": "max", "MaxPool2d": "max"}
_PARTS = {"avg": "avg", "norm": "norm", "pad": "pad"}  # of names of operations


class Drawing:
    """The graph of a network before an edit; the blocks show the network after it, too.

    Args:
        layer: the one that must be seen.
        top: of the drawing in the picture.
        drawing: what is drawn, one of `drawings`.
    """

    def __init__(self, network: MeasuredNetwork, layer: str, top: int, drawing: str = ONCE):
        graph = network.whole_graph if drawing == EVERY_OPERATION else network.graph
        self._geometry = geometry_of(graph, layer, top, drawing)
        self.places = self._geometry.places
        self.repeats = self._geometry.repeats
        calls = Counter(node.name for node in graph.nodes if node.weighted)
        self.calls = {name: count for name, count in calls.items() if count > 1}
        self._rows_end = top + self._geometry.height
        self.height = self._geometry.height + _LEGEND

    def draw(self, sheet: canvas.Canvas, result: EditResult, remark: str) -> None:
        """Draw the network after the edit; `remark` is to the right of the legend."""
        geometry, style = self._geometry, self._geometry.style
        before, after = (
            [_block(place.node, network) for place in self.places]
            for network in (result.before, result.after)
        )
        scale = _Scale(style, [block for block in before + after if block])
        for span in geometry.repeats:
            _draw_repeat(sheet, span)
        for span in geometry.modules:
            counted = any((s.top, s.right) == (span.top, span.right) for s in geometry.repeats)
            _draw_module(sheet, span, 30 if counted else 0)
        for left, top, width, height in geometry.lines:
            sheet.fill(left, top, width, height, _EDGE_INK)
        for place, old, new in zip(self.places, before, after, strict=True):
            x, y = place.left + place.width // 2, place.top + 4 + style.tallest // 2
            if old is None or new is None:
                # "ReLU" is a layer, "add" an operation in the forward of a module.
                touched = place.node.kind[0].isupper() and place.node.name in result.touched
                _draw_operation(sheet, place.node.kind, x, y, touched)
                continue
            if place.node.name == result.layer:
                frame = place.left + 1, place.top - 1, place.width - 2, place.height - 2
                sheet.frame(*frame, ACCENT_2, 2)
            was, now = scale.extent(old), scale.extent(new)
            _draw_block(sheet, place, (x, y), was, now, place.node.name in result.touched)
            if new.adapted:
                _adapter_mark(sheet, x + now[0] // 2, y)
            self._write(sheet, place, old, new)
        hint = "Click on a layer to choose it"
        if geometry.repeats:
            texts = dict.fromkeys(f"“{span.text}”" for span in geometry.repeats)
            hint += f", on {' or '.join(list(texts)[:1])} to see every block"
        hint += "."
        above, below = geometry.hidden_rows
        if above or below:
            remark = f"rows not drawn: {above} above, {below} below"
        _draw_legend(sheet, result, remark, self._rows_end)
        if self.calls:
            hint += f" {_SHARED}: a layer that is called again."
        sheet.text(hint, EDGE, self._rows_end + 22, 11, ink=QUIET)

    def says(self, place: Place, network: MeasuredNetwork) -> str:
        """Return what is drawn at a place: "Conv2d layer1.0.conv1: 64 × 32×32, BatchNorm2d"."""
        node, block = place.node, _block(place.node, network)
        numbers = shape_text(node.shape[1:])
        if block is not None:
            size = f" × {shape_text(block.size)}" if block.size else ""
            numbers = f"{block.channels:,}{size}"
        what = " ".join(filter(None, (node.kind, node.name)))
        called = f", called {self.calls[node.name]} times" if node.name in self.calls else ""
        return f"{what}: {', '.join([numbers, *node.folded])}{called}"

    def _write(self, sheet: canvas.Canvas, place: Place, old: Block, new: Block) -> None:
        """Write name, channels and size below a block, if they fit; changes are bold."""
        style = self._geometry.style
        x, y = place.left + place.width / 2, place.top + style.tallest + 16
        size = shape_text(new.size) if new.size else ""
        channels, resized = new.channels != old.channels, new.size != old.size
        shared = f"{_SHARED} " if place.node.name in self.calls else ""
        if style.says == "name":
            name = fitting(shared + (place.node.name or "picture"), place.width - 8, 11, bold=True)
            sheet.centred(name, x, y, 11, bold=True)
            text = f"{new.channels} × {size}" if size else f"{new.channels:,}"
            sheet.centred(text, x, y + 16, 11, **_ink(channels or resized))
        else:
            sheet.centred(f"{shared}{new.channels}", x, y - 4, 10, **_ink(channels))
            if size and style.says == "size":
                sheet.centred(fitting(size, place.width - 4, 10), x, y + 9, 10, **_ink(resized))


def _block(node: Node, network: MeasuredNetwork) -> Block | None:
    """Return what is drawn for a node: a block for a layer with weights, None for an operation."""
    if node.kind == "input":
        channels, *size = network.held_out.shape
        return Block("", "input", channels, tuple(size), None)
    if not node.weighted:
        return None
    known = network.blocks_by_name.get(node.name)
    if known is not None:
        return known
    size = node.shape[-2:] if len(node.shape) == 4 else None
    channels = node.shape[1] if size else node.shape[-1]
    return Block(node.name, node.kind, channels, size, None)


class _Scale:
    """The size of a block: height from its maps, width from its channels, both as square roots."""

    def __init__(self, style: Style, blocks: list[Block]):
        self._style = style
        self._side = max((max(block.size) for block in blocks if block.size), default=1)
        self._channels = max(block.channels for block in blocks)
        self._widest = min(0.7 * style.cell[0], 1.1 * style.tallest)

    def extent(self, block: Block) -> Extent:
        share = math.sqrt(block.channels / self._channels)
        if block.size is None:  # a vector: a column of numbers
            height = self._style.tallest * (0.3 + 0.5 * share)
            return max(_LEAST[0], round(self._widest / 7)), max(_LEAST[1], round(height))
        width = round(self._widest * share)
        if block.kind == "input":
            width = 3 + 2 * min(block.channels, 3)
        height = self._style.tallest * math.sqrt(max(block.size) / self._side)
        return max(_LEAST[0], width), max(_LEAST[1], round(height))


def _draw_module(sheet: canvas.Canvas, span: Span, taken: int) -> None:
    """Draw the name of a module above its nodes, over a line as long as they are.

    `taken` pixels at the right end are for the number of repeats.
    """
    left, width = span.left + 2, span.right - span.left - 4
    words = (fitting(text, width - taken, 11) for text in (span.text, span.text.rpartition(".")[2]))
    text = next((word for word in words if "…" not in word), "")
    if text or not span.single:
        sheet.fill(left, span.top + 15, width, 1, _MODULE_INK)
    sheet.text(text, left, span.top, 11, ink=QUIET)


def _draw_repeat(sheet: canvas.Canvas, span: Span) -> None:
    """Draw a band behind a block that repeats, and how often it comes."""
    width, height = span.right - span.left - 4, span.bottom - span.top
    sheet.fill(span.left + 2, span.top, width, height, _BAND)
    left = span.right - canvas.text_width(span.text, 11, True) - 5
    sheet.text(span.text, left, span.top, 11, bold=True)


def _draw_operation(sheet: canvas.Canvas, kind: str, x: int, y: int, touched: bool) -> None:
    """Draw an operation without weights as its symbol, or the first letters of its name."""
    part = next((_PARTS[part] for part in _PARTS if part in kind.lower()), kind[:4].lower())
    text = _SYMBOLS.get(kind, part)
    half = max(7, canvas.text_width(text, 10) // 2 + 2)
    sheet.fill(x - half, y - 7, 2 * half + 1, 15, WHITE)
    look = (ACCENT, 2) if touched else (OUTLINE, 1)
    sheet.frame(x - half, y - 7, 2 * half + 1, 15, *look)
    sheet.centred(text, x + 0.5, y, 10)


def _draw_block(
    sheet: canvas.Canvas,
    place: Place,
    middle: tuple[int, int],
    was: Extent,
    now: Extent,
    touched: bool,
) -> None:
    """Draw a block around its middle, and the outline that it had before."""
    (x, y), (width, height) = middle, now
    left, top = x - width // 2, y - height // 2
    sheet.fill(left, top, width, height, BLACK if touched else OUTLINE)
    inside = max(height - 2, 1), max(width - 2, 1)
    plain = np.full(inside, PALE if place.node.name else _INPUT, dtype=np.uint8)
    sheet.paste(_hatched(*inside) if touched else plain, left + 1, top + 1)
    if was != now:
        _dotted(sheet, x - was[0] // 2, y - was[1] // 2, *was)


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
