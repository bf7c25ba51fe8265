"""The one-click lab in a browser: on three networks, by keyboard and by mouse."""

from __future__ import annotations

import pytest

from tests.browser.lab import says, show_code

_CELLS = (
    "from course_utils.widgets import one_click_lab\nlab = one_click_lab()\nlab",
    """from torch import nn

class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(1, 8, 3, padding=1)
        self.see = nn.Conv2d(8, 8, 3, padding=1)
        self.tell = nn.Linear(8, 10)

    def forward(self, x):
        x = self.look(x).relu()
        x = x + self.see(x).relu()
        return self.tell(x.mean((2, 3)))

mine = Mine()
own = one_click_lab(models={"mine": mine})
own""",
)


@pytest.fixture(scope="module")
def lab(run_cells):
    return run_cells(*_CELLS, size=(1280, 1200))


@pytest.fixture
def course(lab):
    """Return Playwright's locator of the panel with the networks of the course."""
    return lab.page.get_by_role("group", name="One-click lab", exact=True).nth(0)


@pytest.fixture
def own(lab):
    """Return the locator of the panel with the network of the notebook."""
    return lab.page.get_by_role("group", name="One-click lab", exact=True).nth(1)


def picture(panel):
    return panel.get_by_role("img").get_attribute("src")


def test_a_slider_by_keyboard_edits_the_courses_network(lab, course):
    before = picture(course)
    slider = course.get_by_role("slider", name="out_channels")
    slider.press("ArrowRight")
    says(course, "conv1, out_channels 16 → 17; followed: 1 Conv2d;")
    says(course, "the same function")
    assert picture(course) != before
    slider.press("ArrowRight")
    says(course, "out_channels 16 → 18")
    assert lab.kernel("lab.model.conv2.in_channels") == 18


def test_a_click_on_the_drawn_network_chooses_the_layer(lab, course):
    course.get_by_title("layer conv2", exact=True).click()
    says(course, "conv2 unchanged")
    assert course.get_by_role("combobox", name="layer").input_value() == "conv2"
    assert lab.kernel("lab.settings")["out_channels"] == 32
    drawn = course.get_by_title("layer conv2", exact=True).bounding_box()
    image = course.get_by_role("img").bounding_box()
    # In the picture, conv2 is in the fourth of the cells of 82 × 104 pixels, below the names.
    assert drawn["x"] - image["x"] == pytest.approx(10 + 3 * 82, abs=3)
    assert drawn["y"] - image["y"] == pytest.approx(32 + 18, abs=3)


def test_a_slider_by_mouse(lab, course):
    track = course.get_by_role("slider", name="kernel_size")
    begin, step = track.bounding_box(), 40
    x, y = begin["x"] + begin["width"] / 2, begin["y"] + begin["height"] / 2
    lab.page.mouse.move(x, y)
    lab.page.mouse.down()
    lab.page.mouse.move(x + step, y, steps=8)
    lab.page.mouse.up()
    says(course, "kernel_size 3 → ")
    assert lab.kernel("lab.settings")["kernel_size"] > 3
    assert lab.kernel("lab.result.same_function")


def test_the_buttons_apply_and_undo(lab, course):
    course.get_by_role("button", name="Apply").click()
    says(course, "conv2 unchanged")
    assert lab.kernel("lab.result.original is not None")
    course.get_by_role("button", name="Undo").click()
    course.get_by_role("button", name="Redo").and_(lab.page.locator(":enabled")).wait_for()
    assert lab.kernel("lab.settings")["kernel_size"] == 3


def test_a_double_click_on_undo_takes_back_one_edit(lab, course):
    before = lab.kernel("lab.settings['out_channels']")
    for more in (1, 2):
        lab.kernel(f"(lab.set(out_channels={before + more}), lab.apply())")
    course.get_by_role("button", name="Undo").dblclick()
    lab.settle()
    assert lab.kernel("lab.settings['out_channels']") == before + 1
    lab.kernel("lab.undo()")
    assert lab.kernel("lab.settings['out_channels']") == before


def test_an_impossible_setting_has_a_way_out(lab, course):
    course.get_by_role("combobox", name="layer").select_option("conv1")
    says(course, "conv1 unchanged")
    course.get_by_role("slider", name="groups").press("ArrowRight")
    alert = course.get_by_role("alert").filter(has_text="must divide in_channels = 1")
    alert.wait_for()
    course.get_by_role("button", name="Nearest that works: groups = 1").click()
    alert.wait_for(state="hidden")
    assert lab.kernel("lab.error") == ""


def test_the_code_is_shown_on_request(course):
    show_code(course, 'load_pretrained("first_cnn")')


def test_the_sliders_stay_live_while_it_trains(lab, course):
    course.get_by_title("layer conv1", exact=True).click()
    slider = course.get_by_role("slider", name="stride")
    slider.press("ArrowRight")
    says(course, "stride 1 → 2")
    course.get_by_role("button", name="Train briefly").click()
    slider.press("ArrowRight")
    says(course, "stride 1 → 3")
    lab.kernel("lab.wait(60)")
    slider.press("ArrowLeft")
    says(course, "accuracy trained briefly")
    before, after = lab.kernel("lab.result.trained")
    assert before > after > lab.kernel("lab.result.accuracies[1]")


def test_resnet_by_keyboard_and_mouse(lab, course):
    course.get_by_role("combobox", name="network").press("ArrowDown")
    says(course, "ResNet, conv1 unchanged")
    course.get_by_title("layer layer2.0.conv1", exact=True).click()
    says(course, "layer2.0.conv1 unchanged")
    course.get_by_role("slider", name="out_channels").press("ArrowRight")
    says(course, "out_channels 128 → 129; followed: 1 BatchNorm2d, 1 Conv2d;")
    says(course, "the same function")
    course.get_by_role("button", name="Train briefly").click()
    course.get_by_text("It returns 1,000 scores an image").wait_for()


def test_a_click_on_the_number_of_blocks_unfolds_them(lab, course):
    lab.kernel("lab.set(network='efficientnet_lite0')")
    hidden = course.get_by_title("layer stage6.3.project.conv", exact=True)
    assert hidden.count() == 0
    course.get_by_title("× 3: draw all blocks like stage6.1", exact=True).click()
    hidden.wait_for()
    assert lab.kernel("lab.settings['drawing']") == "stage6.1"
    course.get_by_title("draw one block for all that repeat it").first.click()
    hidden.wait_for(state="detached")


def test_a_network_of_the_notebook(lab, own):
    says(own, "Mine, look unchanged")
    own.get_by_role("slider", name="out_channels").press("ArrowRight")
    says(own, "out_channels 8 → 9; followed: 1 Conv2d, 1 Linear;")
    says(own, "the same function")
    own.get_by_title("layer see", exact=True).click()
    says(own, "see unchanged")
    assert lab.kernel("(mine.look.out_channels, own.model.see.in_channels)") == [8, 8]
    own.get_by_role("button", name="Show me the code").click()
    own.locator(".course-code").filter(has_text="model = mine").wait_for()


def test_nothing_was_wrong_in_the_browser(lab):
    assert lab.errors == []
