"""The picture of the one-click lab: the network, its feature maps and a table, before and after."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from course_utils.plots import WHITE, canvas
from course_utils.widgets.one_click.drawing import OUTLINE, QUIET, Drawing
from course_utils.widgets.one_click.edit_result import EditResult
from course_utils.widgets.one_click.geometry import EDGE, ONCE, WIDTH, ClickArea, Place
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from course_utils.widgets.one_click.words import (
    followed,
    heading,
    notes,
    row_names,
    table,
    what_it_sees,
)
from course_utils.widgets.seen import draw_seen, fitting, seen_height

_TOP = 32  # of the drawing, below the heading
_MAPS, _GAP = 236, 16  # side of the square of feature maps, and between two of them
_MOST = 16  # feature maps
_ROW, _COLUMNS = 21, (EDGE, 168, 366, 564)  # height of a row; left ends of the columns
_HAIRLINE, _BAND = 96, 118  # palette greys: around the maps, under every second row


def places(network: MeasuredNetwork, layer: str) -> tuple[Place, ...]:
    """Return the places in the picture of the layers that can be edited; `layer` is one of them."""
    drawn = Drawing(network, layer, _TOP).places
    return tuple(place for place in drawn if place.node.name in network.convs)


def click_areas(result: EditResult) -> tuple[ClickArea, ...]:
    """Return where a click on the picture does what: on a layer, or on "× 3".

    Nodes that cannot be chosen only say what they are.
    """
    network = result.before
    drawing = Drawing(network, result.layer, _TOP, result.drawing)
    areas = []
    for place in drawing.places:
        box = place.left, place.top, place.width, place.height
        name, editable = place.node.name, place.node.weighted and place.node.name in network.convs
        if editable:
            areas.append(ClickArea("layer", name, f"layer {name}", *box))
        else:
            areas.append(ClickArea("", None, drawing.says(place, network), *box))
    for span in drawing.repeats:
        label = f"{span.text}: draw all blocks like {span.leads_to}"
        if span.leads_to == ONCE:
            label = "draw one block for all that repeat it"
        areas.append(ClickArea("drawing", span.leads_to, label, span.right - 44, span.top, 44, 18))
    return tuple(areas)


def height_of(network: MeasuredNetwork, drawing: str = ONCE) -> int:
    """Return the height of the picture; neither an edit nor the chosen layer changes it."""
    above = _TOP + Drawing(network, "", _TOP, drawing).height + _MAPS + 52
    return above + seen_height(network.classes) + 22 + _ROW * len(row_names(network)) + 44


def draw(result: EditResult) -> bytes:
    """Return the picture as a PNG, `WIDTH` pixels wide."""
    sheet = canvas.Canvas(WIDTH, height_of(result.before, result.drawing))
    sheet.text(fitting(heading(result), WIDTH - 2 * EDGE, 14, True), EDGE, 8, 14, bold=True)
    drawing = Drawing(result.before, result.layer, _TOP, result.drawing)
    drawing.draw(sheet, result, _remark(result))
    top = _TOP + drawing.height + 12
    photograph = _draw_maps(sheet, result, top)
    top += _MAPS + 38
    if result.before.classes:
        draw_seen(sheet, *result.seen, what_it_sees(result), EDGE, top, WIDTH - 2 * EDGE)
    _draw_table(sheet, result, top + seen_height(result.before.classes))
    if photograph is None:
        return sheet.to_png()
    picture = canvas.coloured(sheet.pixels)  # the palette of the sheet has no colours for it
    picture.paste(photograph, (EDGE, _TOP + drawing.height + 32))
    return canvas.to_png(picture)


def _remark(result: EditResult) -> str:
    return (
        "height: size of the maps; width: channels" if result.report is None else followed(result)
    )


def _draw_maps(sheet: canvas.Canvas, result: EditResult, top: int) -> Image.Image | None:
    """Draw the input image, and the layer's maps before and after on one scale.

    Return the image in colour, to be pasted over the grey one, if it is a photograph.
    """
    left = WIDTH - EDGE - 2 * _MAPS - _GAP
    side = left - EDGE - 24
    sheet.text("picture", EDGE, top, 12, bold=True)
    image = result.image.numpy()
    grey = canvas.grey_indices(image[: min(len(image), 3)].mean(0, keepdims=True))
    shown = canvas.tile(grey, (side, side), 0)
    photograph = None
    if result.before.held_out.data is None:
        colours = Image.fromarray(result.before.held_out.colours(result.index).numpy())
        photograph = colours.resize(shown.shape[::-1], Image.Resampling.BOX)
    sheet.paste(shown, EDGE, top + 20)
    y = top + 26 + len(shown)
    sheet.text(fitting(result.label, side, 11), EDGE, y, 11)
    for line in ("blue: negative", "white: 0", "red: positive", "one scale for both"):
        y += 17
        sheet.text(line, EDGE, y, 11, ink=QUIET)

    before, after = (maps.numpy() for maps in result.maps)
    limit = max(float(np.abs(maps).max(initial=0.0)) for maps in (before, after))
    most = _map_count(max(*before.shape[1:], *after.shape[1:]))
    for title, maps in (("before", before), ("after", after)):
        channels, height, width = maps.shape
        sheet.text(f"{title}: {channels} × {height}×{width}", left, top, 12, bold=True)
        if channels > most:
            text = f"the first {most}"
            x = left + _MAPS - canvas.text_width(text, 10)
            sheet.text(text, x, top + 2, 10, ink=QUIET)
        indices = canvas.signed_indices(maps[:most], limit)
        grid = canvas.tile(indices, (_MAPS, _MAPS), 3)
        sheet.fill(left - 2, top + 18, grid.shape[1] + 4, grid.shape[0] + 4, _HAIRLINE)
        sheet.fill(left - 1, top + 19, grid.shape[1] + 2, grid.shape[0] + 2, WHITE)
        sheet.paste(grid, left, top + 20)
        left += _MAPS + _GAP
    return photograph


def _map_count(side: int) -> int:
    """Return how many maps of this size fill their square best, enlarged by a whole factor."""

    def filled(count: int) -> int:
        columns = math.isqrt(count)
        room = (_MAPS - 3 * (columns - 1)) // columns
        return columns * (room if side > room else room // side * side)

    return max((_MOST, 9), key=lambda count: filled(count) // 10)


def _draw_table(sheet: canvas.Canvas, result: EditResult, top: int) -> None:
    rows = table(result)
    for text, left in zip(("", "before", "after", "after / before"), _COLUMNS, strict=True):
        sheet.text(text, left, top, 12, bold=True)
    sheet.fill(EDGE - 4, top + 19, WIDTH - 2 * EDGE + 8, 1, OUTLINE)
    for k, row in enumerate(rows):
        y = top + 22 + _ROW * k
        if k % 2:
            sheet.fill(EDGE - 4, y - 1, WIDTH - 2 * EDGE + 8, _ROW, _BAND)
        end = WIDTH - EDGE + 4
        for place, (text, left) in reversed(list(enumerate(zip(row, _COLUMNS, strict=True)))):
            if text:  # it may extend over empty cells to its right
                style = {} if place else {"ink": QUIET}
                sheet.text(fitting(text, end - left - 4, 12), left, y + 2, 12, **style)
                end = left
    for k, line in enumerate(notes(result)):
        y = top + 28 + _ROW * len(rows) + 17 * k
        sheet.text(fitting(line, WIDTH - 2 * EDGE, 10), EDGE, y, 10, ink=QUIET)
