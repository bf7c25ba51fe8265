"""The improve panel in a browser: search, stop, choose a point by mouse and by keyboard, train."""

from __future__ import annotations

import pytest

from tests.browser.lab import says, show_code

# A small network on few pictures: a candidate takes a tenth of a second.
_CELL = """from dataclasses import replace
from course_utils.data import load_dataset
from course_utils.models import SimpleCNN
from course_utils.widgets import improve_panel

data = load_dataset("fashion-mnist")
data = replace(data, train=data.train.few(500))
panel = improve_panel(SimpleCNN(widths=(4, 8)), data, budget=60)
panel"""


@pytest.fixture(scope="module")
def lab(run_cells):
    return run_cells(_CELL, size=(1280, 1200))


@pytest.fixture
def panel(lab):
    """Return Playwright's locator of the panel."""
    return lab.page.get_by_role("group", name="Improve panel", exact=True)


def points(panel):
    return panel.locator(".course-points").get_by_role("button")


def test_points_appear_while_it_searches_and_stop_ends_it(lab, panel):
    before = lab.picture()
    panel.get_by_role("button", name="Improve").click()
    panel.get_by_role("button", name="candidate 3, round 1").wait_for()
    assert lab.picture() != before
    assert lab.kernel("panel.running")
    panel.get_by_role("button", name="Stop").click()
    panel.get_by_text("Stopped: the best so far is kept.").wait_for()
    lab.wait_idle()
    assert not lab.kernel("panel.running") and lab.kernel("panel.error") == ""
    shown = lab.kernel("1 + sum(one.accuracy is not None for one in panel.result.tried)")
    assert points(panel).count() == shown >= 4


def test_a_click_on_a_point_chooses_it(lab, panel):
    before = lab.picture()
    point = panel.get_by_role("button", name="candidate 2, round 1")
    # Another point may lie over it: the click goes to the button all the same.
    point.dispatch_event("click")
    panel.get_by_text("Candidate 2 (round 1").wait_for()
    lab.wait_for_other_picture(before)
    assert lab.kernel("panel.settings['candidate']") == 2
    assert point.get_attribute("aria-pressed") == "true"
    assert panel.get_by_role("combobox", name="candidate").input_value().startswith("2: ")


def test_a_point_lies_where_it_is_drawn(lab, panel):
    point = panel.get_by_role("button", name="the network as given").bounding_box()
    image = panel.get_by_role("img").bounding_box()
    scale = "__import__('course_utils.widgets.improve_panel.picture', fromlist=['x']).Scale"
    places = f"{scale}(panel.view).places(panel.view)"
    [place] = lab.kernel(f"[(p.x, p.y) for p in {places} if not p.one.number]")
    middle = (point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    assert middle[0] - image["x"] == pytest.approx(place[0], abs=2)
    assert middle[1] - image["y"] == pytest.approx(place[1], abs=2)
    lab.page.mouse.click(*middle)
    panel.get_by_text("Chosen: the network as it was given.").wait_for()
    assert lab.kernel("panel.settings['candidate']") == 0


def test_the_arrows_go_from_point_to_point(lab, panel):
    order = [int(point.get_attribute("data-number")) for point in points(panel).all()]
    chosen = panel.locator(".course-points button[tabindex='0']")
    assert chosen.count() == 1
    chosen.press("Home")
    for number in order[:3]:
        panel.locator(f"button[data-number='{number}'][aria-pressed=true]").wait_for()
        assert lab.kernel("panel.settings['candidate']") == number
        # The buttons are new ones; the keyboard focus is still on the same candidate.
        lab.page.wait_for_function(f"document.activeElement.dataset.number === '{number}'")
        lab.page.keyboard.press("ArrowRight")
    lab.wait_idle()
    assert lab.kernel("panel.error") == ""


def test_train_it_fills_the_table(lab, panel):
    panel.get_by_role("combobox", name="candidate").select_option(index=2)
    panel.locator("button[data-number='1'][aria-pressed=true]").wait_for()
    lab.wait_idle()
    panel.get_by_role("button", name="Train it").click()
    panel.get_by_text("Trained: the table has both.").wait_for()
    table = panel.get_by_role("table", name="Trained side by side (95 % intervals)")
    rows = table.get_by_role("rowheader").all_inner_texts()
    assert rows == ["candidate 1", "as given, article’s training"]


def test_the_code_is_shown_on_request(panel):
    show_code(panel, "history = fit(")


def test_nothing_may_vary_is_answered_in_words(lab, panel):
    for name in ("out_channels", "kernel_size", "depth", "training"):
        panel.get_by_role("checkbox", name=name).uncheck()
    alert = panel.get_by_role("alert").filter(has_text="Nothing may vary")
    alert.wait_for()
    panel.get_by_role("button", name="Nearest that works: out_channels = True").click()
    alert.wait_for(state="hidden")
    says(panel, "Validation accuracy against multiply-adds")


def test_nothing_was_wrong_in_the_browser(lab):
    assert lab.errors == []
