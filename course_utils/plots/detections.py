"""Figures of pictures with boxes around objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from course_utils.core import CourseError
from course_utils.plots import figure as f
from course_utils.plots.canvas import CLASS_COLOURS
from course_utils.plots.charts import as_array, listed
from course_utils.plots.pictures import GAP, LINE, WIDTH

if TYPE_CHECKING:
    from torch import Tensor


def detections(
    images: Tensor,
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    classes: Sequence[str],
    *,
    titles: Sequence[str] | None = None,
    right: Sequence[Tensor] | None = None,
    columns: int = 3,
) -> f.Figure:
    """Draw pictures with boxes in the colours of their classes.

    Args:
        images: uint8 (N, C, height, width).
        boxes: For each picture (K, 4): left, top, right, bottom in pixels.
        labels: For each picture (K,).
        classes: Names of the classes.
        titles: A text above each picture.
        right: For each picture K times True or False; boxes that are wrong are dashed.
        columns: Number of pictures in a row.

    Raises:
        CourseError: If there is no picture, or the parts have different lengths.
    """
    parts = {"boxes": boxes, "labels": labels, "titles": titles, "right": right}
    for name, part in parts.items():
        if part is not None and len(part) != len(images):
            raise CourseError(f"{len(images)} pictures need as many {name}, not {len(part)}.")
    if not len(images):
        raise CourseError("There is nothing to draw: pass at least one picture.")
    shown = as_array(images).transpose(0, 2, 3, 1)
    columns = min(columns, len(shown))
    width = (WIDTH - 2 * f.MARGIN - GAP * (columns - 1)) / columns
    scale = min(width / shown.shape[2], 320 / shown.shape[1])
    width, height = shown.shape[2] * scale, shown.shape[1] * scale
    head = LINE + 2 if titles is not None else 0
    rows = -(-len(shown) // columns)
    sheet = f.Sheet(WIDTH, rows * (height + head + GAP) + 28)
    for number, picture in enumerate(shown):
        x = f.MARGIN + number % columns * (width + GAP)
        y = sheet.top + number // columns * (height + head + GAP) + head
        grey = picture.shape[2] == 1
        sheet.picture(picture[..., 0] if grey else picture, x, y, width, height, low=0, high=255)
        if titles is not None:
            sheet.text(x + width / 2, y - 5, titles[number])
        marks = [True] * len(boxes[number]) if right is None else as_array(right[number])
        for box, label, sure in zip(boxes[number], labels[number], marks, strict=True):
            left, top, end, bottom = (scale * float(side) for side in box)
            look = {"edgecolor": _colour(int(label)), "linestyle": "-" if sure else (0, (2, 1.5))}
            sheet.axes.add_patch(
                Rectangle(
                    (x + left, y + top),
                    end - left,
                    bottom - top,
                    facecolor="none",
                    linewidth=1.6,
                    **look,
                )
            )
    keys = [Line2D([], [], color=_colour(k), linewidth=2, label=n) for k, n in enumerate(classes)]
    if right is not None:
        keys.append(Line2D([], [], color=f.MUTED, linestyle=(0, (2, 1.5)), label="wrong"))
    place = {"loc": "lower left", "bbox_to_anchor": (0.0, 0.0), "ncols": len(keys)}
    sheet.axes.legend(handles=keys, frameon=False, fontsize=f.SMALL, labelcolor=f.INK, **place)
    count = f"{len(shown)} picture{'s' * (len(shown) != 1)}"
    named = f": {listed(list(titles))}" if titles is not None else ""
    sheet.figure.alt = f"{count} with boxes around {listed(list(classes))}{named}."
    return sheet.figure


def _colour(label: int) -> Any:
    return CLASS_COLOURS[label % len(CLASS_COLOURS)]
