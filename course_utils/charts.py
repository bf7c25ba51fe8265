"""Charts quick enough to be redrawn while something runs: lines, dots and tiles, drawn with Pillow.

A Matplotlib figure takes 40 to 60 ms to draw, and for most of this time nothing else in the kernel
can run. A panel that shows a training while it happens redraws four times a second beside that
training, so it draws with this module, which needs a fifth of the time. For every other figure
there is `course_utils.plots`.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from course_utils import pictures

BLUE, ORANGE, GREEN, VERMILION = (1, 115, 178), (222, 143, 5), (2, 158, 115), (213, 94, 0)
PURPLE, BROWN, GREY, FAINT = (204, 120, 188), (202, 145, 97), (120, 120, 120), (208, 208, 208)
_INK, _GRID, _WHITE, _SHADE = (45, 45, 45), (232, 232, 232), (255, 255, 255), (226, 243, 236)
_FINE = 3  # lines are drawn this many times larger and averaged down: smooth edges

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """About so many round numbers (steps of 1, 2 or 5 times a power of ten) inside [low, high]."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def decade_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Powers of ten inside [low, high], thinned out evenly to about so many."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = max(1, -(-(last - first) // max(1, about)))
    return [10.0**k for k in range(-(-first // step) * step, last + 1, step)]


def _apart(limits: tuple[float, float]) -> tuple[float, float]:
    """The limits, moved apart if they coincide; the first may be the larger one."""
    return limits if limits[0] != limits[1] else (limits[0], limits[0] + 1)


def _superscript(power: int) -> str:
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


class Sheet:
    """A white picture of `width` × `height` pixels on which charts, tiles and text are placed."""

    def __init__(self, width: int, height: int):
        self.image = Image.new("RGB", (width, height), _WHITE)

    def text(
        self,
        text: str,
        left: int,
        top: int,
        size: int = 13,
        colour: Colour = _INK,
        anchor: str = "la",
    ) -> None:
        """Write one line; `anchor` as in Pillow: "la" begins, "ra" ends, "ma" centres at `left`."""
        ImageDraw.Draw(self.image).text(
            (left, top), text, fill=colour, font=pictures.font(size), anchor=anchor
        )

    def tiles(self, indices: np.ndarray, left: int, top: int) -> None:
        """Place palette indices (uint8, (H, W), see `course_utils.pictures`) at (left, top)."""
        self.image.paste(Image.fromarray(pictures.PALETTE[indices]), (left, top))

    def picture(self, pixels: np.ndarray, left: int, top: int) -> None:
        """Place a coloured picture (uint8, (H, W, 3)) at (left, top)."""
        self.image.paste(Image.fromarray(pixels), (left, top))

    def rectangle(self, left: int, top: int, width: int, height: int, colour: Colour) -> None:
        """Fill a rectangle."""
        self.image.paste(colour, (left, top, left + width, top + height))

    def chart(self, box: Box, **arguments) -> Chart:
        """Axes in `box` = (left, top, width, height); the other arguments are those of `Chart`."""
        return Chart(self, box, **arguments)

    def to_png(self) -> bytes:
        """The encoded picture; compression level 1, as speed matters more than bytes."""
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()


class Chart:
    """Axes on a sheet: add lines and dots, then call `done` once. What lies outside is cut off.

    Args:
        sheet: where it is drawn.
        box: (left, top, width, height) of the plotting area in pixels; numbers and title stand
            outside of it.
        x_limits, y_limits: values at the left and right, and at the lower and upper edge.
        title, x_label: texts above and below.
        logarithmic: the vertical axis counts in powers of ten (limits must be positive).
        percent: numbers on the vertical axis are shares of one.
        band: (low, high), a range of values to be shaded, such as the healthy ones.
        numbers: whether the vertical axis has numbers (the right one of a pair may do without).
        x_ticks, y_ticks: positions of the numbers; by default round ones.
    """

    def __init__(
        self,
        sheet: Sheet,
        box: Box,
        *,
        x_limits: tuple[float, float],
        y_limits: tuple[float, float],
        title: str = "",
        x_label: str = "",
        logarithmic: bool = False,
        percent: bool = False,
        band: tuple[float, float] | None = None,
        numbers: bool = True,
        x_ticks: Sequence[float] | None = None,
        y_ticks: Sequence[float] | None = None,
    ):
        self.sheet, self.box, self.numbers = sheet, box, numbers
        self.logarithmic, self.percent = logarithmic, percent
        self.x_limits, self.y_limits = _apart(x_limits), _apart(y_limits)
        left, top, width, height = box
        self._area = Image.new("RGB", (width * _FINE, height * _FINE), _WHITE)
        self._pen = ImageDraw.Draw(self._area)
        self._labels: list[tuple[str, float, float, Colour, str]] = []
        if band is not None:
            upper, lower = (self._xy(self.x_limits[0], value)[1] for value in reversed(band))
            self._pen.rectangle((0, upper, width * _FINE, lower), fill=_SHADE)
        if x_ticks is None:
            x_ticks = nice_ticks(*self.x_limits, max(2, width // 60))
        if y_ticks is None:
            ticks = decade_ticks if logarithmic else nice_ticks
            y_ticks = ticks(*self.y_limits, max(2, height // 32))
        self._grid(x_ticks, y_ticks)
        if title:
            sheet.text(title, left, top - 21, 13)
        if x_label:
            sheet.text(x_label, left + width, top + height + 19, 11, GREY, "ra")

    def _grid(self, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> None:
        left, top, width, height = self.box
        for value in x_ticks:
            x = self._xy(value, self.y_limits[0])[0]
            self._pen.line([(x, 0), (x, height * _FINE)], fill=_GRID, width=_FINE)
            self.sheet.text(f"{value:g}", left + round(x / _FINE), top + height + 5, 11, GREY, "ma")
        for value in y_ticks:
            y = self._xy(self.x_limits[0], value)[1]
            self._pen.line([(0, y), (width * _FINE, y)], fill=_GRID, width=_FINE)
            if self.numbers:
                self.sheet.text(
                    self._number(value), left - 6, top + round(y / _FINE), 11, GREY, "rm"
                )

    def _number(self, value: float) -> str:
        if self.percent:
            return f"{100 * value:g} %"
        return _superscript(round(math.log10(value))) if self.logarithmic else f"{value:g}"

    def _xy(self, x: float, y: float) -> tuple[float, float]:
        """Position in the enlarged plotting area."""
        low, high = self.y_limits
        if self.logarithmic:
            y, low, high = (math.log10(max(value, 1e-300)) for value in (y, low, high))
        width, height = self._area.size
        across = (x - self.x_limits[0]) / (self.x_limits[1] - self.x_limits[0])
        up = (y - low) / (high - low)
        return across * (width - 1), (1 - min(2.0, max(-1.0, up))) * (height - 1)

    def line(
        self, xs: Sequence[float], ys: Sequence[float], colour: Colour = BLUE, width: float = 2
    ) -> None:
        """A line through the points; it is broken where a value is not finite."""
        part: list[tuple[float, float]] = []
        for x, y in [*zip(xs, ys, strict=True), (math.nan, math.nan)]:
            if math.isfinite(x) and math.isfinite(y):
                part.append(self._xy(x, y))
                continue
            if len(part) > 1:
                self._pen.line(part, fill=colour, width=round(width * _FINE), joint="curve")
            elif part:
                self._dot(*part[0], colour, width / 2 + 0.5, filled=True)
            part = []

    def dots(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        colour: Colour = BLUE,
        radius: float = 4,
        filled: bool = True,
    ) -> None:
        """Discs, or rings when not `filled`."""
        for x, y in zip(xs, ys, strict=True):
            if math.isfinite(x) and math.isfinite(y):
                self._dot(*self._xy(x, y), colour, radius, filled)

    def _dot(self, x: float, y: float, colour: Colour, radius: float, filled: bool) -> None:
        r = radius * _FINE
        self._pen.ellipse(
            (x - r, y - r, x + r, y + r),
            fill=colour if filled else _WHITE,
            outline=colour,
            width=2 * _FINE,
        )

    def label(
        self, text: str, x: float, y: float, colour: Colour = _INK, anchor: str = "lm"
    ) -> None:
        """A short text at a point of the chart, in the colour of what it names."""
        self._labels.append((text, x, y, colour, anchor))

    def legend(self, entries: Sequence[tuple[str, Colour]]) -> None:
        """Name the lines in one row above the right end of the plotting area."""
        left, top, width, _ = self.box
        x = left + width
        for text, colour in reversed(entries):
            x -= round(pictures.font(11).getlength(text))
            self.sheet.text(text, x, top - 19, 11, GREY)
            x -= 16
            self.sheet.rectangle(x, top - 14, 12, 3, colour)
            x -= 10

    def side_labels(self, entries: Sequence[tuple[str, float, Colour]], right: bool = True) -> None:
        """Name lines beside the chart, at the height where they end, moved apart where they meet.

        Args:
            entries: (text, value at the edge, colour) of each line.
            right: beside the right edge, else beside the left one.
        """
        left, top, width, height = self.box
        places = []
        for text, value, colour in entries:
            value = self.y_limits[1] if math.isnan(value) else value
            down = self._xy(self.x_limits[0], value)[1] / _FINE
            outside = " ↑" if down < 0 else " ↓" if down > height else ""
            places.append([min(height, max(0, down)), text + outside, colour])
        places.sort(key=lambda place: place[0])
        for _ in range(2):  # down the page, then up again from its lower edge
            for before, place in itertools.pairwise(places):
                place[0] = max(place[0], before[0] + 13)
            for after, place in itertools.pairwise(reversed(places)):
                after[0] = min(after[0], height)
                place[0] = min(place[0], after[0] - 13)
        x, anchor = (left + width + 6, "lm") if right else (left - 6, "rm")
        for down, text, colour in places:
            self.sheet.text(text, x, top + round(down), 11, colour, anchor)

    def done(self) -> None:
        """Put the chart onto the sheet."""
        left, top, width, height = self.box
        self.sheet.image.paste(self._area.reduce(_FINE), (left, top))
        ImageDraw.Draw(self.sheet.image).line(
            [(left, top), (left, top + height), (left + width, top + height)], fill=GREY, width=1
        )
        for text, x, y, colour, anchor in self._labels:
            across, down = self._xy(x, y)
            self.sheet.text(
                text, left + round(across / _FINE), top + round(down / _FINE), 11, colour, anchor
            )
