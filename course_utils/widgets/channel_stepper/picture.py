"""The picture of the channel stepper: a row for each channel, and the sum of all on the right."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch import Tensor

from course_utils.core import MINUS, decimal_text, number_text
from course_utils.plots import Canvas, canvas

if TYPE_CHECKING:
    from course_utils.conv import WindowStep
    from course_utils.widgets.channel_stepper.panel import View

WIDTH, HEIGHT = 752, 500
_LEFT, _TOP, _ROW = 8, 30, 156
_PIXEL, _WEIGHT, _PRODUCT, _OUTPUT = 20, 32, 36, 34  # sides of the cells
_BRIGHTEST = 9
_SHOWN = 90  # side of the image in colour


def draw(view: View, names: tuple[str, ...]) -> bytes:
    """Draw image, kernel and products of each channel; then their sum and the output map."""
    sheet = Canvas(WIDTH, HEIGHT)
    side = view.image.shape[-1] * _PIXEL
    places = _LEFT, _LEFT + side + 34, _LEFT + side + 34 + 3 * _WEIGHT + 34
    for number, (name, window) in enumerate(zip(names, view.windows, strict=True)):
        top = number * _ROW + _TOP
        sheet.text(f"{name} channel", places[0], top - 22, 13, bold=True)
        _draw_channel(sheet, view.image[number], window, (places[0], top))
        middle = top + 1.5 * _PRODUCT
        _write_above(sheet, "its grid of the kernel", places[1], top)
        _draw_signed(sheet, window.kernel, (places[1], top), _WEIGHT)
        sheet.centred("·", places[1] - 17, middle, 18)
        sheet.centred("→", places[2] - 17, middle, 16)
        _write_above(sheet, "products", places[2], top)
        limit = max(float(window.patch.abs().max() * window.kernel.abs().max()), 1.0)
        _draw_signed(sheet, window.products, (places[2], top), _PRODUCT, limit)
        sheet.frame(places[2] - 2, top - 2, 3 * _PRODUCT + 5, 3 * _PRODUCT + 5, thickness=3)
        end = places[2] + 3 * _PRODUCT + 14
        sheet.text(f"Σ = {decimal_text(window.sum)}", end, round(middle) - 8, 14, bold=True)
    _draw_sum(sheet, view, names, places[2] + 3 * _PRODUCT + 110)
    return _with_colours(sheet, view.image)


def _draw_channel(sheet: Canvas, channel: Tensor, window: WindowStep, corner: tuple) -> None:
    values = channel.numpy()
    grounds = canvas.grey_indices(values, -2, _BRIGHTEST)
    texts = [[number_text(value) for value in row] for row in values.tolist()]
    left, top = corner
    sheet.table(grounds, texts, left, top, (_PIXEL, _PIXEL), 12)
    x, y = left + window.cols[0] * _PIXEL, top + window.rows[0] * _PIXEL
    size = len(window.rows) * _PIXEL + 3
    sheet.frame(x - 1, y - 1, size, size, thickness=3)


def _draw_signed(
    sheet: Canvas, values: Tensor, corner: tuple[int, int], cell: int, limit: float | None = None
) -> None:
    numbers = values.numpy()
    texts = [[_short(value) for value in row] for row in numbers.tolist()]
    sheet.table(canvas.signed_indices(numbers, limit), texts, *corner, (cell, cell), 12)


def _draw_sum(sheet: Canvas, view: View, names: tuple[str, ...], left: int) -> None:
    """Write the sum line by line, and draw the output map up to this window below it."""
    sheet.text("sum of the channels", left, _TOP - 22, 13, bold=True)
    right, y = left + 150, _TOP
    terms = [*zip(names, [window.sum for window in view.windows], strict=True)]
    for name, value in [*terms, ("bias", view.steps.bias)]:
        _write_line(sheet, name, decimal_text(value), (left, right), y)
        y += 22
    sheet.fill(left, y, right - left, 1, canvas.INK)
    _write_line(sheet, "output number", decimal_text(view.value), (left, right), y + 6, bold=True)

    output = view.steps.output.numpy()
    rows, columns = output.shape
    top = y + 62
    sheet.text(f"output map {rows} × {columns}", left, top - 22, 13, bold=True)
    done = np.arange(output.size).reshape(output.shape) <= view.position
    grounds = canvas.signed_indices(output)
    grounds[~done] = canvas.WHITE
    texts = [
        [_short(value) if shown else "" for value, shown in zip(*row, strict=True)]
        for row in zip(output.tolist(), done.tolist(), strict=True)
    ]
    sheet.table(grounds, texts, left, top, (_OUTPUT, _OUTPUT), 12)
    row, column = divmod(view.position, columns)
    box = left + column * _OUTPUT - 1, top + row * _OUTPUT - 1
    sheet.frame(*box, _OUTPUT + 3, _OUTPUT + 3, thickness=3)
    sheet.text("the image in colour", left, HEIGHT - _SHOWN - 30, 13, bold=True)


def _write_line(
    sheet: Canvas, name: str, value: str, ends: tuple[int, int], y: int, bold: bool = False
) -> None:
    left, right = ends
    sheet.text(name, left, y, 13, bold=bold)
    sheet.text(value, right - canvas.text_width(value, 14, bold=bold), y, 14, bold=bold)


def _write_above(sheet: Canvas, text: str, left: int, top: int) -> None:
    sheet.text(text, left, top - 20, 11)


def _short(value: float) -> str:
    texts = (number_text(value), decimal_text(value, 1), decimal_text(value, 0))
    return next(text for text in texts if len(text) < 5 or text is texts[-1]).replace(MINUS, "–")


def _with_colours(sheet: Canvas, image: Tensor) -> bytes:
    """Return the sheet as PNG, with the image in colour at its lower right."""
    picture = canvas.coloured(sheet.pixels)  # the palette of the sheet has no such colours
    levels = (image / _BRIGHTEST * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    small = Image.fromarray(levels).resize((_SHOWN, _SHOWN), Image.Resampling.NEAREST)
    side = image.shape[-1] * _PIXEL
    left = _LEFT + side + 34 + 3 * _WEIGHT + 34 + 3 * _PRODUCT + 110
    picture.paste(small, (left, HEIGHT - _SHOWN - 8))
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()
