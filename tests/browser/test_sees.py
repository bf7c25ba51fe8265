"""Panels that look at pictures, by click: EfficientNet-Lite0, and the mistakes of a network."""

from __future__ import annotations

import pytest

from tests.browser.lab import says

_CELLS = (
    """from course_utils.models import load_pretrained
from course_utils.widgets import evaluation_panel, one_click_lab, silence_panel
lab = one_click_lab(load_pretrained("efficientnet_lite0"))
lab""",
    "quiet = silence_panel()\nquiet",
    "judged = evaluation_panel()\njudged",
)


@pytest.fixture(scope="module")
def lab(run_cells):
    return run_cells(*_CELLS, size=(1280, 1200))


def panel(lab, name):
    return lab.page.get_by_role("group", name=name, exact=True)


def test_a_wider_layer_still_sees_the_cat(lab):
    one_click = panel(lab, "One-click lab")
    one_click.get_by_role("slider", name="out_channels").press("ArrowRight")
    says(one_click, "out_channels 32 → 33; followed: 2 BatchNorm2d, 2 Conv2d;")
    says(one_click, "picture 'cat': still Egyptian cat, ")
    one_click.get_by_role("slider", name="picture").press("ArrowRight")
    says(one_click, "picture 'coffee': still ")


def test_a_click_silences_the_kernel_that_makes_the_cat_a_lynx(lab):
    quiet = panel(lab, "Silence panel")
    says(quiet, "all 32 kernels are on; picture 'cat': Egyptian cat")
    quiet.get_by_title("kernel 18: switch it off", exact=True).click()
    says(quiet, "1 of 32 kernels is silent, by hand 18; picture 'cat': was Egyptian cat")
    assert lab.kernel("quiet.result.after[0].name") == "lynx"
    assert lab.kernel("list(quiet.settings['by_hand'])") == [18]
    quiet.get_by_title("kernel 18: switch it on", exact=True).click()
    says(quiet, "all 32 kernels are on")


def test_the_slider_takes_kernels_away(lab):
    quiet = panel(lab, "Silence panel")
    quiet.get_by_role("slider", name="take away").press("ArrowRight")
    says(quiet, "1 of 32 kernels is silent, the smallest; picture")
    assert lab.kernel("(quiet.wait(60), quiet.result.complete)") == [True, True]


def test_a_click_on_a_cell_shows_its_pictures(lab):
    judged = panel(lab, "Evaluation panel")
    judged.locator('button[title^="Pullover → Coat: "]').click()
    says(judged, "Pullover taken for Coat: ")
    judged.get_by_label("true", exact=True).select_option("Coat")
    says(judged, "Coat, recognised: ")
    judged.get_by_role("slider", name="keep of it").press("ArrowRight")
    says(judged, "50 % of Shirt")


def test_nothing_was_wrong_in_the_browser(lab):
    assert lab.errors == []
