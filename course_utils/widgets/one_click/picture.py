"""The picture of the one-click lab: the network, its feature maps and a table, before and after."""

from __future__ import annotations

from course_utils.plots import canvas
from course_utils.widgets.one_click.drawing import OUTLINE, QUIET, Drawing
from course_utils.widgets.one_click.edit_result import ALL_MAPS, NO_CLASS, SIDES, EditResult
from course_utils.widgets.one_click.geometry import EDGE, ONCE, WIDTH, ClickArea, Place
from course_utils.widgets.one_click.maps import MAPS, draw_maps, map_places, squares
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from course_utils.widgets.one_click.words import (
    followed,
    heading,
    notes,
    row_names,
    table,
    what_it_sees,
)
from course_utils.widgets.seen import draw_seen, fitting, seen_height, seen_places

_TOP = 32  # of the drawing, below the heading
_ROW, _COLUMNS = 21, (EDGE, 168, 366, 564)  # height of a row; left ends of the columns
_BAND = 118  # palette grey under every second row
_HINT = ": click on a class to see what speaks for it"


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
    top = _TOP + drawing.height + 12
    for side, number, box in map_places(result, top):
        label = f"map {number} {SIDES[side]}: show it large, with its kernel"
        areas.append(ClickArea("map", f"{SIDES[side]} {number}", label, *box))
    if result.large_map or result.grad_cams:
        control, none = ("map", ALL_MAPS) if result.large_map else ("grad_cam", NO_CLASS)
        areas += [ClickArea(control, none, "show all maps", *box) for box in squares(top)]
    for one, box in seen_places(*result.seen, EDGE, top + MAPS + 38, WIDTH - 2 * EDGE):
        chosen = one.index == result.grad_cam
        label = f"which pixels speak for {one.name} (Grad-CAM)"
        label = "show all maps" if chosen else label
        areas.append(ClickArea("grad_cam", NO_CLASS if chosen else one.index, label, *box))
    return tuple(areas)


def height_of(network: MeasuredNetwork, drawing: str = ONCE) -> int:
    """Return the height of the picture; neither an edit nor the chosen layer changes it."""
    above = _TOP + Drawing(network, "", _TOP, drawing).height + MAPS + 52
    return above + seen_height(network.classes) + 22 + _ROW * len(row_names(network)) + 44


def draw(result: EditResult) -> bytes:
    """Return the picture as a PNG, `WIDTH` pixels wide."""
    sheet = canvas.Canvas(WIDTH, height_of(result.before, result.drawing))
    sheet.text(fitting(heading(result), WIDTH - 2 * EDGE, 14, True), EDGE, 8, 14, bold=True)
    drawing = Drawing(result.before, result.layer, _TOP, result.drawing)
    drawing.draw(sheet, result, _remark(result))
    top = _TOP + drawing.height + 12
    coloured = draw_maps(sheet, result, top)
    top += MAPS + 38
    if result.before.classes:
        room = EDGE, top, WIDTH - 2 * EDGE
        draw_seen(sheet, *result.seen, what_it_sees(result), *room, _HINT)
    _draw_table(sheet, result, top + seen_height(result.before.classes))
    if not coloured:
        return sheet.to_png()
    picture = canvas.coloured(sheet.pixels)  # the palette of the sheet has no colours for them
    for part, left, y in coloured:
        picture.paste(part, (left, y))
    return canvas.to_png(picture)


def _remark(result: EditResult) -> str:
    return (
        "height: size of the maps; width: channels" if result.report is None else followed(result)
    )


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
