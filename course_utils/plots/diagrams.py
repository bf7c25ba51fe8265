"""Drawings of how a network is built, and of how far its layers see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from course_utils.core import CourseError
from course_utils.plots import figure as f
from course_utils.plots.charts import as_array

if TYPE_CHECKING:
    from course_utils.conv import EffectiveField


def receptive_field_diagram(layers: Sequence[Any]) -> f.Figure:
    """Draw what one output sees, layer by layer down to the input, along one axis of the picture.

    Args:
        layers: from input to output, each (kernel_size, stride, dilation), the last two optional,
            or a convolution or pooling module. Modules without a kernel are skipped.

    Raises:
        CourseError: no layer with a kernel, or a number below 1.
    """
    steps = [step for step in map(_step, layers) if step is not None]
    if not steps:
        raise CourseError("There is no layer with a kernel here: pass at least one.")
    rows = _used_positions(steps)
    sizes = [row[-1] - row[0] + 1 for row in rows]
    width, left, right, pitch = 640, 140, 134, 54
    room = width - left - right
    cell = min(22.0, room / (sizes[-1] + 2))
    sheet = f.Sheet(width, pitch * (len(rows) - 1) + 40)
    middle = left + room / 2
    jumps = np.cumprod([1] + [s for _, _, s, _ in steps])[::-1]  # input pixels between neighbours

    # The centre of each row's span, in input pixels, stands in the middle.
    def place(row: int, position: float) -> float:
        centre = (rows[row][0] + rows[row][-1]) / 2
        return middle + (position - centre) * cell * jumps[row]

    def level(row: int) -> float:
        return sheet.top + pitch * row + 14

    tick = min(cell, 22) * 0.82
    for row, (_, k, s, d) in enumerate(reversed(steps)):
        span = rows[row][0], rows[row][-1]
        below = rows[row + 1][0], rows[row + 1][-1]
        corners = [
            (place(row, span[0]) - tick / 2, level(row) + tick / 2),
            (place(row, span[1]) + tick / 2, level(row) + tick / 2),
            (place(row + 1, below[1]) + tick / 2, level(row + 1) - tick / 2),
            (place(row + 1, below[0]) - tick / 2, level(row + 1) - tick / 2),
        ]
        sheet.axes.fill(*zip(*corners, strict=True), color=f.BLUE, alpha=0.10, linewidth=0)
        if len(rows[row]) * k <= 120:
            for p in rows[row]:
                for j in range(k):
                    xs = place(row, p), place(row + 1, p * s + j * d)
                    ys = level(row) + tick / 2, level(row + 1) - tick / 2
                    sheet.axes.plot(xs, ys, color=f.BLUE, alpha=0.35, linewidth=0.7)
    names = ["input"] + [name for name, *_ in steps]
    for row, used in enumerate(rows):
        for position in range(used[0] - 1, used[-1] + 2):
            x = place(row, position)
            if left - 1 <= x - tick / 2 and x + tick / 2 <= width - right + 1:
                seen = position in set(used)
                face = (f.ORANGE if row == 0 else f.BLUE) if seen else f.PAPER
                edge = face if seen else f.RULE
                at = x - tick / 2, level(row) - tick / 2
                sheet.rectangle(*at, tick, tick, face=face, edge=edge)
        at_left = {"ha": "left", "va": "center", "size": f.TEXT}
        sheet.text(f.MARGIN, level(row), names[len(rows) - 1 - row], **at_left)
        bottom = row == len(rows) - 1
        unit = " pixels" if sizes[row] > 1 else " pixel"
        seen = f"spans {sizes[row]}{unit * bottom}" if row else "one output"
        sheet.text(width - right + 12, level(row), seen, color=f.MUTED, **at_left)
    stack = ", ".join(names[1:]).replace("\n", ", ")
    sheet.figure.alt = (
        f"One output of {len(steps)} layer{'s' * (len(steps) != 1)} ({stack}) sees"
        f" {sizes[-1]} pixel{'s' * (sizes[-1] != 1)} of the input along each axis."
    )
    return sheet.figure


def _used_positions(steps: Sequence[tuple[str, int, int, int]]) -> list[list[int]]:
    """Return the positions that the one output at 0 depends on, from it down to the input."""
    rows = [[0]]
    for _, kernel, stride, dilation in reversed(steps):
        below = {p * stride + j * dilation for p in rows[-1] for j in range(kernel)}
        rows.append(sorted(below))
    return rows


def _step(layer: Any) -> tuple[str, int, int, int] | None:
    """Return (name, kernel, stride, dilation) along the horizontal axis; None without a kernel."""
    if isinstance(layer, (Sequence, int)):
        given = (layer,) if isinstance(layer, int) else tuple(layer)
        kernel, stride, dilation = (*given, *(1, 1, 1)[len(given) :])
        kind = "convolution"
    elif hasattr(layer, "kernel_size"):
        kernel, stride = layer.kernel_size, layer.stride
        dilation = getattr(layer, "dilation", 1)
        kind = "pooling" if "Pool" in type(layer).__name__ else "convolution"
    else:
        return None
    shape = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
    kernel, stride, dilation = (
        v if isinstance(v, int) else v[-1] for v in (kernel, stride, dilation)
    )
    if min(kernel, stride, dilation) < 1:
        raise CourseError("Kernel size, stride and dilation are at least 1.")
    extras = [f"stride {stride}"] * (stride > 1) + [f"dilation {dilation}"] * (dilation > 1)
    name = f"{'×'.join(map(str, shape))} {kind}"
    return "\n".join(filter(None, [name, ", ".join(extras)])), kernel, stride, dilation


def effective_fields(fields: Sequence[EffectiveField], titles: Sequence[str]) -> f.Figure:
    """Draw where the influence on each layer's middle output comes from, as heat maps.

    A grey square shows the theoretical receptive field, as far as it lies in the image; an orange
    one is the smallest square that holds half of the influence. The colours follow the square root
    of the influence, or only the middle would be seen.

    Args:
        fields: one to four, from `course_utils.conv.effective_receptive_field`.
        titles: a text above each.

    Raises:
        CourseError: no field, more than four, or titles that do not fit.
    """
    if not 1 <= len(fields) <= 4 or len(titles) != len(fields):
        raise CourseError(
            f"Give one to four fields and a title for each, not {len(fields)} fields and"
            f" {len(titles)} titles."
        )
    between, width = 16, 640
    room = min((width - 2 * f.MARGIN - between * (len(fields) - 1)) / len(fields), 260)
    sheet = f.Sheet(width, room + 20 + 44)
    top = sheet.top + 20
    for k, (field, title) in enumerate(zip(fields, titles, strict=True)):
        heat = np.sqrt(as_array(field.heat))
        height, breadth = heat.shape
        zoom = room / max(heat.shape)
        x = f.MARGIN + k * (room + between)
        sheet.picture(heat, x, top, breadth * zoom, height * zoom, cmap=f.positive_map())
        sheet.text(x + breadth * zoom / 2, top - 6, title)
        half = field.side_holding(0.5)
        middle = *(round(at) - half // 2 for at in field.centre), half, half
        for (up, left, tall, wide), colour in ((field.window, f.MUTED), (middle, f.ORANGE)):
            ends = max(up, 0), max(left, 0), min(up + tall, height), min(left + wide, breadth)
            y0, x0, y1, x1 = (end * zoom for end in ends)
            look = {"facecolor": "none", "edgecolor": colour, "linewidth": 1.4}
            sheet.axes.add_patch(f.Rectangle((x + x0, top + y0), x1 - x0, y1 - y0, **look))
    for k, (colour, text) in enumerate(
        ((f.MUTED, "theoretical receptive field"), (f.ORANGE, "holds half of the influence"))
    ):
        x = f.MARGIN + 240 * k
        sheet.rectangle(x, top + room + 16, 11, 11, edge=colour)
        at = {"ha": "left", "va": "center", "color": f.INK}
        sheet.text(x + 18, top + room + 22, text, **at)
    sheet.figure.alt = (
        f"Heat map{'s' * (len(fields) != 1)} of the influence of each pixel on the middle output,"
        f" with the theoretical receptive field as a square: {', '.join(titles)}."
    )
    return sheet.figure
