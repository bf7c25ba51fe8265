"""Figures made of pictures: filters, feature maps, pictures of a data set, rows of arrays.

They are laid out in whole pixels and not by Matplotlib's grids, so that every value of a small
array stays a crisp square. Colours mean the same everywhere: grey for photographs; blue, white and
vermilion for negative, zero and positive numbers, on one scale for all pictures of a figure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from course_utils.core import CourseError, whole_number
from course_utils.plots import figure as f
from course_utils.plots.charts import as_array

if TYPE_CHECKING:
    from torch import Tensor

WIDTH, GAP, LINE = 640, 6, 15  # pixels; LINE is the height of one line of small text


class ImageSetLike(Protocol):
    """The part of a set of pictures that `images` reads."""

    images: Tensor  # uint8 (N, C, H, W)
    labels: Tensor  # int64 (N,)
    classes: Sequence[str]


def filters(weight: Any, titles: Sequence[str] | None = None, *, title: str = "") -> f.Figure:
    """Draw the kernels of a convolution, all on one symmetric colour scale.

    At most 64 kernels, in whole groups, are drawn; the title says what was left out.

    Args:
        weight: (C_out, C_in / groups, kernel height, kernel width), or a layer with such a weight.
            With one input channel the filters fill a grid; with more, the input channels of one
            output channel stand side by side as one group.
        titles: one text for each picture that is drawn.

    Raises:
        CourseError: the weight is not four-dimensional, or titles that do not fit.
    """
    values = as_array(getattr(weight, "weight", weight)).astype(float)
    if values.ndim != 4 or 0 in values.shape:
        raise CourseError(
            f"Filters need a weight of shape (C_out, C_in, height, width), not {values.shape}."
        )
    out, inputs, h, w = values.shape
    columns = min(inputs, 16)
    rows = min(out, 64 // columns)
    shown = values[:rows, :columns].reshape(-1, h, w)
    _require_titles(titles, len(shown))
    parts = f"the first {rows} of {out} filters"
    if inputs > 1:
        parts = f"{rows} of {out} filters, {columns} of {inputs} input channels"
    parts = parts if (rows, columns) != (out, inputs) else ""
    heading = " · ".join(part for part in (title, parts) if part)
    alt = (
        f"{out} filter{'s' * (out != 1)} of {h}×{w} weights"
        f"{f' for each of {inputs} input channels' if inputs > 1 else ''}:"
        " blue negative, white zero, orange-red positive."
    )
    return _grid(shown, titles, heading, alt, _limit(values), group=columns)


def feature_maps(maps: Any, titles: Sequence[str] | None = None, *, columns: int = 8) -> f.Figure:
    """Draw the outputs of a layer, one picture for each channel, all on one colour scale.

    Args:
        maps: tensor or array, (C, H, W) or (1, C, H, W).
        titles: one text for each channel.

    Raises:
        CourseError: another shape, or titles that do not fit.
    """
    values = as_array(maps).astype(float)
    if values.ndim == 4 and len(values) == 1:
        values = values[0]
    if values.ndim != 3 or 0 in values.shape:
        raise CourseError(
            f"Feature maps need the shape (C, H, W) of one picture, not {values.shape}."
        )
    c, h, w = values.shape
    signed = bool((values < 0).any())
    meaning = "blue negative, white zero, orange-red positive" if signed else "white is zero"
    _require_titles(titles, c)
    alt = f"{c} feature map{'s' * (c != 1)} of {h}×{w}: {meaning}."
    return _grid(values, titles, "", alt, _limit(values), signed=signed, columns=columns)


def _grid(
    tiles: np.ndarray,
    titles: Sequence[str] | None,
    heading: str,
    alt: str,
    limit: float,
    *,
    signed: bool = True,
    group: int = 1,
    columns: int = 8,
) -> f.Figure:
    """Draw tiles (N, H, W) on one scale; each `group` of neighbours stays in one row."""
    h, w = tiles[0].shape
    across = max(1, min(len(tiles) // group, (12 if group > 1 else columns) // group))
    columns = across * group
    apart = 14 if group > 1 else 0  # more space between groups than inside them
    rows = -(-len(tiles) // columns)
    line = LINE if titles is not None else 0
    # Otherwise one column or two would fill the page with one picture.
    tall = max(60, 560 / rows - line - GAP)
    room = (WIDTH - 2 * f.MARGIN - GAP * (columns - 1) - apart * (across - 1)) / columns
    zoom = min(room / w, tall / h, 160 / w)
    zoom = math.floor(zoom) if zoom >= 1 else zoom
    tile_w, tile_h = max(1, round(w * zoom)), max(1, round(h * zoom))
    sheet = f.Sheet(WIDTH, rows * (tile_h + GAP + line) + 36, heading)
    cmap = f.signed_map() if signed else f.positive_map()
    low = -limit if signed else 0.0
    if group == 1 and across > 1:
        apart = min(16, (WIDTH - 2 * f.MARGIN - across * tile_w) / (across - 1) - GAP)
    for k, values in enumerate(tiles):
        x = f.MARGIN + (k % columns) * (tile_w + GAP) + (k % columns) // group * apart
        y = sheet.top + line + (k // columns) * (tile_h + GAP + line)
        sheet.picture(values, x, y, tile_w, tile_h, cmap=cmap, low=low, high=limit)
        if titles is not None:
            sheet.text(x + tile_w / 2, y - 4, titles[k])
    sheet.colour_bar(sheet.top + rows * (tile_h + GAP + line) + 2, cmap, low, limit)
    sheet.figure.alt = alt
    return sheet.figure


def images(
    image_set: ImageSetLike, indices: int | Sequence[int] = 12, *, predictions: Any = None
) -> f.Figure:
    """Draw pictures of a data set with the names of their classes.

    Args:
        indices: which pictures, or how many of the first ones.
        predictions: class numbers for all pictures of the set, or for the shown ones. A wrong one
            has a cross, and the true class below it.

    Raises:
        CourseError: an index outside the set, or predictions that do not fit.
    """
    total = len(image_set.labels)
    chosen = list(range(min(indices, total))) if isinstance(indices, int) else list(indices)
    if not chosen or not all(-total <= i < total for i in chosen):
        raise CourseError(f"There are {total} pictures: choose among 0 to {total - 1}.")
    guesses = None
    if predictions is not None:
        guesses = as_array(predictions)
        if len(guesses) not in (total, len(chosen)):
            raise CourseError(f"{len(guesses)} predictions do not fit {len(chosen)} pictures.")
        guesses = guesses[chosen] if len(guesses) == total else guesses
    pictures = [_as_picture(image_set.images[i]) for i in chosen]
    columns = min(6, max(4, len(chosen)))
    tile = (WIDTH - 2 * f.MARGIN + GAP) // columns - GAP
    h, w = pictures[0].shape[:2]
    if tile >= 2 * w:
        tile = tile // w * w
    tall = round(tile * h / w)
    pitch_x = (WIDTH - 2 * f.MARGIN - tile) / (columns - 1)
    true = [int(image_set.labels[i]) for i in chosen]
    names = [image_set.classes[c] for c in true]
    # Small enough that the longest name fits its tile and the margin (0.86 pixels a point, about).
    longest = max(map(len, image_set.classes)) + 2 * (guesses is not None)
    size = max(6.0, min(f.SMALL, (tile + 2 * f.MARGIN - 4) / (0.86 * longest)))
    # A row with a wrong prediction has one more line of text.
    wrong = [guesses is not None and int(guesses[k]) != c for k, c in enumerate(true)]
    starts = [0]
    for first in range(0, len(chosen), columns):
        lines = 1 + any(wrong[first : first + columns])
        starts.append(starts[-1] + tall + GAP + lines * LINE)
    sheet = f.Sheet(WIDTH, starts[-1] + 4)
    for k, picture in enumerate(pictures):
        x = f.MARGIN + (k % columns) * pitch_x
        y = sheet.top + starts[k // columns]
        sheet.picture(picture, x, y, tile, tall, low=0, high=255)
        middle = x + tile / 2
        if guesses is None:
            sheet.text(middle, y + tall + 13, names[k], size=size)
            continue
        mark, colour = ("✗", f.VERMILION) if wrong[k] else ("✓", f.GREEN)
        guess = f"{mark} {image_set.classes[int(guesses[k])]}"
        sheet.text(middle, y + tall + 13, guess, size=size, color=f.darker(colour))
        if wrong[k]:
            truth = f"is {names[k]}"
            sheet.text(middle, y + tall + 13 + LINE, truth, size=size, color=f.MUTED)
    count = f"{len(chosen)} picture{'s' * (len(chosen) != 1)}"
    sheet.figure.alt = (
        f"{count}: {', '.join(names)}."
        if guesses is None
        else f"{count} with the class that the model gives each, right or wrong."
    )
    return sheet.figure


def picture_row(
    pictures: Sequence[Any], titles: Sequence[str] | None = None, *, columns: int | None = None
) -> f.Figure:
    """Draw a few pictures side by side.

    Args:
        pictures: each (H, W), (C, H, W) or (H, W, 3), with C 1 or 3. uint8 is shown as a photograph
            (0 to 255), other numbers in grey from 0 to their maximum, or, where some are negative,
            from blue through white to vermilion.
        titles: a text above each.
        columns: pictures in a row. Default: all of them.

    Raises:
        CourseError: no picture, a picture of another shape, titles that do not fit, or no column.
    """
    shown = [_as_picture(p) for p in pictures]
    if not shown:
        raise CourseError("There is nothing to draw: pass at least one picture.")
    _require_titles(titles, len(shown))
    columns = len(shown) if columns is None else whole_number("columns", columns, 1)
    columns = min(columns, len(shown))
    between = 14
    room = min((WIDTH - 2 * f.MARGIN - between * (columns - 1)) / columns, 260)
    scales = [room / max(p.shape[:2]) for p in shown]
    scales = [math.floor(s) if 1 <= s < 6 else s for s in scales]  # large squares may differ by 1
    sizes = [
        (round(p.shape[1] * s), round(p.shape[0] * s)) for p, s in zip(shown, scales, strict=True)
    ]
    tallest = max(h for _, h in sizes)
    head = 4 + LINE * max((t.count("\n") + 1 for t in titles), default=0) if titles else 0
    rows = -(-len(shown) // columns)
    sheet = f.Sheet(WIDTH, rows * (head + tallest + f.MARGIN))
    x, top = float(f.MARGIN), sheet.top
    for k, (values, (w, h)) in enumerate(zip(shown, sizes, strict=True)):
        if k and k % columns == 0:
            x, top = float(f.MARGIN), top + head + tallest + f.MARGIN
        y = top + head + (tallest - h) / 2
        photograph = values.dtype == np.uint8
        signed = not photograph and bool((values < 0).any())
        limit = 255.0 if photograph else _limit(values)
        cmap = f.signed_map() if signed else "gray"
        low = -limit if signed else 0.0
        if values.ndim == 3 and not photograph:
            values = np.clip(values / limit, 0, 1)
        sheet.picture(values, x, y, w, h, cmap=cmap, low=low, high=limit)
        if titles:
            va = "bottom" if "\n" in titles[k] else "baseline"
            sheet.text(x + w / 2, y - 5, titles[k], va=va)
        x += w + between
    several = f"{rows} rows" if rows > 1 else "a row"
    count = f"{len(shown)} picture{'s' * (len(shown) != 1)} in {several}"
    names = f": {', '.join(t.replace(chr(10), ' ') for t in titles)}" if titles else ""
    sheet.figure.alt = f"{count}{names}."
    return sheet.figure


def _require_titles(titles: Sequence[str] | None, count: int) -> None:
    if titles is not None and len(titles) != count:
        raise CourseError(f"{len(titles)} titles do not fit {count} pictures.")


def _as_picture(values: Any) -> np.ndarray:
    """Return (H, W) or (H, W, 3) from (H, W), (1, H, W), (3, H, W), (H, W, 1) or (H, W, 3)."""
    array = as_array(values)
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    # If the last axis may hold the colours, too, a tensor is (C, H, W), an array (H, W, C).
    first = array.shape[-1] not in (1, 3) or hasattr(values, "detach")
    if array.ndim == 3 and array.shape[0] in (1, 3) and first:
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] != 3) or 0 in array.shape:
        raise CourseError(f"A picture has the shape (H, W), (1 or 3, H, W), not {array.shape}.")
    return array if array.dtype == np.uint8 else array.astype(float)


def _limit(values: np.ndarray) -> float:
    """Return the largest finite magnitude, 1 if all are 0."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0
