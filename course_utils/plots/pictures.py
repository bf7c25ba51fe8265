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

from course_utils.core import MINUS, CourseError
from course_utils.plots import figure as f
from course_utils.plots.charts import as_array

if TYPE_CHECKING:
    from torch import Tensor

GAP, LINE = 6, 15  # pixels; LINE is the height of one line of small text


class ImageSetLike(Protocol):
    """What `images` reads of a set of pictures."""

    images: Tensor  # uint8 (N, C, H, W)
    labels: Tensor  # int64 (N,)
    classes: Sequence[str]


def filters(
    weight: Any,
    *,
    titles: Sequence[str] | None = None,
    most: int = 64,
    title: str = "",
    width: int = 640,
    alt: str | None = None,
) -> f.Figure:
    """Draw the kernels of a convolution, all on one symmetric colour scale.

    Args:
        weight: (C_out, C_in / groups, kernel height, kernel width), or a layer with such a weight.
            With one input channel the filters fill a grid; with more, the input channels of one
            output channel stand side by side as one group.
        titles: one text for each output channel.
        most: number of kernels (whole groups) drawn at most; the title says what was left out.

    Raises:
        CourseError: the weight is not four-dimensional.
    """
    values = as_array(getattr(weight, "weight", weight)).astype(float)
    if values.ndim != 4 or 0 in values.shape:
        raise CourseError(
            f"Filters need a weight of shape (C_out, C_in, height, width), not {values.shape}."
        )
    out, inputs, h, w = values.shape
    limit = _limit(values)
    columns = 1
    if inputs == 1:
        shown = values[:most, 0]
        parts = f"the first {most} of {out} filters" if out > most else ""
    else:
        columns = min(inputs, 16)
        rows = min(out, max(1, most // columns))
        shown = values[:rows, :columns].reshape(-1, h, w)
        parts = f"{rows} of {out} filters, {columns} of {inputs} input channels"
        parts = parts if (rows, columns) != (out, inputs) else ""
    heading = " · ".join(part for part in (title, parts) if part)
    text = alt or (
        f"{out} filter{'s' * (out != 1)} of {h}×{w} weights"
        f"{f' for each of {inputs} input channels' if inputs > 1 else ''}:"
        " blue negative, white zero, orange-red positive."
    )
    titles = None if titles is None else titles[: len(shown) // columns]
    return _grid(list(shown), titles, heading, width, text, limit, group=columns)


def feature_maps(
    maps: Any,
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    title: str = "",
    width: int = 640,
    alt: str | None = None,
) -> f.Figure:
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
    text = alt or f"{c} feature map{'s' * (c != 1)} of {h}×{w}: {meaning}."
    return _grid(
        list(values), titles, title, width, text, _limit(values), signed=signed, columns=columns
    )


def _grid(
    tiles: list[np.ndarray],
    titles: Sequence[str] | None,
    heading: str,
    width: int,
    alt: str,
    limit: float,
    *,
    signed: bool = True,
    group: int = 1,
    columns: int | None = None,
) -> f.Figure:
    """Draw tiles of one size on one scale; each `group` of neighbours has one title."""
    count = len(tiles) // group
    if titles is not None and len(titles) != count:
        raise CourseError(f"{len(titles)} titles do not fit {count} pictures.")
    h, w = tiles[0].shape
    across = max(1, min(count, (columns or 12 if group > 1 else columns or 8) // group))
    columns = across * group
    apart = 14 if group > 1 else 0  # more space between groups than inside them
    rows = -(-len(tiles) // columns)
    line = LINE if titles is not None else 0
    # Otherwise one column or two would fill the page with one picture.
    tall = max(60, 560 / rows - line - GAP)
    room = (width - 2 * f.MARGIN - GAP * (columns - 1) - apart * (across - 1)) / columns
    zoom = min(room / w, tall / h, 160 / w)
    zoom = math.floor(zoom) if zoom >= 1 else zoom
    tile_w, tile_h = max(1, round(w * zoom)), max(1, round(h * zoom))
    sheet = f.Sheet(width, rows * (tile_h + GAP + line) + 36, heading)
    cmap = f.signed_map() if signed else f.positive_map()
    low = -limit if signed else 0.0
    if group == 1 and across > 1:
        apart = min(16, (width - 2 * f.MARGIN - across * tile_w) / (across - 1) - GAP)
    for k, values in enumerate(tiles):
        x = f.MARGIN + (k % columns) * (tile_w + GAP) + (k % columns) // group * apart
        y = sheet.top + line + (k // columns) * (tile_h + GAP + line)
        sheet.picture(values, x, y, tile_w, tile_h, cmap=cmap, low=low, high=limit)
        if titles is not None and k % group == 0:
            sheet.text(x + (group * (tile_w + GAP) - GAP) / 2, y - 4, titles[k // group])
    sheet.colour_bar(sheet.top + rows * (tile_h + GAP + line) + 2, cmap, low, limit)
    sheet.figure.alt = alt
    return sheet.figure


def images(
    image_set: ImageSetLike,
    indices: int | Sequence[int] = 12,
    *,
    predictions: Any = None,
    columns: int = 6,
    title: str = "",
    width: int = 640,
    alt: str | None = None,
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
    columns = min(columns, len(chosen)) if len(chosen) >= 4 else 4
    tile = (width - 2 * f.MARGIN + GAP) // columns - GAP
    h, w = pictures[0].shape[:2]
    if tile >= w:
        tile = tile // w * w if tile // w > 1 else tile
    tall = round(tile * h / w)
    pitch_x = (width - 2 * f.MARGIN - tile) / (columns - 1) if columns > 1 else 0
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
    sheet = f.Sheet(width, starts[-1] + 4, title)
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
        ink = f.darker(colour)
        sheet.text(middle, y + tall + 13, guess, size=size, color=ink)
        if wrong[k]:
            truth = f"is {names[k]}"
            sheet.text(middle, y + tall + 13 + LINE, truth, size=size, color=f.MUTED)
    count = f"{len(chosen)} picture{'s' * (len(chosen) != 1)}"
    sheet.figure.alt = alt or (
        f"{count}: {', '.join(names)}."
        if guesses is None
        else f"{count} with the class that the model gives each, right or wrong."
    )
    return sheet.figure


def picture_row(
    pictures: Sequence[Any],
    titles: Sequence[str] | None = None,
    *,
    signs: Sequence[str] | None = None,
    numbers: bool = False,
    title: str = "",
    width: int = 640,
    alt: str | None = None,
) -> f.Figure:
    """Draw a few pictures side by side, as in "picture ∗ kernel = result".

    Args:
        pictures: each (H, W), (C, H, W) or (H, W, 3), with C 1 or 3. uint8 is shown as a photograph
            (0 to 255), other numbers in grey from 0 to their maximum, or, where some are negative,
            from blue through white to vermilion.
        titles: a text above each.
        signs: a character between neighbours, one fewer than pictures.
        numbers: write the values into pictures whose pixels are drawn large enough.

    Raises:
        CourseError: no picture, a picture of another shape, or texts that do not fit.
    """
    shown = [_as_picture(p) for p in pictures]
    if not shown:
        raise CourseError("There is nothing to draw: pass at least one picture.")
    for what, texts, needed in (("titles", titles, len(shown)), ("signs", signs, len(shown) - 1)):
        if texts is not None and len(texts) != needed:
            raise CourseError(f"{len(texts)} {what} do not fit {len(shown)} pictures.")
    between = 34 if signs else 14
    room = min((width - 2 * f.MARGIN - between * (len(shown) - 1)) / len(shown), 260)
    scales = [room / max(p.shape[:2]) for p in shown]
    scales = [math.floor(s) if 1 <= s < 6 else s for s in scales]  # large squares may differ by 1
    sizes = [
        (round(p.shape[1] * s), round(p.shape[0] * s)) for p, s in zip(shown, scales, strict=True)
    ]
    tallest = max(h for _, h in sizes)
    head = 4 + LINE * max((t.count("\n") + 1 for t in titles), default=0) if titles else 0
    sheet = f.Sheet(width, head + tallest + f.MARGIN, title)
    x: float = f.MARGIN
    for k, (values, (w, h), scale) in enumerate(zip(shown, sizes, scales, strict=True)):
        y = sheet.top + head + (tallest - h) / 2
        photograph = values.dtype == np.uint8
        signed = not photograph and bool((values < 0).any())
        limit = 255.0 if photograph else _limit(values)
        cmap = f.signed_map() if signed else "gray"
        low = -limit if signed else 0.0
        if values.ndim == 3 and not photograph:
            values = np.clip(values / limit, 0, 1)
        sheet.picture(values, x, y, w, h, cmap=cmap, low=low, high=limit)
        if titles:
            sheet.text(
                x + w / 2, y - 5, titles[k], va="bottom" if "\n" in titles[k] else "baseline"
            )
        if numbers and values.ndim == 2 and scale >= 22:
            dark = np.abs(values) > 0.6 * limit if signed else values < 0.5 * limit
            _write_numbers(sheet, values, dark, x, y, scale)
        if signs and k < len(signs):
            middle = sheet.top + head + tallest / 2
            sheet.text(x + w + between / 2, middle, signs[k], size=16, va="center")
        x += w + between
    count = f"{len(shown)} picture{'s' * (len(shown) != 1)} in a row"
    names = f": {', '.join(t.replace(chr(10), ' ') for t in titles)}" if titles else ""
    sheet.figure.alt = alt or f"{count}{names}."
    return sheet.figure


def _write_numbers(
    sheet: f.Sheet, values: np.ndarray, dark: np.ndarray, x: float, y: float, scale: float
) -> None:
    """Write each value of (H, W) into its square, white where the square is dark."""
    for (i, j), value in np.ndenumerate(values):
        text = f"{value:.3g}".replace("-", MINUS)
        size = min(f.TITLE, scale / (0.85 * max(len(text), 2)))
        ink = f.PAPER if dark[i, j] else f.INK
        at = x + (j + 0.5) * scale, y + (i + 0.5) * scale
        sheet.text(*at, text, size=size, color=ink, va="center_baseline")


def _as_picture(values: Any) -> np.ndarray:
    """Return (H, W) or (H, W, 3) from (H, W), (1, H, W), (3, H, W), (H, W, 1) or (H, W, 3)."""
    array = as_array(values)
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[-1] not in (1, 3):
        array = array.transpose(1, 2, 0)
    elif array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[-1] in (1, 3):
        array = array.transpose(1, 2, 0) if hasattr(values, "detach") else array
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] != 3) or 0 in array.shape:
        raise CourseError(f"A picture has the shape (H, W), (1 or 3, H, W), not {array.shape}.")
    return array if array.dtype == np.uint8 else array.astype(float)


def _limit(values: np.ndarray) -> float:
    """Return the largest finite magnitude, 1 if all are 0."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0
