"""Notebook 02_1 in a real JupyterLab: it runs, and its panels follow the keyboard and the mouse."""

from __future__ import annotations

import nbformat
import pytest

from tests.browser.lab import ROOT

NOTEBOOK = ROOT / "notebooks" / "02_1_convolution.ipynb"
PANELS = ".jp-OutputArea >> .course-panel"


def panel(n: int) -> str:
    return f"{PANELS} >> nth={n}"


@pytest.fixture(scope="module")
def lab(open_lab):
    lab = open_lab()
    lab.open(f"notebooks/{NOTEBOOK.name}")
    lab.run_all()
    return lab


def first_slider(lab) -> str:
    """Return a selector of the first panel that has a slider."""
    for n in range(lab.page.locator(PANELS).count()):
        if lab.sliders(panel(n)).count():
            return panel(n)
    raise AssertionError("no panel with a slider")


def test_every_cell_ran(lab):
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    meant = [c for c in cells if "raises-exception" in c.metadata.get("tags", [])]
    assert len(lab.failed_cells()) == len(meant)
    code = sum(cell.cell_type == "code" for cell in cells)
    shown = lab.page.locator(".jp-InputPrompt").all_inner_texts()
    prompts = [text for text in shown if "[" in text]
    assert sorted(prompts) == sorted(f"[{i}]:" for i in range(1, code + 1))


def test_every_panel_is_alive(lab):
    panels = lab.page.locator(PANELS).count()
    assert panels >= 2
    for n in range(panels):
        assert lab.pictures(panel(n)).count() >= 1
        assert lab.page.locator(f"{panel(n)} >> .course-summary").inner_text().strip()


def test_a_slider_moves_by_keyboard(lab):
    within = first_slider(lab)
    before, value = lab.picture(within), lab.slider_value(within)
    [there] = lab.press("ArrowRight", within=within)
    assert there is not None, "no new picture came"
    assert lab.slider_value(within) != value
    lab.wait_for_other_picture(before, within)
    lab.press("ArrowLeft", within=within)
    assert lab.slider_value(within) == value
    assert lab.picture(within) == before, "the same setting makes the same picture"


def test_a_slider_moves_by_mouse(lab):
    within = first_slider(lab)
    before, value = lab.picture(within), lab.slider_value(within)
    lab.drag(within)
    assert lab.slider_value(within) > value
    lab.wait_for_other_picture(before, within)


def test_both_ends_of_every_slider_show_a_picture_or_a_sentence(lab):
    for n in range(lab.page.locator(PANELS).count()):
        for handle in lab.sliders(panel(n)).all():
            if not handle.is_visible():
                continue  # a setting that does not belong to the chosen kind
            for key in ("End", "Home"):
                handle.press(key)
                lab.settle()
                error = lab.page.locator(f"{panel(n)} >> .course-error").inner_text()
                assert "Unexpected" not in error and "Traceback" not in error
                summary = lab.page.locator(f"{panel(n)} >> .course-summary").inner_text()
                assert (error + summary).strip()


def test_nothing_was_wrong_in_the_browser(lab):
    assert lab.errors == []
