"""Panels that look at pictures, by click: EfficientNet-Lite0, and the mistakes of a network."""

from __future__ import annotations

import pytest

from tests.browser.lab import says

_CELLS = (
    """from course_utils.models import load_pretrained
from course_utils.widgets import evaluation_panel, one_click_lab, silence_panel
model = load_pretrained("efficientnet_lite0")
lab = one_click_lab(model)
lab""",
    "quiet = silence_panel()\nquiet",
    "judged = evaluation_panel()\njudged",
    "twin = one_click_lab(model, layer='head.conv')\ntwin",
)


@pytest.fixture(scope="module")
def lab(run_cells):
    return run_cells(*_CELLS, size=(1280, 1200))


def panel(lab, name, number=0):
    return lab.page.get_by_role("group", name=name, exact=True).nth(number)


def test_a_wider_layer_still_sees_the_cat(lab):
    one_click = panel(lab, "One-click lab")
    one_click.get_by_role("slider", name="out_channels").press("ArrowRight")
    says(one_click, "out_channels 32 → 33; followed: 2 BatchNorm2d, 2 Conv2d;")
    says(one_click, "picture 'cat': still Egyptian cat, ")
    one_click.get_by_role("slider", name="picture").press("ArrowRight")
    says(one_click, "picture 'coffee': still ")


def test_the_width_slider_by_keyboard(lab):
    one_click = panel(lab, "One-click lab")
    one_click.get_by_role("slider", name="width ×").press("ArrowRight")
    one_click.get_by_role("alert").filter(has_text="apply it first").wait_for()
    one_click.get_by_role("button", name="Undo").click()
    says(one_click, "unchanged")
    one_click.get_by_role("slider", name="width ×").press("ArrowRight")
    says(one_click, "width × 1.1; changed: ")
    says(one_click, "the same function")
    says(one_click, "still ")
    one_click.get_by_role("slider", name="width ×").press("Home")
    says(one_click, "width × 0.25; changed: ")
    assert lab.kernel("lab.model.head.conv.out_channels") == 320
    one_click.get_by_role("button", name="Undo").click()
    says(one_click, "unchanged")


def test_a_click_on_a_map_shows_it_large(lab):
    one_click = panel(lab, "One-click lab")
    one_click.get_by_title("map 5 before: show it large, with its kernel", exact=True).click()
    says(one_click, "Shown large: map 5 before, and its kernel.")
    by_keyboard = one_click.get_by_role("combobox", name="map")
    by_keyboard.press("ArrowDown")
    says(one_click, "Shown large: map 6 before")
    one_click.get_by_title("show all maps", exact=True).first.click()
    lab.settle()
    assert lab.kernel("lab.settings['map']") == "all"


def test_a_click_on_a_class_shows_what_speaks_for_it(lab):
    twin = panel(lab, "One-click lab", 1)
    twin.get_by_title("which pixels speak for tabby (Grad-CAM)", exact=True).first.click()
    says(twin, "Shown: what speaks for tabby (Grad-CAM).")
    assert twin.get_by_role("combobox", name="Grad-CAM of").locator(
        "option:checked"
    ).inner_text() == ("tabby")
    twin.get_by_role("combobox", name="Grad-CAM of").press("Home")
    lab.settle()
    assert lab.kernel("twin.settings['grad_cam']") == -1


def test_two_labs_on_one_network_do_not_meet(lab):
    first, twin = (panel(lab, "One-click lab", k) for k in (0, 1))
    twin.get_by_role("slider", name="out_channels").press("ArrowRight")
    says(twin, "head.conv, out_channels 1280 → 1281")
    says(twin, "still Egyptian cat")
    first.get_by_role("slider", name="kernel_size").press("ArrowRight")
    says(first, "stem.conv, kernel_size 3 → 4")
    assert lab.kernel("(model.stem.conv.kernel_size[0], model.head.conv.out_channels)") == [3, 1280]
    assert lab.kernel("(lab.error, twin.error, lab.model is twin.model)") == ["", "", False]


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
