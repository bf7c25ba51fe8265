"""The picture of the convolution stepper: one window of both operations, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from course_utils.conv import SlidingSteps, WindowStep
from course_utils.core import MINUS, decimal_text, number_text, sum_text
from course_utils.plots import Canvas, canvas

WIDTH, HEIGHT = 752, 480
_LEFT, _TOP, _GAP, _ROW = 8, 28, 14, 238
_NARROWEST = 200  # pixels for the picture and the text below it
_SMALL = 11  # pixels: the smallest letters
_TWO_LINES = 38  # a product's cell of this width has space for its factors, too
_HATCH = 110  # grey of the padding
# Wanted and smallest size of the cells of: picture, kernel, products, output
_WANTED, _LEAST = (34, 32, 48, 34), (18, 20, 24, 15)


@dataclass(frozen=True)
class View:
    """The same window of both operations.

    Attributes:
        correlation, convolution: all steps of each.
        position: of the window, counted row by row from 0.
    """

    correlation: SlidingSteps
    convolution: SlidingSteps
    position: int

    @property
    def step(self) -> WindowStep:
        return self.correlation[self.position]

    @property
    def flipped(self) -> WindowStep:
        return self.convolution[self.position]


def draw(view: View) -> bytes:
    """Draw the padded image with the window; on its right a row for each operation."""
    sheet = Canvas(WIDTH, HEIGHT)
    cells = _cell_sizes(view)
    block = max(view.correlation.padded.shape[1] * cells[0], _NARROWEST)
    right = _LEFT + block + _GAP + 10
    _draw_picture(sheet, view, cells[0])
    rows = ((view.correlation, view.step), (view.convolution, view.flipped))
    for k, (title, (steps, step)) in enumerate(zip(_titles(view), rows, strict=True)):
        _draw_row(sheet, title, steps, step, bool(k), (right, k * _ROW), cells)
    sheet.fill(right, _ROW - 4, WIDTH - right - 6, 1, canvas.HAIRLINE)
    return sheet.to_png()


def _titles(view: View) -> tuple[str, str]:
    alike = view.step.kernel.equal(view.flipped.kernel)
    return "kernel as it lies", f"kernel turned by 180°{', looks the same' * alike}"


def _cell_sizes(view: View) -> tuple[int, ...]:
    """Return the largest cells with which everything fits."""
    rows, columns = view.correlation.padded.shape
    taps, (out_rows, out_columns) = view.step.kernel.shape, view.correlation.output.shape
    legend = 12 + 4 * 19 + 14
    title = max(canvas.text_width(text, 13, bold=True) for text in _titles(view))
    share = 1.0
    while True:
        sizes = zip(_LEAST, _WANTED, strict=True)
        cells = tuple(round(least + share * (wanted - least)) for least, wanted in sizes)
        image, kernel, product, output = cells
        row = _width(taps[1], kernel, "kernel") + _width(taps[1], product, "window · kernel")
        row += _width(out_columns, output, f"output {out_rows} × {out_columns}")
        row = max(row + 4 * _GAP, title)
        width = max(columns * image, _NARROWEST) + row
        tables = max(taps[0] * max(kernel, _product_height(product)) + 40, out_rows * output)
        low = rows * image <= HEIGHT - _TOP - legend and tables <= _ROW - _TOP - 22
        if share <= 0 or (low and width + 2 * _GAP + 2 * _LEFT <= WIDTH):
            return cells
        share -= 0.04


def _width(columns: int, cell: int, label: str) -> int:
    """Return the width in pixels of a table or of its label, whichever is wider."""
    return max(columns * cell, canvas.text_width(label, _SMALL))


def _product_height(cell: int) -> int:
    return cell - 6 if cell >= _TWO_LINES else max(20, cell - 4)


def _draw_picture(sheet: Canvas, view: View, cell: int) -> None:
    steps, step = view.correlation, view.step
    (above, _), (before, _) = steps.padding
    height, width = steps.image.shape
    rows, columns = steps.padded.shape
    sheet.text(f"image {height} × {width}", _LEFT, 4, 13, bold=True)

    values = steps.padded.numpy()
    grounds = canvas.grey_indices(values, *_grey_range(steps.image))
    inside = np.zeros((rows, columns), dtype=bool)
    inside[above : above + height, before : before + width] = True
    grounds[~inside] = canvas.WHITE
    size = _letter_size(cell)
    sheet.table(grounds, _texts(values, cell, inside), _LEFT, _TOP, (cell, cell), size)
    for i, j in zip(*np.nonzero(~inside), strict=True):
        x, y = _LEFT + int(j) * cell, _TOP + int(i) * cell
        _hatch(sheet, x + 1, y + 1, cell - 1, cell - 1)
        sheet.centred("0", x + cell / 2 + 0.5, y + cell / 2 + 0.5, size, ink=60)
    if not inside.all():
        box = _LEFT + before * cell, _TOP + above * cell, width * cell + 1, height * cell + 1
        sheet.frame(*box, index=canvas.INK, thickness=2)

    spread = max(steps.dilation) > 1 and step.kernel.numel() > 1
    _draw_window(sheet, step, spread, cell)
    _draw_legend(sheet, spread, not inside.all(), _TOP + rows * cell + 12)


def _draw_window(sheet: Canvas, step: WindowStep, spread: bool, cell: int) -> None:
    """Draw a frame around the window, and with dilation a ring around each pixel that it reads."""
    x, y = _LEFT + step.cols[0] * cell, _TOP + step.rows[0] * cell
    span = step.cols[-1] - step.cols[0] + 1, step.rows[-1] - step.rows[0] + 1
    if spread:
        sheet.frame(x - 1, y - 1, span[0] * cell + 3, span[1] * cell + 3, thickness=2)
        for i in step.rows:
            for j in step.cols:
                sheet.frame(_LEFT + j * cell, _TOP + i * cell, cell + 1, cell + 1, thickness=3)
    else:
        sheet.frame(x - 2, y - 2, span[0] * cell + 5, span[1] * cell + 5, thickness=4)


def _draw_legend(sheet: Canvas, spread: bool, padded: bool, y: int) -> None:
    """Explain the marks below the image."""
    sheet.frame(_LEFT, y, 14, 14, thickness=3)
    sheet.text("window" + (", reads the ringed pixels" if spread else ""), _LEFT + 20, y, 12)
    if padded:
        y += 19
        _hatch(sheet, _LEFT, y, 14, 14)
        sheet.frame(_LEFT, y, 14, 14, index=canvas.HAIRLINE, thickness=1)
        sheet.text("padding with zeros", _LEFT + 20, y, 12)
    y += 19
    _mark(sheet, _LEFT + 3, y + 3, 1)
    sheet.text("the kernel's first number", _LEFT + 20, y, 12)
    y += 19
    sheet.text("blue below 0, red above", _LEFT + 20, y, 12)
    scale = canvas.signed_indices(np.array([-1.0, 1.0]), 1.5)
    sheet.fill(_LEFT, y + 1, 7, 13, int(scale[0]))
    sheet.fill(_LEFT + 7, y + 1, 7, 13, int(scale[1]))


def _draw_row(
    sheet: Canvas,
    title: str,
    steps: SlidingSteps,
    step: WindowStep,
    flipped: bool,
    corner: tuple[int, int],
    cells: tuple[int, ...],
) -> None:
    """Draw kernel -> products with their sum below -> output map."""
    left, top = corner
    _, kernel_cell, product_cell, output_cell = cells
    rows, columns = step.kernel.shape
    label, y = top + _TOP - 2, top + _TOP + 18
    sheet.text(title, left, top + 4, 13, bold=True)

    sheet.text("kernel", left, label, _SMALL)
    _draw_kernel(sheet, step.kernel, flipped, (left, y), kernel_cell)
    x = left + _width(columns, kernel_cell, "kernel") + 2 * _GAP
    sheet.centred("→", x - _GAP, y + max(rows * kernel_cell / 2, 24), 16)

    sheet.text("window · kernel", x, label, _SMALL)
    cell = product_cell, _product_height(product_cell)
    _draw_products(sheet, step, (x, y), cell)
    end = x + _width(columns, cell[0], "window · kernel")
    sheet.centred("Σ", end + _GAP, y + max(rows * cell[1] / 2, 24) - 15, 12)
    sheet.centred("→", end + _GAP, y + max(rows * cell[1] / 2, 24), 16)

    x = end + 2 * _GAP
    out_rows, out_columns = steps.output.shape
    sheet.text(f"output {out_rows} × {out_columns}", x, label, _SMALL)
    _draw_output(sheet, steps, step, (x, y), output_cell)

    y += max(rows * cell[1], rows * kernel_cell) + 8
    if top + _TOP + 18 + out_rows * output_cell < y:
        end = WIDTH - _LEFT - _GAP  # nothing to the right of the sum
    for line in _sum_lines(step, end + _GAP - left, max(1, (top + _ROW - 8 - y) // 16)):
        bold = line.startswith("=")
        sheet.text(line, left, y, 14 if bold else 12, bold=bold)
        y += 16


def _draw_kernel(
    sheet: Canvas, kernel: Tensor, flipped: bool, corner: tuple[int, int], cell: int
) -> None:
    """Draw the numbers, and a mark at the number that is the first before the turn."""
    left, top = corner
    rows, columns = kernel.shape
    numbers = kernel.numpy()
    grounds, texts = canvas.signed_indices(numbers), _texts(numbers, cell)
    sheet.table(grounds, texts, left, top, (cell, cell), _letter_size(cell))
    if flipped:
        _mark(sheet, left + columns * cell, top + rows * cell, -1)
    else:
        _mark(sheet, left + 1, top + 1, 1)


def _sum_lines(step: WindowStep, width: int, room: int) -> list[str]:
    """Return the products as a sum, and its value, in `room` lines; long sums without zeros."""
    values = step.products.flatten().tolist()
    if len(values) > 9:
        values = [value for value in values if value] or [0.0]
    words = sum_text([number_text(value) for value in values]).split(" ")
    lines = _lines(words, max(width, 150), 12)
    while len(lines) > max(room - 1, 1):
        words = [*words[: -2 if words[-1] == "…" else -1], "…"]
        lines = _lines(words, max(width, 150), 12)
    return [*lines, f"= {decimal_text(step.sum)}"]


def _draw_products(
    sheet: Canvas, step: WindowStep, corner: tuple[int, int], cell: tuple[int, int]
) -> None:
    """Draw each product below its factors in small letters; alone where the cell is narrow."""
    x, y = corner
    products = step.products.numpy()
    rows, columns = products.shape
    largest = float(step.patch.abs().max() * step.kernel.abs().max())
    grounds = canvas.signed_indices(products, largest)
    texts = _texts(products, cell[0])
    if cell[0] < _TWO_LINES:
        sheet.table(grounds, texts, x, y, cell, _letter_size(cell[0]))
    else:
        sheet.table(grounds, [], x, y, cell)
        for i, j in np.ndindex(rows, columns):
            ink = canvas.ink_on(int(grounds[i, j]))
            centre = x + (j + 0.5) * cell[0] + 0.5, y + (i + 0.5) * cell[1]
            both = step.patch[i, j].item(), step.kernel[i, j].item()
            factors = "·".join(map(number_text, both)).replace(MINUS, "–")
            if canvas.text_width(factors, _SMALL) <= cell[0] - 2:
                sheet.centred(factors, centre[0], centre[1] - 8, _SMALL, ink=ink)
            sheet.centred(texts[i][j], centre[0], centre[1] + 8, 13, ink=ink, bold=True)
    sheet.frame(x - 2, y - 2, columns * cell[0] + 5, rows * cell[1] + 5, thickness=3)


def _draw_output(
    sheet: Canvas, steps: SlidingSteps, step: WindowStep, corner: tuple[int, int], cell: int
) -> None:
    """Draw the outputs up to this window, and a frame of the window's colour around its own."""
    x, y = corner
    output = steps.output.numpy()
    done = np.arange(output.size).reshape(output.shape) <= step.index
    grounds = canvas.signed_indices(output)
    grounds[~done] = canvas.WHITE
    texts = _texts(output, cell, done, exact=False)
    sheet.table(grounds, texts, x, y, (cell, cell), _letter_size(cell))
    sheet.frame(x + step.col * cell - 1, y + step.row * cell - 1, cell + 3, cell + 3, thickness=3)


def _letter_size(cell: int) -> int:
    return 13 if cell >= 30 else 12 if cell >= 26 else _SMALL


def _texts(
    values: np.ndarray, cell: int, shown: np.ndarray | bool = True, exact: bool = True
) -> list[list[str]]:
    """Return the most exact text of each number that fits in a cell; "" where not `shown`."""
    width, size = cell - (2 if cell < 26 else 5), _letter_size(cell)

    def fitting(value: float) -> str:
        texts = [number_text(value)] if exact else []
        texts += [decimal_text(value, decimals) for decimals in (2, 1, 0)]
        texts = [text.replace(MINUS, "–") for text in texts]  # shorter, because a cell is narrow
        return next((text for text in texts if canvas.text_width(text, size) <= width), "…")

    shown = np.broadcast_to(shown, values.shape)
    both = zip(values.tolist(), shown.tolist(), strict=True)
    return [
        [fitting(value) if here else "" for value, here in zip(*row, strict=True)] for row in both
    ]


def _grey_range(image: Tensor) -> tuple[float, float]:
    """Return the numbers that are black and white: 0 is nearly black if none is negative."""
    high = max(image.max().item(), 1e-6)
    return min(-0.2 * high, image.min().item()), high


def _lines(words: list[str], width: int, size: int) -> list[str]:
    """Break words into lines of at most `width` pixels."""
    lines = [words[0]]
    for word in words[1:]:
        longer = f"{lines[-1]} {word}"
        if canvas.text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _hatch(sheet: Canvas, left: int, top: int, width: int, height: int) -> None:
    """Draw slanted lines, the mark of padding."""
    y, x = np.mgrid[:height, :width]
    sheet.paste(np.where((x + y) % 6 == 0, _HATCH, 122).astype(np.uint8), left, top)


def _mark(sheet: Canvas, x: int, y: int, direction: int) -> None:
    """Draw a small corner, up left (1) or down right (−1), at the kernel's first number."""
    for k in range(7):
        length = 7 - k
        left = x if direction > 0 else x - length
        sheet.fill(left, y + direction * k, length, 1, canvas.ACCENT_2)
