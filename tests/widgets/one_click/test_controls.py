from __future__ import annotations

import re

import pytest
from torch import nn

from course_utils.conv import CHANGEABLE, simple_settings
from course_utils.widgets.one_click.controls import (
    build_controls,
    click_buttons,
    fit_to_classes,
    fit_to_layer,
    fit_to_maps,
    make_room,
    wanted_of,
)
from course_utils.widgets.one_click.edit_result import FOLLOWS
from course_utils.widgets.one_click.geometry import ClickArea


@pytest.fixture
def controls():
    return build_controls({"net": "my net"})


def values(slider) -> list:
    return [value for _, value in slider.options]


def test_they_show_the_settings_of_the_layer(controls):
    conv = nn.Conv2d(12, 24, (1, 7), 2, (0, 3), groups=3, bias=False, padding_mode="circular")
    fit_to_layer(controls, conv)
    settings = {name: control.value for name, control in controls.items()}
    assert wanted_of(settings) == simple_settings(conv) | {"padding": FOLLOWS}
    assert tuple(wanted_of(settings)) == CHANGEABLE
    assert (settings["kernel_size"], settings["stride"], settings["groups"]) == ((1, 7), 2, 3)
    assert values(controls["groups"]) == [1, 2, 3, 4, 6, 12]
    assert values(controls["kernel_size"])[-1] == (1, 7)
    assert dict(controls["kernel_size"].options)["1×7"] == (1, 7)


def test_the_sliders_grow_for_a_large_layer(controls):
    fit_to_layer(controls, nn.Conv2d(3, 768, 16, 16))
    assert (controls["out_channels"].value, controls["out_channels"].max) == (768, 1536)
    assert values(controls["kernel_size"]) == [*range(1, 12), 16]
    assert values(controls["stride"]) == [1, 2, 3, 4, 16]
    fit_to_layer(controls, nn.Conv2d(1, 4, 3))
    assert (controls["out_channels"].value, controls["out_channels"].max) == (4, 64)
    assert values(controls["kernel_size"]) == list(range(1, 12))
    assert values(controls["groups"]) == [1, 2], "a slider has two ends, even for one channel"
    assert controls["groups"].value == 1


def test_the_nearest_setting_is_added(controls):
    fit_to_layer(controls, nn.Conv2d(4, 4, 3, padding=1))
    make_room(controls, {"padding": 8, "stride": (2, 3), "out_channels": 99, "unknown": 1})
    assert values(controls["padding"])[-3:] == [5, "same", 8]
    assert values(controls["stride"]) == [1, 2, 3, 4, (2, 3)]
    assert controls["padding"].value == FOLLOWS and controls["stride"].value == 1


def test_the_chosen_map_stays_while_it_is_there(controls):
    fit_to_maps(controls, 4, 6)
    assert values(controls["map"]) == ["all", *(f"before {k}" for k in range(4))] + [
        f"after {k}" for k in range(6)
    ]
    controls["map"].value = "after 5"
    fit_to_maps(controls, 4, 8)
    assert controls["map"].value == "after 5" and len(controls["map"].options) == 13
    fit_to_maps(controls, 4, 5)
    assert controls["map"].value == "all"
    fit_to_maps(controls, 2048, 2048)
    assert len(controls["map"].options) == 513


def test_classes_are_chosen_by_number_because_some_share_a_name(controls):
    fit_to_classes(controls, ["crane", "dog", "crane"])
    controls["grad_cam"].value = 2
    assert controls["grad_cam"].label == "crane" and values(controls["grad_cam"]) == [-1, 0, 1, 2]


def test_a_button_lies_on_each_area_that_sets_a_control(controls):
    controls["layer"].options = ["conv1", "not drawn", "conv3"]
    areas = [
        ClickArea("layer", "conv1", "layer conv1", 68, 50, 136, 100),
        ClickArea("layer", "conv3", 'layer a"b<c', 340, 50, 136, 100),
        ClickArea("drawing", "not offered", "no button", 340, 50, 136, 100),
        ClickArea("", None, "only <says>", 340, 50, 136, 100),
    ]
    text = click_buttons(areas, controls, 500)
    assert re.findall(r"selectedIndex = (\d)", text) == ["0", "2"]
    assert "left:10.000%;top:10.000%;width:20.000%;height:20.000%" in text
    assert 'title="layer conv1" aria-label="layer conv1" aria-pressed="true"' in text
    assert 'title="layer a&quot;b&lt;c"' in text and text.count('aria-pressed="false"') == 1
    assert "aspect-ratio: 680 / 500" in text
    assert text.count('tabindex="-1"') == 2, "the Tab key goes past them, to the list"
    assert '<span title="only &lt;says&gt;"' in text and "no button" not in text
