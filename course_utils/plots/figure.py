"""`Figure`, the figure of the course with its alt text, and the style of its axes.

`Figure` never touches `matplotlib.pyplot` or `rcParams`: it can be made and drawn in any thread,
nothing is left open, and a reader's own Matplotlib settings do not change. The functions here
style axes; the other modules of `course_utils.plots` fill them with results.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, ListedColormap, to_rgb
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, NullFormatter, NullLocator
from PIL import Image

from course_utils.core import MINUS, power_of_ten
from course_utils.plots.canvas import PALETTE, ZERO

# seaborn's "colorblind" palette without its pink and yellow, which are too pale for lines on white.
COLOURS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#949494", "#56b4e9")
BLUE, ORANGE, GREEN, VERMILION = COLOURS[:4]
INK, MUTED, RULE, PALE, PAPER = "#222222", "#666666", "#b0b0b0", "#e8e8e8", "#ffffff"
TITLE, TEXT, SMALL = 11, 10, 9  # points
DPI = 100
MARGIN = 10  # pixels around the pictures of a `Sheet`


class Figure(matplotlib.figure.Figure):
    """A Matplotlib figure with a text for readers who cannot see it.

    As the last value of a cell it is shown as a PNG with an opaque light background, readable in a
    light and in a dark theme, with `alt` as its plain text.

    Args:
        width, height: pixels.

    Attributes:
        alt: one or two sentences that say what the figure shows.
    """

    def __init__(self, width: int = 640, height: int = 300, **kwargs: Any):
        kwargs.setdefault("layout", "constrained")
        super().__init__(
            figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=PAPER, edgecolor=PAPER, **kwargs
        )
        self.alt = ""
        if kwargs["layout"] == "constrained":
            # Inches: space around the outermost words.
            self.get_layout_engine().set(w_pad=0.09, h_pad=0.08)

    def to_png(self, width: int | None = None, *, compress_level: int = 6) -> bytes:
        """Return the figure as PNG bytes, `width` pixels wide (default: its own width).

        The same figure returns the same bytes, because they hold no date and no software version.
        """
        buffer = io.BytesIO()
        self.savefig(
            buffer,
            format="png",
            dpi=DPI if width is None else width / self.get_figwidth(),
            facecolor=PAPER,
            bbox_inches=None,
            metadata={"Software": None},
            pil_kwargs={"compress_level": compress_level},
        )
        return buffer.getvalue()

    def to_image(self) -> Image.Image:
        """Return the figure as pixels, to be pasted beside other pictures."""
        canvas = FigureCanvasAgg(self)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        data = {
            "image/png": base64.b64encode(self.to_png(compress_level=9)).decode("ascii"),
            "text/plain": self.alt or "A figure without a description.",
        }
        # nbconvert writes it as the picture's alt text; JupyterLab 4 does not read it yet.
        return data, {"image/png": {"alt": data["text/plain"]}}


def signed_map() -> Colormap:
    """Return the panels' colours: blue (negative), white (zero), vermilion (positive)."""
    return ListedColormap(PALETTE[127:254] / 255, name="signed")


def positive_map() -> Colormap:
    """Return the upper half of `signed_map`: white (zero) to vermilion."""
    return ListedColormap(PALETTE[ZERO:254] / 255, name="positive")


def colours(count: int) -> list[str]:
    """Return `count` colours for lines; after the eighth they repeat."""
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def darker(colour: str) -> tuple[float, float, float]:
    """Return the colour, made dark enough for words on white."""
    rgb = np.array(to_rgb(colour))
    luminance = float(rgb @ (0.2126, 0.7152, 0.0722))
    return tuple(rgb * min(1.0, 0.36 / luminance))


def _log_label(value: float, _position: int | None = None) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    if -2 <= exponent <= 2:
        return f"{value:g}"
    return power_of_ten(exponent, round(value / 10.0**exponent))


def plain_number(value: float, _position: int | None = None) -> str:
    """Write a tick's number: plain from 0.00001 to 100,000, else as a power of ten."""
    if not 0.99e-5 < value < 1.01e5:
        return _log_label(value)
    return f"{value:,.6f}".rstrip("0").rstrip(".")


def plain_numbers(axes: Axes, log: str) -> None:
    """Write plain numbers instead of powers of ten at the log axes "x", "y" or "xy"."""
    for name in log:
        getattr(axes, f"{name}axis").set_major_formatter(FuncFormatter(plain_number))


class _Decades(Locator):
    """Ticks at every power of ten or at every second, third, ...; at 1, 2 and 5 if few fit."""

    def __call__(self) -> list[float]:
        return self.tick_values(*self.axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        low, high = sorted((vmin, vmax))
        if low <= 0:
            return []
        first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
        step = next(s for s in (1, 2, 3, 5, 10, 20, 50, 100, 1000) if (last - first) / s <= 7)
        exponents = [e for e in range(first, last + 1) if e % step == 0]
        if len(exponents) > 1:
            return [10.0**e for e in exponents]
        finer = (d * 10.0**e for e in range(first - 1, last + 1) for d in (1, 2, 5))
        return [v for v in finer if low <= v <= high]


def style(
    axes: Axes,
    title: str = "",
    *,
    xlabel: str = "",
    log: str = "",
    grid: str = "y",
    whole: str = "",
    percent: str = "",
) -> Axes:
    """Style axes in the course's look, and return them.

    The title stands at the upper left and usually names the vertical axis, so that nobody has to
    read sideways. `log`, `grid`, `whole` (ticks at whole numbers only) and `percent` each name the
    axes that they apply to: "", "x", "y" or "xy".
    """
    axes.set_facecolor(PAPER)
    axes.set_axisbelow(True)
    axes.grid(False, which="both")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(RULE)
        spine.set_linewidth(0.8)
    axes.tick_params(
        which="both", color=RULE, labelcolor=MUTED, labelsize=SMALL, length=3, width=0.8, pad=3
    )
    axes.set_title(title, loc="left", fontsize=TEXT, fontweight="bold", color=INK, pad=8)
    axes.set_xlabel(xlabel, fontsize=TEXT, color=MUTED, labelpad=4)
    for name in "xy":
        axis = getattr(axes, f"{name}axis")
        if name in log:
            getattr(axes, f"set_{name}scale")("log")
            axis.set_major_locator(_Decades())
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(_log_label))
            axis.set_minor_formatter(NullFormatter())
        else:
            whole_only = {"integer": name in whole, "min_n_ticks": 1}
            axis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], **whole_only))
            if name in percent:
                axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g} %"))
        if name in grid:
            axis.grid(True, color=PALE, linewidth=0.8)
    return axes


def legend_below(figure: Figure, columns: int) -> None:
    """Explain the marks of a figure below its axes."""
    look = {"frameon": False, "fontsize": SMALL, "labelcolor": INK}
    figure.legend(loc="outside lower center", ncols=columns, **look)


def name_rows(axes: Axes, names: Sequence[str], rows: int | None = None) -> None:
    """Label each row of a horizontal chart, the first on top, with room for `rows` rows."""
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=TEXT)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim((rows or len(names)) - 0.4, -0.6)


def write_beside(axes: Axes, text: str, point: tuple[float, float], right: float) -> None:
    """Write a text `right` points to the right of a point of the chart."""
    look = {"fontsize": TEXT, "color": INK, "va": "center", "annotation_clip": False}
    axes.annotate(text, point, (right, 0), textcoords="offset points", **look)


def label_ends(axes: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Write (y, text, colour) to the right of the axes, near its y, without overlaps.

    The limits of the axes must be final. A y that is not finite stands at the upper edge.
    """
    if not labels:
        return
    height = axes.get_figure().get_figheight() * 72 * axes.get_position().height
    gap = 1.25 * SMALL / max(height - 40, 40)
    low, high = axes.get_ylim()
    to_axes = axes.transData + axes.transAxes.inverted()
    inside = [min(max(y, low), high) if math.isfinite(y) else high for y, _, _ in labels]
    wanted = [float(to_axes.transform((0, y))[1]) for y in inside]
    # No label stands above or below the axes, unless there are too many of them.
    places = np.array(spread_out(wanted, gap))
    rank = places.argsort().argsort()
    above = len(labels) - 1 - rank
    places = np.clip(places, gap * rank, np.maximum(gap * rank, 1 - gap * above))
    for (_, text, colour), place in zip(labels, places, strict=True):
        at = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center"}
        look = {"color": darker(colour), "fontsize": SMALL, "annotation_clip": False}
        axes.annotate(text, (1, place), (5, 0), **at, **look)


def spread_out(wanted: Sequence[float], gap: float) -> list[float]:
    """Return places as near as possible to the wanted ones, at least `gap` apart, in their order.

    Neighbours that are too close are pooled around their common mean, as in isotonic regression.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    groups: list[list[int]] = []
    for i in order:
        groups.append([i])
        while len(groups) > 1 and _start(groups[-1], wanted, gap) < (
            _start(groups[-2], wanted, gap) + len(groups[-2]) * gap
        ):
            groups[-2:] = [groups[-2] + groups[-1]]
    places = [0.0] * len(wanted)
    for group in groups:
        for k, i in enumerate(group):
            places[i] = _start(group, wanted, gap) + k * gap
    return places


def _start(group: list[int], wanted: Sequence[float], gap: float) -> float:
    return sum(wanted[i] for i in group) / len(group) - (len(group) - 1) * gap / 2


class Sheet:
    """A figure measured in pixels from the upper left, for pictures that must stay crisp.

    `top` is where the space below the title begins.
    """

    def __init__(self, width: float, height: float, title: str = ""):
        self.top = MARGIN + (24 if title else 0)
        height += self.top
        self.figure = Figure(round(width), round(height), layout="none")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, round(width)), ylim=(round(height), 0), autoscale_on=False)
        self.axes.set_axis_off()
        if title:
            at = {"ha": "left", "va": "top", "fontweight": "bold"}
            self.text(MARGIN, MARGIN - 2, title, size=TITLE, **at)

    def picture(
        self,
        values: np.ndarray,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        cmap: Colormap | str = "gray",
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        """Draw (H, W) in a colour map, or (H, W, 3), with its upper left corner at (x, y)."""
        enlarged = width >= values.shape[1]
        self.axes.imshow(
            values,
            extent=(x, x + width, y + height, y),
            cmap=cmap,
            vmin=low,
            vmax=high,
            aspect="auto",
            interpolation="nearest" if enlarged else "antialiased",
        )
        self.rectangle(x, y, width, height)

    def rectangle(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        face: str = "none",
        edge: str = RULE,
    ) -> None:
        """Draw a rectangle with its upper left corner at (x, y)."""
        look = {"facecolor": face, "edgecolor": edge, "linewidth": 0.6}
        self.axes.add_patch(Rectangle((x, y), width, height, **look))

    def text(self, x: float, y: float, text: str, *, size: float = SMALL, **kwargs: Any) -> None:
        """Write a text centred on x, its base line at y; `kwargs` are Matplotlib's."""
        kwargs = {"color": INK, "ha": "center", "va": "baseline", **kwargs}
        self.axes.text(x, y, text, fontsize=size, linespacing=1.15, **kwargs)

    def colour_bar(self, y: float, cmap: Colormap, low: float, high: float) -> None:
        """Draw a thin colour bar at the left edge, with its ends, and zero if it lies inside."""
        width = 180
        self.picture(np.linspace(0, 1, 127)[None], MARGIN, y, width, 9, cmap=cmap, low=0, high=1)
        marks = {0.0: low, 1.0: high} | ({0.5: 0.0} if low < 0 < high else {})
        for place, value in marks.items():
            side = {0.0: "left", 1.0: "right"}.get(place, "center")
            text = f"{value:.2g}".replace("-", MINUS)
            self.text(MARGIN + place * width, y + 12, text, va="top", ha=side, color=MUTED)
