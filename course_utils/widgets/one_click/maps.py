"""The maps in the lab's picture: all of a layer, one of them large, or the Grad-CAM of a class."""

from __future__ import annotations

import math

import numpy as np
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from course_utils.conv import ReceptiveField
from course_utils.core import shape_text
from course_utils.plots import WHITE, canvas
from course_utils.widgets.one_click.drawing import QUIET
from course_utils.widgets.one_click.edit_result import SIDES, EditResult
from course_utils.widgets.one_click.geometry import EDGE, WIDTH
from course_utils.widgets.seen import fitting, percent

MAPS, _GAP = 236, 16  # side of the square of feature maps, and between two of them
_MOST, _BETWEEN = 16, 3  # feature maps; pixels between two of them
_HAIRLINE = 96  # palette grey around the maps
_STRONGEST = 3  # places that are marked
_MARK = "#000000", "#ffffff"  # of the frames: outside and inside
_FOR = np.array((188, 62, 10))  # colour of what speaks for a class

Pasted = tuple[Image.Image, int, int]  # a picture in colour, left, top
Box = tuple[int, int, int, int]


def squares(top: int) -> tuple[Box, Box]:
    """Return where the two squares beside the picture are: left, top, width, height."""
    lefts = WIDTH - EDGE - 2 * MAPS - _GAP, WIDTH - EDGE - MAPS
    return tuple((left, top + 20, MAPS, MAPS) for left in lefts)


def map_places(result: EditResult, top: int) -> list[tuple[int, int, Box]]:
    """Return side (0 before, 1 after), number and place of each map of two grids."""
    if result.large_map or result.grad_cams:
        return []
    found = []
    most = _most(result)
    for side, (maps, (left, y, *_)) in enumerate(zip(result.maps, squares(top), strict=True)):
        grid = _grid(maps[:most].numpy(), 1.0)
        columns = canvas.columns_for(min(len(maps), most), maps.shape[1:], (MAPS, MAPS), _BETWEEN)
        rows = -(-min(len(maps), most) // columns)
        height, width = (
            (n + _BETWEEN) / k for n, k in zip(grid.shape, (rows, columns), strict=True)
        )
        for k in range(min(len(maps), most)):
            x, down = left + k % columns * width, y + k // columns * height
            cell = round(x), round(down), round(width) - _BETWEEN, round(height) - _BETWEEN
            found.append((side, k, cell))
    return found


def strongest(values: Tensor, count: int = _STRONGEST) -> list[tuple[int, int]]:
    """Return (row, column) of the largest magnitudes of a map (h, w), not beside each other."""
    left = values.abs().float().nan_to_num(0.0, 0.0, 0.0)
    apart = max(1, max(left.shape) // 8)
    found: list[tuple[int, int]] = []
    while len(found) < count and left.max() > 0:
        row, column = divmod(int(left.argmax()), left.shape[1])
        found.append((row, column))
        left[max(row - apart, 0) : row + apart + 1, max(column - apart, 0) : column + apart + 1] = 0
    return found


def seen_window(field: ReceptiveField, row: int, column: int) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of the input pixels that one number of a map sees."""
    pairs = (v if isinstance(v, tuple) else (v, v) for v in (field.start, field.jump, field.size))
    starts = [
        (start + place * jump, size)
        for place, start, jump, size in zip((row, column), *pairs, strict=True)
    ]
    (top, height), (left, width) = starts
    return left, top, left + width, top + height


def draw_maps(sheet: canvas.Canvas, result: EditResult, top: int) -> list[Pasted]:
    """Draw the input image, and beside it what is asked for of the layer's maps.

    Return the parts that have colours, to be pasted into the picture.
    """
    pasted = _draw_picture(sheet, result, top)
    if result.large_map:
        _draw_large(sheet, result, top)
    elif result.grad_cams:
        pasted += _draw_grad_cams(sheet, result, top)
    else:
        _draw_grids(sheet, result, top)
    return pasted


def _draw_picture(sheet: canvas.Canvas, result: EditResult, top: int) -> list[Pasted]:
    side = squares(top)[0][0] - EDGE - 24
    sheet.text("picture", EDGE, top, 12, bold=True)
    image = result.image.numpy()
    grey = canvas.grey_indices(image[: min(len(image), 3)].mean(0, keepdims=True))
    shown = canvas.tile(grey, (side, side), 0)
    pasted = []
    if result.before.held_out.data is None or result.large_map:
        pasted = [(_with_marks(_coloured(result, shown), result), EDGE, top + 20)]
    sheet.paste(shown, EDGE, top + 20)
    y = top + 26 + len(shown)
    sheet.text(fitting(result.label, side, 11), EDGE, y, 11)
    lines = ("blue −, white 0, red +", "one scale for both", "click on a map: large")
    if result.large_map:
        lines = ("frames: the strongest", "places, and what they", "see of the picture")
    elif result.grad_cams:
        lines = ("red: speaks for it", "each on its own scale")
    for line in lines:
        y += 17
        sheet.text(line, EDGE, y, 11, ink=QUIET)
    return pasted


def _coloured(result: EditResult, shown: np.ndarray) -> Image.Image:
    """Return the image in its colours, as large as it is `shown` in grey."""
    if result.before.held_out.data is not None:
        return canvas.coloured(shown)
    colours = Image.fromarray(result.before.held_out.colours(result.index).numpy())
    return colours.resize(shown.shape[::-1], Image.Resampling.BOX)


def _with_marks(picture: Image.Image, result: EditResult) -> Image.Image:
    """Frame the parts of the image that the strongest places of the large map see."""
    if result.large_map:
        side, number = result.large_map
        field = (result.before, result.after)[side].block(result.layer).receptive_field
        scale = [n / m for n, m in zip(picture.size, result.image.shape[:0:-1], strict=True)] * 2
        for place in strongest(result.maps[side][number]) if field else ():
            window = zip(seen_window(field, *place), scale, picture.size * 2, strict=True)
            left, top, right, bottom = (min(max(round(v * s), 0), n) for v, s, n in window)
            _frame(picture, (left, top, max(right, left + 4) - 1, max(bottom, top + 4) - 1))
    return picture


def _frame(picture: Image.Image, box: Box) -> None:
    """Draw a frame that is seen on every ground."""
    pen = ImageDraw.Draw(picture)
    pen.rectangle(box, outline=_MARK[0])
    left, top, right, bottom = box
    if right - left > 3 and bottom - top > 3:
        pen.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=_MARK[1])


# All maps


def _draw_grids(sheet: canvas.Canvas, result: EditResult, top: int) -> None:
    """Draw the layer's maps before and after on one scale."""
    limit = max(float(maps.abs().max()) if maps.numel() else 0.0 for maps in result.maps)
    most = _most(result)
    for title, maps, (left, y, *_) in zip(SIDES, result.maps, squares(top), strict=True):
        channels, height, width = maps.shape
        sheet.text(f"{title}: {channels} × {height}×{width}", left, top, 12, bold=True)
        if channels > most:
            _note(sheet, f"the first {most}", left, top)
        _paste_framed(sheet, _grid(maps[:most].numpy(), limit), left, y)


def _grid(maps: np.ndarray, limit: float) -> np.ndarray:
    return canvas.tile(canvas.signed_indices(maps, limit), (MAPS, MAPS), _BETWEEN)


def _most(result: EditResult) -> int:
    return map_count(max(n for maps in result.maps for n in maps.shape[1:]))


def map_count(side: int) -> int:
    """Return how many maps of this size fill their square best, enlarged by a whole factor."""

    def filled(count: int) -> int:
        columns = math.isqrt(count)
        room = (MAPS - _BETWEEN * (columns - 1)) // columns
        return columns * (room if side > room else room // side * side)

    return max((_MOST, 9), key=lambda count: filled(count) // 10)


def _note(sheet: canvas.Canvas, text: str, left: int, top: int) -> None:
    """Write a small note at the right end of a title."""
    sheet.text(text, left + MAPS - canvas.text_width(text, 10), top + 2, 10, ink=QUIET)


def _paste_framed(sheet: canvas.Canvas, indices: np.ndarray, left: int, top: int) -> None:
    height, width = indices.shape
    sheet.fill(left - 2, top - 2, width + 4, height + 4, _HAIRLINE)
    sheet.fill(left - 1, top - 1, width + 2, height + 2, WHITE)
    sheet.paste(indices, left, top)


# One map


def _draw_large(sheet: canvas.Canvas, result: EditResult, top: int) -> None:
    """Draw one map large, with its strongest places, and beside it its kernel."""
    side, number = result.large_map
    network, values = (result.before, result.after)[side], result.maps[side][number]
    (left, y, *_), (right, *_) = squares(top)
    title = f"map {number} {SIDES[side]}: {shape_text(values.shape)}"
    sheet.text(title, left, top, 12, bold=True)
    low, high = (float(end) for end in values.aminmax())
    _note(sheet, f"{low:.2g} to {high:.2g}".replace("-", "−"), left, top)
    limit = float(values.abs().max())
    indices = canvas.tile(canvas.signed_indices(values[None].numpy(), limit), (MAPS, MAPS), 0)
    _paste_framed(sheet, indices, left, y)
    scale = [n / m for n, m in zip(indices.shape, values.shape, strict=True)]
    for row, column in strongest(values):
        height, width = (max(round(s), 7) for s in scale)
        x = left + round((column + 0.5) * scale[1]) - width // 2
        middle = y + round((row + 0.5) * scale[0])
        sheet.frame(x, middle - height // 2, width, height, canvas.BLACK, 1)
        if width > 8:
            sheet.frame(x + 1, middle - height // 2 + 1, width - 2, height - 2, WHITE, 1)

    kernel = network.convs[result.layer].weight.detach()[number].float().cpu().numpy()
    channels, *size = kernel.shape
    sheet.text(f"its kernel: {channels} × {shape_text(size)}", right, top, 12, bold=True)
    most = _MOST if max(size) > 1 else 4 * _MOST
    if channels > most:
        _note(sheet, f"the first {most}", right, top)
    grounds = canvas.signed_indices(kernel, float(np.abs(kernel).max()))
    if channels == 1 and max(size) <= 5:  # room for its numbers
        cell = min(MAPS // max(size), 56)
        texts = [[f"{n:.2f}".replace("-", "−") for n in row] for row in kernel[0]]
        sheet.table(grounds[0], texts, right, y, (cell, cell), 12)
    else:
        _paste_framed(sheet, canvas.tile(grounds[:most], (MAPS, MAPS), _BETWEEN), right, y)


# Grad-CAM


def _draw_grad_cams(sheet: canvas.Canvas, result: EditResult, top: int) -> list[Pasted]:
    """Return the image before and after, red where it speaks for the class; write its name."""
    pasted = []
    networks = result.before, result.after
    name = result.before.classes[result.grad_cam]
    for title, network, cam, (left, y, *_) in zip(
        SIDES, networks, result.grad_cams, squares(top), strict=True
    ):
        share = percent(network.probability(result.index, result.grad_cam))
        none = "" if cam.max() > 0 else ": nothing speaks for it"
        text = fitting(f"{title}: {name} {share}{none}", MAPS, 12, bold=True)
        sheet.text(text, left, top, 12, bold=True)
        pasted.append((_with_heat(_grey(result), cam), left, y))
    return pasted


def _grey(result: EditResult) -> Image.Image:
    """Return the image in grey, as large as a square."""
    held_out = result.before.held_out
    if held_out.data is not None:
        grey = canvas.grey_indices(result.image.mean(0).numpy()[None])
        return canvas.coloured(canvas.tile(grey, (MAPS, MAPS), 0))
    photograph = Image.fromarray(held_out.colours(result.index).numpy()).convert("L")
    scale = MAPS / max(photograph.size)
    size = tuple(round(n * scale) for n in photograph.size)
    return photograph.resize(size, Image.Resampling.BICUBIC).convert("RGB")


def _with_heat(picture: Image.Image, cam: Tensor) -> Image.Image:
    """Return a grey picture that is red where the Grad-CAM is large."""
    size = picture.size[::-1]
    large = F.interpolate(cam[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    heat = (large / large.max().clamp(min=1e-30)).nan_to_num(0.0).numpy()[..., None]
    pixels = np.asarray(picture, dtype=np.float32)
    pixels = 0.7 * pixels + 0.3 * 255  # lighter, so that the red is seen on dark places
    mixed = pixels * (1 - 0.8 * heat) + _FOR * 0.8 * heat
    return Image.fromarray(mixed.round().astype(np.uint8))
