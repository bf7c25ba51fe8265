"""Every panel on one page of a real browser: names, layout, play, an error, a typed number."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from course_utils import widgets
from tests.browser.lab import says, show_code

# Controls and pictures of the panels without a name for a screen reader.
_NAMELESS = """() => {
  const all = '[role=slider], [role=textbox], img, button, input, select';
  const text = id => document.getElementById(id)?.textContent.trim();
  return [...document.querySelectorAll('.course-panel :is(' + all + ')')].filter(e => !(
    e.getAttribute('aria-label') || text(e.getAttribute('aria-labelledby')) || e.alt ||
    e.title || e.innerText?.trim() || [...(e.labels || [])].some(l => l.textContent.trim())
  )).map(e => e.outerHTML.slice(0, 120)); }"""
# Panels that are wider than their cell, and controls whose text is cut.
_TOO_WIDE = """() => [...document.querySelectorAll('.course-panel')].flatMap(panel => [
  ...(panel.scrollWidth > panel.clientWidth ? [panel.ariaLabel] : []),
  ...[...panel.querySelectorAll('.widget-label, .widget-button, .course-view')]
    .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 2)
    .map(e => panel.ariaLabel + ': ' + e.textContent.slice(0, 60))])"""


@pytest.fixture(scope="module")
def lab(run_cells):
    names = list(widgets.__all__)
    cells = [f"from course_utils import widgets\n{names[0]} = widgets.{names[0]}()\n{names[0]}"]
    cells += [f"{name} = widgets.{name}()\n{name}" for name in names[1:]]
    return run_cells(*cells)


def panel(lab, name):
    """Return Playwright's locator of the panel that the function `name` made."""
    title = lab.kernel(f"{name}.title")
    return lab.page.get_by_role("group", name=title, exact=True)


def test_every_panel_is_a_named_group_with_a_picture_and_a_status(lab):
    for name in widgets.__all__:
        found = panel(lab, name)
        assert found.count() == 1, name
        picture = found.get_by_role("img", name=f"{lab.kernel(f'{name}.title')}, picture")
        assert picture.evaluate("e => e.naturalWidth") > 300, name
        described = picture.evaluate(
            "e => document.getElementById(e.getAttribute('aria-describedby')).textContent"
        )
        status = found.get_by_role("status").filter(has_text=lab.kernel(f"{name}.summary"))
        assert described.strip() and status.count() == 1, name


def test_everything_that_can_be_used_has_a_name(lab):
    assert lab.page.evaluate(_NAMELESS) == []


@pytest.mark.parametrize("width", [1280, 1024, 1700])
def test_nothing_is_wider_than_its_place(lab, width):
    lab.page.set_viewport_size({"width": width, "height": 900})
    lab.settle()
    assert lab.page.evaluate(_TOO_WIDE) == []
    lab.page.set_viewport_size({"width": 1280, "height": 900})


def test_play_moves_the_window_until_it_is_paused(lab):
    stepper = panel(lab, "convolution_stepper")
    status = stepper.get_by_role("status")
    before = lab.kernel("convolution_stepper.summary")
    stepper.get_by_role("button", name="Play").click()
    status.filter(has_text="window 2 of").wait_for()
    stepper.get_by_role("button", name="Pause").click()
    lab.wait_idle()
    assert lab.kernel("convolution_stepper.settings")["position"] >= 2
    stepper.get_by_role("button", name="Back to the start").click()
    status.filter(has_text=before).wait_for()


def test_an_impossible_setting_lies_over_the_picture_with_a_way_out(lab):
    found = panel(lab, "conv2d_lab")
    for name in ("kernel_size", "dilation"):
        found.get_by_role("slider", name=name).press("End")
    alert = found.get_by_role("alert").filter(has_text="does not fit")
    alert.wait_for()
    picture = found.get_by_role("img").bounding_box()
    message = found.locator(".course-message").bounding_box()
    assert picture["y"] < message["y"] < picture["y"] + picture["height"]
    found.get_by_role("button", name="Nearest that works").click()
    alert.wait_for(state="hidden")
    assert lab.kernel("conv2d_lab.error") == ""
    lab.kernel("conv2d_lab.set(kernel_size=3, dilation=1)")


def test_a_number_typed_into_the_kernel_is_used(lab):
    found = panel(lab, "kernel_playground")
    field = found.get_by_role("spinbutton", name="kernel, row 1, column 1")
    field.fill("2.5")
    field.press("Enter")
    found.get_by_role("status").filter(has_text="your own numbers").wait_for()
    assert lab.kernel("kernel_playground.settings['kernel'][1][1]") == 2.5


def test_a_layer_is_pruned_by_its_slider_and_all_by_one_click(lab):
    found = panel(lab, "pruning_panel")
    found.get_by_role("slider", name="stage3.0.conv1").press("ArrowRight")
    says(found, "stage3.0.conv1 88 of 96")
    found.get_by_role("button", name="Prune to half the cost").click()
    says(found, "stem 24 of 32")
    assert 0.4 < lab.kernel("pruning_panel.result.cost") <= 0.5
    show_code(found, "prune(model, shares, example_input=example_input)")
    found.get_by_role("button", name="Reset").click()
    says(found, "All channels are there")


def test_a_click_on_a_point_takes_that_network_and_so_does_a_key(lab):
    found = panel(lab, "tradeoff_panel")
    for chart in (0, 1):
        found.locator(".course-drawn button[title='first_cnn']").nth(chart).click()
        says(found, "first_cnn: ")
        assert lab.kernel("tradeoff_panel.network is tradeoff_panel.networks['first_cnn']")
        found.get_by_label("network").press("Home")
        says(found, "small_resnet: ")


def test_uploaded_pictures_become_a_classifier(lab):
    found = panel(lab, "own_pictures_panel")

    def upload(button, side, *colours):
        files = []
        for colour in colours:
            file = io.BytesIO()
            Image.new("RGB", (side, side), colour).save(file, "BMP")
            files.append({"name": "a.bmp", "mimeType": "image/bmp", "buffer": file.getvalue()})
        with lab.page.expect_file_chooser() as chooser:
            found.get_by_role("button", name=button).press("Enter")
        chooser.value.set_files(files)

    upload("Add pictures", 40, "red")
    found.get_by_role("alert").filter(has_text="write the name of their class").wait_for()
    for name, side in (("red", 40), ("blue", 1500)):  # two of these are more than 10 MB
        found.get_by_label("class").fill(name)
        found.get_by_label("class").press("Enter")
        upload("Add pictures", side, name, f"dark{name}")
        found.get_by_text(f"{name} 2. Add more").wait_for()
    found.get_by_role("button", name="Train").click()
    says(found, "Your pictures: 4 pictures of 2 classes")
    upload("Another new picture", 40, "blue")
    says(found, "your a.bmp: blue")
    found.get_by_role("button", name="Start over").click()
    says(found, "Example, Emoji: 48 pictures")


def test_nothing_was_wrong_in_the_browser(lab):
    assert lab.errors == []
