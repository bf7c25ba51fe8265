"""Fast pictures for live panels: arrays in, PNG bytes out, no Matplotlib.

A slider should answer within a few milliseconds, so panels draw with NumPy and Pillow on one *palette* canvas:
a byte per pixel, its meaning fixed by `PALETTE`.

    0 ... 126     greys from black to white (photographs, text)
    127 ... 253   signed values from blue (negative) through white (zero, 190) to vermilion (positive)
    254, 255      two accents: orange and blue

Blue and vermilion differ in lightness order and hue for every common form of colour blindness.
"""

from __future__ import annotations

import functools
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WHITE, ACCENT, ACCENT_2 = 126, 254, 255
ZERO, _HALF = 190, 63

_BLUE, _MIDDLE, _VERMILION = (1, 84, 147), (255, 255, 255), (188, 62, 10)


def _make_palette() -> np.ndarray:
    greys = np.repeat(np.linspace(0, 255, 127)[:, None], 3, axis=1)
    ramp = np.linspace(0, 1, _HALF + 1)[:, None]
    # The power brightens small values a little, so that weak answers of a kernel stay visible.
    towards = lambda colour: np.array(_MIDDLE) + (np.array(colour) - _MIDDLE) * ramp**0.8  # noqa: E731
    signed = np.concatenate([towards(_BLUE)[::-1], towards(_VERMILION)[1:]])
    accents = np.array([[222, 143, 5], [1, 115, 178]])
    return np.concatenate([greys, signed, accents]).round().astype(np.uint8)


PALETTE = _make_palette()


def grey_indices(values: np.ndarray, low: float | None = None, high: float | None = None) -> np.ndarray:
    """Palette indices of `values` shown as greys: `low` is black, `high` is white (default: minimum and maximum)."""
    values = np.asarray(values, dtype=np.float32)
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return (np.clip(scaled, 0, 1) * WHITE + 0.5).astype(np.uint8)


def signed_indices(values: np.ndarray, limit: float | None = None) -> np.ndarray:
    """Palette indices of `values` on the blue-white-vermilion scale from `-limit` to `limit`.

    `limit` defaults to the largest magnitude. Zero is exactly white.
    """
    values = np.asarray(values, dtype=np.float32)
    limit = float(np.abs(values).max(initial=0.0)) if limit is None else limit
    scaled = values / limit if limit > 0 else np.zeros_like(values)
    return (np.rint(np.clip(scaled, -1, 1) * _HALF) + ZERO).astype(np.uint8)


def columns_for(count: int, tile_shape: tuple[int, int], box: tuple[int, int], gap: int = 2) -> int:
    """Number of columns at which `count` tiles of (height, width) are largest inside `box` = (width, height)."""

    def zoom(columns: int) -> float:
        rows = -(-count // columns)
        width = (box[0] - gap * (columns - 1)) / (columns * tile_shape[1])
        height = (box[1] - gap * (rows - 1)) / (rows * tile_shape[0])
        return min(width, height)

    return max(range(1, count + 1), key=zoom)


def tile(indices: np.ndarray, box: tuple[int, int], gap: int = 2) -> np.ndarray:
    """Arrange tiles in a grid that fills `box` as well as it can.

    Args:
        indices: palette indices, uint8, shape (K, H, W).
        box: (width, height) in pixels that the grid may take.
        gap: white pixels between tiles.

    Returns:
        uint8 array, at most (height, width) of the box. Small tiles are enlarged by a whole factor, so that every
        pixel of a feature map stays a square; tiles larger than their place are averaged down.
    """
    count, height, width = indices.shape
    columns = columns_for(count, (height, width), box, gap)
    rows = -(-count // columns)
    room = (box[0] - gap * (columns - 1)) // columns, (box[1] - gap * (rows - 1)) // rows
    zoom = min(room[0] // width, room[1] // height)
    if zoom >= 1:
        indices = indices.repeat(zoom, axis=1).repeat(zoom, axis=2)
    else:
        scale = min(room[0] / width, room[1] / height)
        size = max(1, int(width * scale)), max(1, int(height * scale))
        shrink = lambda one: np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BOX))  # noqa: E731
        indices = np.stack([shrink(one) for one in indices])
    height, width = indices.shape[1:]
    sheet = np.full((rows, height + gap, columns, width + gap), WHITE, dtype=np.uint8)
    for k, one in enumerate(indices):
        sheet[k // columns, :height, k % columns, :width] = one
    return sheet.reshape(rows * (height + gap), columns * (width + gap))[: -gap or None, : -gap or None]


@functools.lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as Matplotlib ships it: the same on every machine, and it has ×, →, ⌊ and ∗ (Pillow's has not)."""
    import matplotlib

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(path), size)


@functools.lru_cache(maxsize=512)
def _text_indices(text: str, size: int) -> np.ndarray:
    left, top, right, bottom = font(size).getbbox(text, anchor="ls")
    picture = Image.new("L", (right - left + 2, bottom - top + 2), 255)
    ImageDraw.Draw(picture).text((1 - left, 1 - top), text, fill=40, font=font(size), anchor="ls")
    return grey_indices(np.asarray(picture), 0, 255)


class Canvas:
    """A white palette picture of `width` × `height` pixels on which tiles and text are placed."""

    def __init__(self, width: int, height: int):
        self.pixels = np.full((height, width), WHITE, dtype=np.uint8)

    def paste(self, indices: np.ndarray, left: int, top: int) -> None:
        """Place palette indices (H, W) with the upper left corner at (left, top); what is outside is cut."""
        target = self.pixels[top : top + indices.shape[0], left : left + indices.shape[1]]
        target[...] = indices[: target.shape[0], : target.shape[1]]

    def text(self, text: str, left: int, top: int, size: int = 13) -> None:
        """Write one line of dark text on the white ground."""
        self.paste(_text_indices(text, size), left, top)

    def frame(self, left: int, top: int, width: int, height: int, index: int = ACCENT, thickness: int = 2) -> None:
        """Draw the outline of a rectangle, inside the given bounds."""
        area = self.pixels[top : top + height, left : left + width]
        area[:thickness], area[-thickness:] = index, index
        area[:, :thickness], area[:, -thickness:] = index, index

    def to_png(self) -> bytes:
        return to_png(self.pixels)


def to_png(indices: np.ndarray) -> bytes:
    """Encode palette indices, uint8 (H, W), as a PNG with `PALETTE`; level 1: speed matters more than bytes."""
    picture = Image.fromarray(np.ascontiguousarray(indices))
    picture.putpalette(PALETTE.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
