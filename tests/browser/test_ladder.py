"""The ladder panel in a browser: choose a rung by keyboard, train it, stop a long one."""

from __future__ import annotations

import pytest

from tests.browser.lab import says, show_code

_CELL = """from course_utils.widgets import ladder_panel

panel = ladder_panel(rung="article")
panel"""


@pytest.fixture(scope="module")
def lab(run_cells):
    return run_cells(_CELL, size=(1280, 1000))


@pytest.fixture
def panel(lab):
    """Return Playwright's locator of the panel."""
    return lab.page.get_by_role("group", name="Ladder panel", exact=True)


def test_the_keyboard_chooses_a_rung(lab, panel):
    before = lab.picture()
    chosen = panel.get_by_role("combobox", name="rung")
    chosen.focus()
    lab.page.keyboard.press("ArrowDown")
    lab.wait_for_other_picture(before)
    assert lab.kernel("panel.settings['rung']") == "longer"
    panel.get_by_role("status").filter(has_text="points over article").wait_for()
    lab.page.keyboard.press("ArrowUp")
    panel.get_by_role("status").filter(has_text="article: the article").wait_for()


def test_a_training_becomes_a_mark(lab, panel):
    before = lab.picture()
    panel.get_by_role("button", name="Train").click()
    panel.get_by_role("status").filter(has_text="Your own:").wait_for()
    lab.wait_idle()
    assert lab.picture() != before and lab.kernel("panel.error") == ""
    assert lab.kernel("len(panel.runs)") == 1
    panel.get_by_role("button", name="Train").click()
    panel.get_by_role("alert").filter(has_text="trained already").wait_for()
    panel.get_by_role("combobox", name="rung").select_option(index=1)
    says(panel, "points over article")


def test_the_code_is_shown_on_request(panel):
    show_code(panel, "climb(rung, plan, 3, folder)")


def test_stop_ends_a_long_one(lab, panel):
    panel.get_by_role("combobox", name="rung").select_option(index=12)
    panel.get_by_role("button", name="Train").click()
    panel.get_by_text("larger, seed 3: epoch 1 of").wait_for()
    panel.get_by_role("button", name="Stop").click()
    panel.get_by_text("Stopped: no run to compare.").wait_for()
    lab.wait_idle()
    assert lab.kernel("panel.error") == "" and not lab.kernel("panel.running")
    assert not lab.errors
