"""Fast pictures for live panels: arrays in, PNG bytes out, no Matplotlib.

A panel should follow a slider within a few milliseconds, so panels draw with NumPy and Pillow on
one *palette* canvas: one byte per pixel, with the colours of `PALETTE`.

    0 ... 126     greys from black to white (photographs, text)
    127 ... 253   signed values: blue (negative), white (zero, 190), vermilion (positive)
    254, 255      two accents: orange and blue

Blue and vermilion can be told apart with every common form of colour blindness.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

BLACK, INK, WHITE, ACCENT, ACCENT_2 = 0, 20, 126, 254, 255
ZERO, _HALF = 190, 63
HAIRLINE = 88  # a light grey
_FRAME = 76  # a grey that is seen beside white and beside every colour

CLASS_COLOURS = ("#0173b2", "#de8f05", "#000000", "#d55e00", "#029e73", "#cc78bc")
"""The colours of boxes by class, as PIL and Matplotlib read them; after the sixth they repeat."""

_BLUE, _MIDDLE, _VERMILION = (1, 84, 147), (255, 255, 255), (188, 62, 10)


def _make_palette() -> np.ndarray:
    greys = np.repeat(np.linspace(0, 255, 127)[:, None], 3, axis=1)
    ramp = np.linspace(0, 1, _HALF + 1)[:, None]
    # The power strengthens small values a little, so that a kernel's weak responses stay visible.
    towards = lambda colour: np.array(_MIDDLE) + (np.array(colour) - _MIDDLE) * ramp**0.8  # noqa: E731
    signed = np.concatenate([towards(_BLUE)[::-1], towards(_VERMILION)[1:]])
    accents = np.array([[222, 143, 5], [1, 115, 178]])
    return np.concatenate([greys, signed, accents]).round().astype(np.uint8)


PALETTE = _make_palette()


def grey_indices(
    values: np.ndarray, low: float | None = None, high: float | None = None
) -> np.ndarray:
    """Return `values` as grey palette indices: `low` black, `high` white (default: their range)."""
    values = np.asarray(values, dtype=np.float32)
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return (np.clip(scaled, 0, 1) * WHITE + 0.5).astype(np.uint8)


def signed_indices(values: np.ndarray, limit: float | None = None) -> np.ndarray:
    """Return `values` as palette indices: blue at `-limit`, white at 0, vermilion at `limit`.

    `limit` defaults to the largest magnitude. Zero is exactly white.
    """
    values = np.asarray(values, dtype=np.float32)
    limit = float(np.abs(values).max(initial=0.0)) if limit is None else limit
    scaled = values / limit if limit > 0 else np.zeros_like(values)
    return (np.rint(np.clip(scaled, -1, 1) * _HALF) + ZERO).astype(np.uint8)


def columns_for(count: int, tile_shape: tuple[int, int], box: tuple[int, int], gap: int = 2) -> int:
    """Return the number of columns that makes `count` tiles (height, width) largest in a box."""

    def zoom(columns: int) -> float:
        rows = -(-count // columns)
        width = (box[0] - gap * (columns - 1)) / (columns * tile_shape[1])
        height = (box[1] - gap * (rows - 1)) / (rows * tile_shape[0])
        return min(width, height)

    return max(range(1, count + 1), key=zoom)


def tile(
    indices: np.ndarray, box: tuple[int, int], gap: int = 2, ground: int = WHITE
) -> np.ndarray:
    """Arrange tiles in a grid, as large as `box` allows.

    Args:
        indices: palette indices, uint8, shape (K, H, W).
        box: (width, height) of the grid in pixels, at most.
        gap: pixels between tiles.
        ground: palette index between them.

    Returns:
        uint8 array, at most (height, width) of the box. Small tiles are enlarged by a whole factor,
        so that every pixel of a feature map stays a square; tiles that are too large are averaged
        down.
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
    sheet = np.full((rows, height + gap, columns, width + gap), ground, dtype=np.uint8)
    for k, one in enumerate(indices):
        sheet[k // columns, :height, k % columns, :width] = one
    sheet = sheet.reshape(rows * (height + gap), columns * (width + gap))
    return sheet[: -gap or None, : -gap or None]


NUMBER_SIZE, _FOOT = 11, 15
"""Of the letters below a numbered tile; the height of their line."""


def numbered_places(
    count: int, shape: tuple[int, int], box: tuple[int, int], gap: int = 6
) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Return the size of tiles in a grid with a number below each, and the places of all.

    Args:
        shape: (height, width) of a tile before it is enlarged by a whole factor, or made smaller.
        box: (width, height) of the grid in pixels, at most.
        gap: pixels between tiles; a frame of one pixel around each lies in it.

    Returns:
        (height, width) of a tile, and the (left, top) of each, from the corner of the box.
    """

    def room(columns: int) -> tuple[float, float]:
        rows = -(-count // columns)
        width = (box[0] - gap * (columns - 1)) / columns
        return (box[1] - gap * (rows - 1)) / rows - _FOOT, width

    def zoom(columns: int) -> float:
        return min(free / side for free, side in zip(room(columns), shape, strict=True))

    columns = max(range(1, count + 1), key=zoom)
    scale = int(zoom(columns)) if zoom(columns) >= 1 else zoom(columns)
    height, width = (max(1, int(side * scale)) for side in shape)
    across, down = width + gap, height + gap + _FOOT
    return (height, width), [(k % columns * across, k // columns * down) for k in range(count)]


def resized(indices: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return one tile (H, W), uint8, enlarged by whole factors or averaged down to `size`."""
    if size[0] >= len(indices):
        factors = [new // old for new, old in zip(size, indices.shape, strict=True)]
        return indices.repeat(factors[0], axis=0).repeat(factors[1], axis=1)
    return np.asarray(Image.fromarray(indices).resize(size[::-1], Image.Resampling.BOX))


def tile_colours(pictures: np.ndarray, box: tuple[int, int], gap: int = 2) -> Image.Image:
    """Arrange pictures in colour, uint8 (K, H, W, 3), as `tile` does, to paste beside a canvas."""
    return Image.merge(
        "RGB", [Image.fromarray(tile(pictures[..., c], box, gap, 255)) for c in range(3)]
    )


@functools.lru_cache(maxsize=32)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return Matplotlib's own DejaVu Sans: the same on every machine, and with ×, →, ⌊ and ∗."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


def text_width(text: str, size: int = 13, bold: bool = False) -> int:
    """Return the width in pixels of one line of text on a `Canvas`."""
    return _text_levels(text, size, bold).shape[1]


_LEVELS = 16  # steps of a letter's smooth edge


@functools.lru_cache(maxsize=2048)
def _text_levels(text: str, size: int, bold: bool) -> np.ndarray:
    """Return how much ink each pixel of a line has, 0 to 15; as high as the font's letters."""
    ascent, descent = font(size, bold).getmetrics()
    left, _, right, _ = font(size, bold).getbbox(text, anchor="ls")
    picture = Image.new("L", (max(1, right - left), ascent + descent), 0)
    ImageDraw.Draw(picture).text((-left, ascent), text, 255, font=font(size, bold), anchor="ls")
    return (np.asarray(picture).astype(np.int32) * (_LEVELS - 1) + 127) // 255


@functools.lru_cache(maxsize=16)
def _mixture(ink: int) -> np.ndarray:
    """Return the nearest palette index for each level of ink on each ground, uint8 (16, 256).

    With it a picture of one byte per pixel has smooth letters on a coloured ground.
    """
    colours = PALETTE.astype(np.int32)
    squares = (colours**2).sum(1)
    table = np.empty((_LEVELS, len(colours)), dtype=np.uint8)
    for level in range(_LEVELS):
        mixed = (colours[ink] * level + colours * (_LEVELS - 1 - level)) // (_LEVELS - 1)
        table[level] = (squares - 2 * mixed @ colours.T).argmin(1)
    table[0] = np.arange(len(colours))
    return table


@functools.cache
def ink_on(index: int) -> int:
    """Return black or white: what is easier to read on a ground of this palette index.

    The contrast ratio (WCAG 2.2) is at least 4.5 on every colour of the palette.
    """
    colour = PALETTE[index] / 255
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return WHITE if linear @ (0.2126, 0.7152, 0.0722) < 0.179 else BLACK


class Canvas:
    """A white palette picture of `width` × `height` pixels for tiles, tables and text."""

    def __init__(self, width: int, height: int):
        self.pixels = np.full((height, width), WHITE, dtype=np.uint8)

    def paste(self, indices: np.ndarray, left: int, top: int) -> None:
        """Paste palette indices (H, W) with their corner at (left, top); cut what is outside."""
        target = self._area(left, top, indices.shape[1], indices.shape[0])
        target[...] = indices[: target.shape[0], : target.shape[1]]

    def fill(self, left: int, top: int, width: int, height: int, index: int) -> None:
        """Fill a rectangle with one colour."""
        self._area(left, top, width, height)[...] = index

    def text(
        self, text: str, left: int, top: int, size: int = 13, *, ink: int = INK, bold: bool = False
    ) -> None:
        """Write one line over what is there; `top` is the top of the highest letters."""
        levels = _text_levels(text, size, bold)
        target = self._area(left, top, levels.shape[1], levels.shape[0])
        target[...] = _mixture(ink)[levels[: target.shape[0], : target.shape[1]], target]

    def centred(self, text: str, x: float, y: float, size: int = 13, **style: int | bool) -> None:
        """Write one line, its digits centred on (x, y)."""
        width = text_width(text, size, bool(style.get("bold", False)))
        ascent = font(size).getmetrics()[0]
        # A digit of DejaVu Sans is 0.73 em high and stands on the base line.
        self.text(text, round(x - width / 2), round(y - ascent + 0.365 * size), size, **style)

    def frame(
        self, left: int, top: int, width: int, height: int, index: int = ACCENT, thickness: int = 2
    ) -> None:
        """Draw the outline of a rectangle, inside the given bounds."""
        area = self._area(left, top, width, height)
        area[:thickness], area[-thickness:] = index, index
        area[:, :thickness], area[:, -thickness:] = index, index

    def table(
        self,
        grounds: np.ndarray,
        texts: Sequence[Sequence[str]],
        left: int,
        top: int,
        cell: tuple[int, int],
        size: int = 12,
    ) -> None:
        """Draw a table of numbers on coloured cells, with hairlines between them.

        Args:
            grounds: palette indices, uint8 (rows, columns).
            texts: of each cell; "" leaves it empty, and [] the whole table.
            cell: (width, height) of a cell in pixels.
            size: of the letters in pixels.
        """
        rows, columns = grounds.shape
        width, height = cell
        block = grounds.repeat(height, axis=0).repeat(width, axis=1)
        block[::height], block[:, ::width] = HAIRLINE, HAIRLINE
        self.paste(block, left, top)
        self.fill(left, top + rows * height, columns * width + 1, 1, HAIRLINE)
        self.fill(left + columns * width, top, 1, rows * height + 1, HAIRLINE)
        for i, line in enumerate(texts):
            for j, text in enumerate(line):
                if text:
                    x, y = left + (j + 0.5) * width + 0.5, top + (i + 0.5) * height + 0.5
                    self.centred(text, x, y, size, ink=ink_on(int(grounds[i, j])))

    def numbered(
        self, indices: np.ndarray, left: int, top: int, box: tuple[int, int]
    ) -> list[tuple[int, int]]:
        """Paste tiles, uint8 (K, H, W), each in a frame with its number below, from 0.

        Returns:
            The (left, top) of each tile, in the size of `numbered_places`.
        """
        (height, width), places = numbered_places(len(indices), indices.shape[1:], box)
        found = [(left + x, top + y) for x, y in places]
        for k, (one, (x, y)) in enumerate(zip(indices, found, strict=True)):
            self.fill(x - 1, y - 1, width + 2, height + 2, _FRAME)
            self.paste(resized(one, (height, width)), x, y)
            if width >= text_width(str(k), NUMBER_SIZE):
                self.centred(str(k), x + width / 2, y + height + _FOOT / 2 + 1, NUMBER_SIZE)
        return found

    def to_png(self) -> bytes:
        """Return the picture as PNG bytes."""
        return to_png(self.pixels)

    def _area(self, left: int, top: int, width: int, height: int) -> np.ndarray:
        return self.pixels[max(top, 0) : top + height, max(left, 0) : left + width]


def coloured(indices: np.ndarray) -> Image.Image:
    """Return palette indices, uint8 (H, W), as a picture to paste beside a `Figure`."""
    return Image.fromarray(PALETTE[indices])


def heading(picture: Image.Image, text: str, left: int, top: int) -> None:
    """Write one line on an RGB picture, in the style of an axes' title."""
    ImageDraw.Draw(picture).text((left, top), text, "#222222", font(14, bold=True))


def to_png(picture: np.ndarray | Image.Image) -> bytes:
    """Encode a picture or palette indices (H, W) as a PNG, fast rather than small."""
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(np.ascontiguousarray(picture))
        picture.putpalette(PALETTE.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
