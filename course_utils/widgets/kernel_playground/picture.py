"""The picture of the kernel playground: a photograph, a kernel and the result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from course_utils.conv import is_signed
from course_utils.core import decimal_text, number_text
from course_utils.plots import canvas
from course_utils.widgets.first_layer import kernel_colours, seen_colours
from course_utils.widgets.kernel_playground.kernel_grid import SIZES

SIDE, _KERNEL = 256, 176  # pixels: the photograph's longer side, the kernel's picture
_EDGE, _GAP, _TOP = 8, 16, 26
WIDTH, HEIGHT = 2 * _EDGE + 2 * SIDE + 2 * _GAP + _KERNEL, _TOP + SIDE + 22


@dataclass(frozen=True)
class Filtered:
    """A picture filtered by a kernel.

    Attributes:
        picture: brightness, float32 (H, W), 0 to 255; or three colours (3, H, W), normalised.
        kernel: (k, k), or (3, k, k) with a grid for each colour.
        result: the cross-correlation of both, float32 (H, W); of three colours the sum.
        text: what the kernel does, in a sentence; "" for the reader's own.
        credit: author of the picture.
    """

    picture: Tensor
    kernel: Tensor
    result: Tensor
    text: str
    credit: str = ""

    @property
    def signed(self) -> bool:
        """True if 0 is the middle of the result's scale."""
        return self.in_colour or is_signed(self.kernel)

    @property
    def in_colour(self) -> bool:
        """True if the kernel has a grid for each colour."""
        return self.kernel.ndim == 3


def meaning_of_sum(kernel: Tensor) -> str:
    """Say what the sum of a kernel's numbers means for an even area of a picture."""
    total = kernel.sum().item()
    if is_signed(kernel):
        return "the numbers sum to 0: an even area becomes 0, only changes are visible"
    if abs(total - 1) < 1e-4:
        return "the numbers sum to 1: an even area keeps its brightness"
    if total < 0:
        return f"the numbers sum to {decimal_text(total)}, below 0: what is bright becomes dark"
    brighter = f"an even area becomes {total:.3g} times as bright"
    return f"the numbers sum to {decimal_text(total)}: {brighter}"


def draw(filtered: Filtered) -> bytes:
    """Draw picture, kernel and result side by side, as a PNG."""
    sheet = canvas.Canvas(WIDTH, HEIGHT)
    height = filtered.picture.shape[-2]
    sheet.text(f"photograph {' × '.join(map(str, filtered.picture.shape))}", _EDGE, 4)
    sheet.text(filtered.credit, _EDGE, _TOP + height + 4, 11)

    left = _EDGE + SIDE + _GAP
    sheet.text(f"kernel {' × '.join(map(str, filtered.kernel.shape))}", left, 4)
    if filtered.in_colour:
        _draw_slices(sheet, filtered.kernel, left)
    else:
        sheet.paste(canvas.grey_indices(filtered.picture.numpy(), 0, 255), _EDGE, _TOP)
        _draw_kernel(sheet, filtered.kernel, left)
    _draw_result(sheet, filtered, left + _KERNEL + _GAP)
    if not filtered.in_colour:
        return sheet.to_png()
    picture = canvas.coloured(sheet.pixels)
    picture.paste(Image.fromarray(seen_colours(filtered.picture)), (_EDGE, _TOP))
    kernel = Image.fromarray(kernel_colours(filtered.kernel[None])[0])
    picture.paste(kernel.resize((_PATCH, _PATCH), Image.Resampling.NEAREST), (left, _TOP))
    return canvas.to_png(picture)


def _draw_result(sheet: canvas.Canvas, filtered: Filtered, left: int) -> None:
    sheet.text("result", left, 4)
    result = filtered.result.numpy()
    if filtered.signed:
        limit = _full_colour(result)
        sheet.paste(canvas.signed_indices(result, limit), left, _TOP)
        legend = f"blue below 0, red above; full from ±{limit:.3g}"
    else:
        sheet.paste(canvas.grey_indices(result, 0, 255), left, _TOP)
        legend = "black 0 or less, white 255 or more"
    sheet.text(legend, left, _TOP + result.shape[0] + 4, 11)


_PATCH, _SLICE = 54, (58, 18)  # the kernel in its colours; a number of a slice


def _draw_slices(sheet: canvas.Canvas, kernel: Tensor, left: int) -> None:
    """Write the numbers of each slice, and leave room for the kernel in its colours."""
    for line, text in enumerate(("in its colours:", "grey is 0 in", "all three")):
        sheet.text(text, left + _PATCH + 8, _TOP + 16 * line, 11)
    grounds = canvas.signed_indices(kernel.numpy())
    top = _TOP + _PATCH + 6
    for name, ground, rows in zip(("red", "green", "blue"), grounds, kernel.tolist(), strict=True):
        sheet.text(name, left, top, 11)
        texts = [[decimal_text(value).replace("−", "–") for value in row] for row in rows]
        sheet.table(ground, texts, left, top + 14, _SLICE, 11)
        top += 14 + len(rows) * _SLICE[1] + 3


def _full_colour(result: np.ndarray) -> float:
    """Return the magnitude that one number in a hundred exceeds, for the full colour.

    With the largest magnitude all others would be pale. A ninth of the pixels is enough.
    """
    return float(np.percentile(np.abs(result[::3, ::3]), 99)) or float(np.abs(result).max())


def _draw_kernel(sheet: canvas.Canvas, kernel: Tensor, left: int) -> None:
    size = len(kernel)
    grounds = canvas.signed_indices(kernel.numpy())
    cell = _KERNEL // size
    rows = kernel.tolist() if size <= max(SIZES) else []
    texts = [[number_text(value).replace("−", "–") for value in row] for row in rows]
    sheet.table(grounds, texts, left, _TOP, (cell, cell), 13 if size <= 3 else 11)
    y = _TOP + size * cell + 10
    sheet.text(f"sum {decimal_text(kernel.sum().item())}", left, y, 12)
    sheet.text(f"largest {decimal_text(kernel.max().item())}", left, y + 17, 12)
