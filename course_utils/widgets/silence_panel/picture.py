"""The picture and the words of the silence panel: kernels, what is seen, and the curve."""

from __future__ import annotations

import math
import textwrap

import numpy as np
from PIL import Image, ImageDraw

from course_utils.plots import ACCENT, ACCENT_2, BLACK, canvas
from course_utils.widgets.overlay import Spot
from course_utils.widgets.seen import draw_seen, fitting, percent, seen_height, verdict
from course_utils.widgets.silence_panel.silenced import Silenced

WIDTH, _EDGE = 700, 10
_TOP, _SIDE = 56, 128  # top of photograph and maps; side of the photograph
_LEFT, _COLUMNS, MOST = 164, 8, 32  # left end of the maps; maps in a row; maps that are shown
_CELL, _MAP = (66, 62), 44  # a map with its number; the map
_SEEN = _TOP + MOST // _COLUMNS * _CELL[1] + 8
_PLOT = (48, 150)  # left end and height of the curve's axes
_QUIET, _PALE, _LINE = 36, 112, 96  # palette greys

# A click on a map switches its kernel in the list.
_CLICK = (
    "const list = this.closest('.course-panel').querySelector('.course-by-hand select');"
    " const one = list.options[{kernel}]; one.selected = !one.selected;"
    " list.dispatchEvent(new Event('change', {{bubbles: true}}));"
)


def height_of(result: Silenced) -> int:
    """Return the height of the picture; neither slider nor clicks change it."""
    return _SEEN + seen_height(result.network.classes) + 24 + _PLOT[1] + 40


def spots(result: Silenced) -> list[Spot]:
    """Return a button for each map; those that the slider has taken cannot be switched."""
    taken = set(result.order[: result.taken])
    found = []
    for kernel, left, top in _places(result):
        if kernel not in taken:
            pressed = kernel in result.choice.by_hand
            label = f"kernel {kernel}: switch it {'on' if pressed else 'off'}"
            script = _CLICK.format(kernel=kernel)
            found.append(Spot(label, script, pressed, left - 2, top - 2, _MAP + 4, _MAP + 18))
    return found


def heading(result: Silenced) -> str:
    """Return "stem.conv: 5 of 32 kernels are silent, the 4 smallest and by hand 18"."""
    layer, count, every = result.choice.layer, len(result.silent), len(result.order)
    if not count:
        return f"{layer}: all {every} kernels are on"
    are = "is" if count == 1 else "are"
    return f"{layer}: {count} of {every} kernels {are} silent, {which(result)}"


def which(result: Silenced) -> str:
    """Return which kernels are silent: "the 4 smallest and by hand 18"."""
    order, taken = result.choice.order, result.taken
    parts = []
    if taken:
        some = f"the {taken} {order}" if taken > 1 else f"the {order}"
        parts.append(f"{taken} at random" if order == "at random" else some)
    if hand := result.choice.by_hand:
        parts.append(f"by hand {', '.join(map(str, hand[:12]))}{', …' * (len(hand) > 12)}")
    return " and ".join(parts)


def words(result: Silenced, measured: bool = True) -> str:
    """Return what the network sees now: "still Egyptian cat, 66 → 60 %"."""
    return verdict(result.before, result.after, bool(result.silent), measured)


def summary(result: Silenced, measured: bool = True) -> str:
    """Return the result in a line; without `measured` it has no percentages."""
    label = result.network.held_out.label(result.choice.index)
    return f"{heading(result)}; picture {label!r}: {words(result, measured)}."


def draw(result: Silenced) -> bytes:
    """Return the picture as a PNG, `WIDTH` pixels wide."""
    sheet = canvas.Canvas(WIDTH, height_of(result))
    room = WIDTH - 2 * _EDGE
    sheet.text(fitting(heading(result), room, 14, True), _EDGE, 8, 14, bold=True)
    _draw_maps(sheet, result)
    seen = result.before, result.after
    draw_seen(sheet, *seen, words(result), _EDGE, _SEEN, room)
    _draw_curve(sheet, result, _SEEN + seen_height(result.network.classes))
    photograph = _photograph(sheet, result)
    if photograph is None:
        return sheet.to_png()
    picture = canvas.coloured(sheet.pixels)
    picture.paste(photograph, (_EDGE, _TOP))
    return canvas.to_png(picture)


def _photograph(sheet: canvas.Canvas, result: Silenced) -> Image.Image | None:
    """Draw the picture in grey, or return it if it has colours; write its name."""
    held_out, index = result.network.held_out, result.choice.index
    sheet.text("image", _EDGE, _TOP - 18, 12, bold=True)
    sheet.text(fitting(held_out.label(index), _SIDE, 11), _EDGE, _TOP + _SIDE + 6, 11)
    if held_out.data is None:
        for k, line in enumerate(textwrap.wrap(held_out.credit(index), 22)):
            sheet.text(line, _EDGE, _TOP + _SIDE + 26 + 15 * k, 10, ink=_QUIET)
        colours = Image.fromarray(held_out.colours(index).numpy())
        return colours.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    image = held_out.images[index].numpy()
    grey = canvas.grey_indices(image[: min(len(image), 3)].mean(0, keepdims=True))
    sheet.paste(canvas.tile(grey, (_SIDE, _SIDE), 0), _EDGE, _TOP)
    return None


def _places(result: Silenced) -> list[tuple[int, int, int]]:
    """Return kernel, left and top of each map that is shown, in the order of the slider."""
    width, height = _CELL
    return [
        (kernel, _LEFT + k % _COLUMNS * width, _TOP + k // _COLUMNS * height)
        for k, kernel in enumerate(result.order[:MOST])
    ]


def _draw_maps(sheet: canvas.Canvas, result: Silenced) -> None:
    count = len(result.order)
    some = f", the first {MOST} of {count}" if count > MOST else ""
    text = f"what each kernel finds ({_ORDER[result.choice.order]}{some})"
    sheet.text(text, _LEFT, _TOP - 18, 12, bold=True)
    maps, silent = result.maps.numpy(), set(result.silent)
    shown = maps[list(result.order[:MOST])]
    indices = canvas.signed_indices(shown, float(np.abs(maps).max(initial=0.0)) / 2)
    for one, (kernel, left, top) in zip(indices, _places(result), strict=True):
        sheet.fill(left - 1, top - 1, _MAP + 2, _MAP + 2, _LINE)
        off = kernel in silent
        if off:
            sheet.fill(left, top, _MAP, _MAP, _PALE)
            sheet.centred("silent", left + _MAP / 2, top + _MAP / 2, 11)
        else:
            picture = Image.fromarray(one).resize((_MAP, _MAP), Image.Resampling.NEAREST)
            sheet.paste(np.asarray(picture), left, top)
        if kernel in result.choice.by_hand:
            sheet.frame(left - 2, top - 2, _MAP + 4, _MAP + 4, ACCENT_2, 2)
        sheet.centred(f"{kernel}", left + _MAP / 2, top + _MAP + 9, 11, bold=off)


_ORDER = {
    "smallest": "smallest first",
    "largest": "largest first",
    "least active": "least active first",
    "at random": "in random order",
}


def _draw_curve(sheet: canvas.Canvas, result: Silenced, top: int) -> None:
    """Draw the probability of the watched classes by the number of kernels taken away."""
    left, height = _PLOT
    width, count = WIDTH - left - 2 * _EDGE, len(result.order)
    several = f"any of {len(result.watched)} classes"
    names = several if len(result.watched) > 2 else " or ".join(result.watched)
    how = _PLAIN[result.choice.order]
    share = result.curve[result.taken]
    now = percent(share) if math.isfinite(share) else "not known"
    title = f"{now}: probability of {names}, with the {result.taken} {how} taken away"
    sheet.text(fitting(title, WIDTH - 2 * _EDGE, 12, True), _EDGE, top, 12, bold=True)
    top += 24
    for share in (0, 0.5, 1):
        y = top + round((1 - share) * height)
        sheet.fill(left, y, width, 1, _LINE)
        text = f"{share:.0%}".replace("%", " %")
        sheet.text(text, left - 6 - canvas.text_width(text, 11), y - 7, 11, ink=_QUIET)
    step = next(step for step in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if count / step <= 16)
    for number in range(0, count + 1, step):
        x = left + width * number / count
        sheet.centred(f"{number}", x, top + height + 12, 11, ink=_QUIET)
    sheet.text("kernels taken away", left, top + height + 22, 11, ink=_QUIET)
    points = sorted((n, share) for n, share in result.curve.items() if math.isfinite(share))
    at = [(left + width * n / count, top + (1 - share) * height) for n, share in points]
    if len(at) > 1:
        page = Image.fromarray(sheet.pixels)
        ImageDraw.Draw(page).line(at, fill=ACCENT_2, width=2)
        sheet.pixels = np.array(page)
    for (x, y), (number, _share) in zip(at, points, strict=True):
        half, ink = (5, ACCENT) if number == result.taken else (2, ACCENT_2)
        sheet.fill(round(x) - half, round(y) - half, 2 * half + 1, 2 * half + 1, ink)
        if number == result.taken:
            sheet.frame(round(x) - half, round(y) - half, 2 * half + 1, 2 * half + 1, BLACK, 1)


_PLAIN = {name: name for name in _ORDER} | {"at random": "kernels of a random order"}
