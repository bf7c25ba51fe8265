"""The settings of the edited layer: paddings, and what is impossible."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import ImpossibleSetting, edit_conv


@pytest.mark.parametrize(
    ("layer", "changes", "padding"),
    [
        (nn.Conv2d(1, 2, 3, padding=1), {"kernel_size": 7}, (3, 3)),
        (nn.Conv2d(1, 2, 3, padding=1), {"dilation": 2}, (2, 2)),
        (nn.Conv2d(1, 2, 3), {"kernel_size": 5}, (1, 1)),
        (nn.Conv2d(1, 2, 3, padding=1), {"kernel_size": 4}, "same"),
        (nn.Conv2d(1, 2, 3, padding=1), {"kernel_size": 5, "padding": 0}, (0, 0)),
        (nn.Conv2d(1, 2, 3, padding="same"), {"kernel_size": 5}, "same"),
        (nn.Conv2d(1, 2, 5), {"kernel_size": 3}, (0, 0)),
        (nn.Conv2d(1, 2, 3, padding=1), {"stride": 2}, (1, 1)),
    ],
)
def test_padding_keeps_the_size_unless_it_is_given(layer, changes, padding):
    model = nn.Sequential(layer, nn.AdaptiveAvgPool2d(1))
    edited = edit_conv(model, "0", example_input=torch.zeros(1, 1, 12, 12), **changes)
    assert edited[0].padding == padding


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular", "zeros"])
@pytest.mark.parametrize("padding", [2, (1, 3), "same"])
def test_padding_modes_work_like_a_layer_built_with_them(mode, padding):
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.AdaptiveAvgPool2d(1))
    picture = torch.randn(1, 1, 8, 8)
    changes = {"padding": padding, "padding_mode": mode}
    edited = edit_conv(model, "0", example_input=picture, kernel_size=5, **changes)
    fresh = nn.Conv2d(1, 2, 5, **changes)
    fresh.load_state_dict(edited[0].state_dict())
    assert torch.equal(edited[0](picture), fresh(picture))


def test_the_padding_of_a_layer_that_pads_its_input_itself_is_counted_once(pictures):
    circular = nn.Conv2d(3, 2, 7, padding=3, padding_mode="circular")
    model = nn.Sequential(circular, nn.AdaptiveAvgPool2d(1))
    with pytest.raises(ImpossibleSetting) as caught:  # not of 9 + 2 · 3 pixels
        edit_conv(model, "0", example_input=pictures, padding=10)
    assert caught.value.nearest == {"padding": 9}
    edited = edit_conv(model, "0", example_input=pictures, padding=-1)  # crops the picture
    assert edited[0](pictures).shape == (2, 2, 1, 1)


def test_an_unknown_argument_is_named(model, pictures):
    with pytest.raises(ValueError, match="Did you mean kernel_size"):
        edit_conv(model, "stem", example_input=pictures, kernelsize=3)
    with pytest.raises(ValueError, match="out_channels"):
        edit_conv(model, "outer", example_input=pictures, in_channels=3)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("stem", {"groups": 2}),
        ("stem", {"out_channels": 0}),
        ("inner", {"groups": 5}),
        ("outer", {"kernel_size": 13, "padding": 0}),
        ("stem", {"stride": 0}),
        ("stem", {"padding": 40, "padding_mode": "reflect"}),
        ("stem", {"padding": "same", "stride": 2}),
        ("stem", {"padding": "like"}),
        ("stem", {"padding_mode": "mirror"}),
    ],
)
def test_impossible_settings_come_with_the_nearest_that_works(model, pictures, name, changes):
    with pytest.raises(ImpossibleSetting) as caught:
        edit_conv(model, name, example_input=pictures, **changes)
    nearest = caught.value.nearest
    assert nearest
    assert "in_channels" not in nearest
    edit_conv(model, name, example_input=pictures, **(changes | nearest))
