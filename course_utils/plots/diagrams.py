"""Drawings of how a network is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from course_utils.core import CourseError
from course_utils.plots import figure as f


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
