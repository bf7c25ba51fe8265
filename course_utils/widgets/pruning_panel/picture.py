"""The picture and the words of the pruning panel: accuracy, cost, and a curve for each layer."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from course_utils.conv import ChannelGroup
from course_utils.plots import ACCENT, ACCENT_2, BLACK, canvas
from course_utils.widgets.pruning_panel.pruned import Measured, Pruned
from course_utils.widgets.seen import fitting

WIDTH, _EDGE = 700, 10
_BARS, _BAR, _ROW = 60, 13, 21  # top of the first bar, its height, from bar to bar
_LABEL, _ROOM, _RIGHT = 92, 160, 370  # of a bar: width of its label, of 100 %; right column
_CURVES = _BARS + 3 * _ROW + 14
_COLUMNS, _CELL = 3, (228, 124)
_PLOT = (36, 164, 70)  # of a curve: left end, width and height
_NAMES = 6  # layers that the text names
_QUIET, _PALE, _LINE = 36, 112, 96  # palette greys


def percent(share: float) -> str:
    """Return "8 %" or "12.5 %"."""
    return f"{round(100 * share, 1):g} %"


def height_of(groups: int) -> int:
    """Return the height of the picture for a network with so many groups of layers."""
    return _CURVES + 28 + -(-groups // _COLUMNS) * _CELL[1] + 4


def describe(result: Pruned, measured: bool = True) -> str:
    """Return the result in a line; without `measured` it has no accuracies."""
    if not result.removed:
        text = "All channels are there"
    else:
        changed = [g for g in result.groups if result.shares[g.name]]
        some = [f"{g.name} {result.left[g.name]} of {g.channels}" for g in changed[:_NAMES]]
        more = len(changed) - len(some)
        text = f"Channels: {', '.join(some)}{f' and {more} more groups' * bool(more)}"
        text += f"; multiply-adds {_times(result.cost)}, parameters {_times(_parameters(result))}"
    if measured:
        text += f"; accuracy {_accuracy(result.now)}"
        if result.removed:
            text += f", of the whole network {_accuracy(result.whole, False)}"
    if result.tuned:
        text += f"; {_when(result)}"
        text += f" {_accuracy(result.tuned.measured)}" if measured else ""
    return text + "."


def draw(result: Pruned) -> bytes:
    """Return the picture as a PNG, `WIDTH` pixels wide."""
    sheet = canvas.Canvas(WIDTH, height_of(len(result.groups)))
    title = f"Multiply-adds {_times(result.cost)}, accuracy {_accuracy(result.now, False)}"
    if not result.removed:
        title = f"The whole network: accuracy {_accuracy(result.now, False)}"
    elif result.tuned:
        title += f", {_when(result)} {_accuracy(result.tuned.measured, False)}"
    sheet.text(fitting(title, WIDTH - 2 * _EDGE, 14, True), _EDGE, 8, 14, bold=True)
    _draw_accuracy(sheet, result)
    _draw_cost(sheet, result)
    text = "Accuracy when this group alone loses channels (+1: layers coupled to it)"
    sheet.text(text, _EDGE, _CURVES, 12, bold=True)
    for number, group in enumerate(result.groups):
        row, column = divmod(number, _COLUMNS)
        left, top = _EDGE + column * _CELL[0], _CURVES + 28 + row * _CELL[1]
        _draw_curve(sheet, result, group, left, top)
    return sheet.to_png()


def _times(part: float) -> str:
    return f"×{part:.2f}"


def _parameters(result: Pruned) -> float:
    return result.now.parameters / result.whole.parameters


def _accuracy(measured: Measured, interval: bool = True) -> str:
    text = f"{measured.accuracy:.1%}"
    if not interval:
        return text
    return f"{text} of {measured.total:,} pictures (95 % interval {measured.interval})"


def _when(result: Pruned) -> str:
    epochs = f"{result.tuned.epochs} epoch{'s' * (result.tuned.epochs != 1)}"
    return f"after {epochs} of fine-tuning" if result.tuned.complete else "fine-tuned in part"


def _draw_accuracy(sheet: canvas.Canvas, result: Pruned) -> None:
    text = f"Accuracy on {result.now.total:,} validation pictures"
    sheet.text(text, _EDGE, _BARS - 22, 12, bold=True)
    rows = [("whole", result.whole), ("pruned", result.now)]
    rows.append(("fine-tuned", result.tuned.measured if result.tuned else None))
    for row, (name, measured) in enumerate(rows):
        top = _BARS + row * _ROW
        sheet.text(name, _EDGE, top, 12)
        left = _EDGE + _LABEL
        sheet.fill(left, top, _ROOM, _BAR, _PALE)
        if measured is None:
            sheet.text("not yet", left + _ROOM + 8, top, 12, ink=_QUIET)
            continue
        sheet.fill(left, top, round(measured.accuracy * _ROOM), _BAR, (ACCENT_2, ACCENT)[row > 0])
        low, high = (round(end * _ROOM) for end in _ends(measured))
        sheet.fill(left + low, top + _BAR // 2, max(high - low, 1), 2, BLACK)
        sheet.text(f"{measured.accuracy:.1%}", left + _ROOM + 8, top, 12, bold=row > 0)


def _ends(measured: Measured) -> tuple[float, float]:
    return measured.interval.low, measured.interval.high


def _draw_cost(sheet: canvas.Canvas, result: Pruned) -> None:
    sheet.text("Cost, of the whole network", _RIGHT, _BARS - 22, 12, bold=True)
    channels = sum(group.channels for group in result.groups)
    rows = (
        ("channels", sum(result.left.values()) / channels),
        ("parameters", _parameters(result)),
        ("multiply-adds", result.cost),
    )
    for row, (name, part) in enumerate(rows):
        top, left = _BARS + row * _ROW, _RIGHT + _LABEL
        sheet.text(name, _RIGHT, top, 12)
        sheet.fill(left, top, _ROOM, _BAR, _PALE)
        sheet.fill(left, top, round(part * _ROOM), _BAR, ACCENT)
        sheet.text(_times(part), left + _ROOM + 8, top, 12, bold=True)


def _draw_curve(
    sheet: canvas.Canvas, result: Pruned, group: ChannelGroup, left: int, top: int
) -> None:
    share, channels = result.shares[group.name], result.left[group.name]
    others = f" +{len(group.layers) - 1}" if len(group.layers) > 1 else ""
    count = f": {channels} of {group.channels}"
    room = _CELL[0] - 12 - canvas.text_width(others + count, 11, bool(share))
    name = fitting(group.name, room, 11, bool(share))
    sheet.text(name + others + count, left, top, 11, bold=bool(share))
    start, width, height = _PLOT
    start, top = left + start, top + 20
    for level in (0, 0.5, 1):
        y = top + round((1 - level) * height)
        sheet.fill(start, y, width, 1, _LINE)
        text = percent(level)
        sheet.text(text, start - 4 - canvas.text_width(text, 10), y - 6, 10, ink=_QUIET)
        sheet.centred(percent(level), start + level * width, top + height + 11, 10, ink=_QUIET)
    sheet.fill(start + round(share * width) - 1, top - 2, 3, height + 4, ACCENT)
    points = sorted(result.curves[group.name].items())
    at = [(start + x * width, top + (1 - y) * height) for x, y in points]
    if len(at) > 1:
        page = Image.fromarray(sheet.pixels)
        ImageDraw.Draw(page).line(at, fill=ACCENT_2, width=2)
        sheet.pixels = np.array(page)
    for x, y in at:
        sheet.fill(round(x) - 2, round(y) - 2, 5, 5, ACCENT_2)
