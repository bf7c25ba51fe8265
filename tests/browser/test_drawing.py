"""The drawing panel: a drawing by mouse and by keyboard reaches the network."""

from __future__ import annotations

import pytest

from tests.browser.lab import says

_CELLS = (
    "from course_utils.widgets import drawing_panel\npanel = drawing_panel()\npanel",
    "panel",  # a second view
)
_PAINTED = "int(panel.settings['drawing'].astype(bool).sum())"


@pytest.fixture(scope="module")
def lab(run_cells):
    return run_cells(*_CELLS, size=(1280, 1200))


def panel(lab, number=0):
    return lab.page.get_by_role("group", name="Drawing panel", exact=True).nth(number)


def field(lab, number=0):
    return panel(lab, number).get_by_role("application")


def stroke(lab, *places):
    """Draw a line through places, given as fractions of the field."""
    box = field(lab).bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    lab.page.mouse.move(*points[0])
    lab.page.mouse.down()
    for point in points[1:]:
        lab.page.mouse.move(*point, steps=5)
    lab.page.mouse.up()


def test_trousers_drawn_with_the_mouse(lab):
    field(lab).scroll_into_view_if_needed()
    panel(lab).get_by_role("slider", name="brush").fill("6")
    stroke(lab, (0.36, 0.95), (0.4, 0.1), (0.6, 0.1), (0.64, 0.95))
    says(panel(lab), "your drawing, begun with a blank page: the network sees Trouser")


def test_the_keyboard_paints_and_jupyterlab_does_not_listen(lab):
    panel(lab).get_by_role("button", name="Start again").click()
    says(panel(lab), "a blank page: ")
    assert lab.kernel(_PAINTED) == 0
    field(lab).focus()
    for key in ("ArrowLeft", "Space", "Shift+ArrowDown", "ArrowDown"):
        lab.page.keyboard.press(key)
    says(panel(lab), "your drawing, begun with a blank page")
    assert 25 < lab.kernel(_PAINTED) < 90
    assert field(lab).evaluate("canvas => canvas === document.activeElement")


def test_a_new_start_is_shown_in_both_views(lab):
    for number in (0, 1):
        panel(lab, number).get_by_label("start from").wait_for()
    panel(lab).get_by_label("start from").select_option("Bag")
    says(panel(lab), "Bag: the network sees Bag")
    seen = "canvas => canvas.getContext('2d').getImageData(14, 20, 1, 1).data[0]"
    there = lab.kernel("int(panel.settings['drawing'][20, 14])")
    for number in (0, 1):
        lab.page.wait_for_function(
            f"([canvas, v]) => ({seen})(canvas) === v",
            arg=[field(lab, number).element_handle(), there],
        )
    assert not lab.errors
