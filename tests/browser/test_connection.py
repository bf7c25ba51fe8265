"""A panel in a second tab is live; after a restart of the kernel each says what to press."""

from __future__ import annotations

import pytest

from tests.browser.lab import says

_CELL = """from course_utils.widgets import convolution_stepper, page
page.PATIENCE, page.PAUSE = 1.0, 4.0
panel = convolution_stepper()
panel"""
_BUSY = """import pathlib, time
while not pathlib.Path('go').exists():
    time.sleep(0.05)"""
_EXECUTE = """code => { jupyterapp.shell.currentWidget.sessionContext.session.kernel
  .requestExecute({code}); }"""


@pytest.fixture(scope="module")
def started(run_cells):
    return run_cells(_CELL)


@pytest.fixture
def lab(started):
    """A page with a live panel."""
    started.run_all()
    started.errors.clear()
    return started


@pytest.fixture
def second(lab):
    """The same notebook in a second page."""
    page = lab.open_again("cells.ipynb")
    page.locator(".course-panel .course-picture").wait_for()
    yield page
    page.close()


def panel(page):
    return page.get_by_role("group", name="Convolution, one window at a time")


def alert(page, text: str):
    return panel(page).get_by_role("alert").filter(has_text=text)


def test_after_a_restart_a_panel_says_what_to_press(lab):
    assert panel(lab.page).get_by_role("alert").count() == 0
    lab.restart()
    alert(lab.page, "no longer connected, because the kernel was restarted").wait_for()
    assert "choose Run → Run All Cells" in alert(lab.page, "connected").inner_text()
    # JupyterLab's own mark, a broken chain beside each control, would say no more.
    marks = "e => getComputedStyle(e, '::before').display"
    dead = panel(lab.page).locator(".jupyter-widgets-disconnected")
    assert dead.count() > 5 and set(dead.evaluate_all(f"all => all.map({marks})")) == {"none"}
    panel(lab.page).get_by_role("slider", name="stride").press("ArrowRight")
    lab.run_all()
    panel(lab.page).get_by_role("slider", name="stride").press("ArrowRight")
    says(panel(lab.page), "of 0…8")
    assert panel(lab.page).get_by_role("alert").count() == 0
    assert lab.errors == []


def test_a_second_tab_is_live_and_notices_a_restart_of_the_first(lab, second):
    panel(second).get_by_role("slider", name="stride").press("ArrowRight")
    for page in (lab.page, second):
        says(panel(page), "of 0…8")
    lab.restart()
    alert(lab.page, "no longer connected").wait_for()
    # JupyterLab does not tell the second tab: it asks when the reader comes back to the panel. The
    # restart took less time than the pause after its last question, so it asks a little later.
    panel(second).hover()
    alert(second, "Python does not answer").wait_for()
    assert "choose Run → Run All Cells" in alert(second, "no longer connected").inner_text()
    # A menu is the way for the reader; the command needs no waiting for it.
    second.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
    alert(second, "Python").wait_for(state="hidden")
    panel(second).get_by_role("slider", name="stride").press("ArrowRight")
    says(panel(second), "of 0…8")


def test_a_busy_kernel_is_not_taken_for_a_lost_one(lab, course_copy):
    lab.page.evaluate(_EXECUTE, _BUSY)
    panel(lab.page).hover()
    alert(lab.page, "If a cell is running").wait_for()
    (course_copy / "go").touch()
    alert(lab.page, "Python").wait_for(state="hidden")
    assert lab.errors == []
