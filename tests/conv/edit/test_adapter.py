"""Where the rest of a network cannot follow, the edited layer gets an adapter."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from course_utils.conv import AdaptedConv2d, EditError, edit_conv
from tests.conv.edit.small_networks import Heads, difference
from tests.conv.edit.zoo import wired
from tests.conv.edit.zoo_odd import PickedStandard, StandardConv

PICTURES = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def test_a_sum_that_no_longer_fits_gets_its_former_size_back(model, pictures):
    edited, report = edit_conv(model, "outer", example_input=pictures, stride=2, return_report=True)
    assert report.adapters == ("outer",)
    assert edited.outer.stride == (2, 2)
    assert edited.outer(torch.zeros(1, 12, 9, 9)).shape == (1, 8, 9, 9)
    assert edited(torch.randn(1, 3, 14, 14)).shape == (1, 5)  # at any other size, too


@pytest.mark.parametrize("channels", [16, 10, 5])
def test_channels_that_cannot_follow_get_a_projection(channels):
    model = Heads().eval()
    edited = edit_conv(model, "patches", example_input=PICTURES, out_channels=channels)
    assert isinstance(edited.patches, AdaptedConv2d)
    assert edited.patches.weight.shape == (channels, 1, 4, 4)
    if channels >= 8:
        assert difference(model, edited, PICTURES) < 1e-5
    with pytest.raises(EditError, match="multi_head_attention_forward"):
        edit_conv(model, "patches", example_input=PICTURES, out_channels=channels, adapter=False)


def test_an_adapted_layer_can_be_edited_again_and_pickled():
    model = Heads().eval()
    once = edit_conv(model, "patches", example_input=PICTURES, out_channels=12)
    twice = edit_conv(once, "patches", example_input=PICTURES, out_channels=20)
    assert twice.patches.project.in_channels == 20
    assert difference(model, twice, PICTURES) < 1e-5
    again = pickle.loads(pickle.dumps(twice.patches))
    assert torch.equal(again(PICTURES), twice.patches(PICTURES))


def test_groups_are_obeyed_where_a_projection_is_needed():
    model = Heads()
    model.patches = nn.Conv2d(2, 8, 4, stride=4)
    changes = {"out_channels": 16, "groups": 2}
    edited = edit_conv(model, "patches", example_input=torch.zeros(1, 2, 16, 16), **changes)
    assert edited.patches.groups == 2
    assert edited(torch.randn(1, 2, 16, 16)).shape == (1,)


def test_a_layer_with_a_forward_of_its_own_keeps_it(pictures):
    chain = nn.Sequential(StandardConv(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    edited = edit_conv(chain, "0", example_input=pictures, out_channels=8)
    assert type(edited[0]) is StandardConv
    assert difference(chain, edited, pictures) < 1e-5
    model = wired(PickedStandard, pictures)
    edited = edit_conv(model, "0", example_input=pictures, out_channels=16)
    layer = edited.get_submodule("0")
    assert isinstance(layer, AdaptedConv2d) and isinstance(layer, StandardConv)
    assert difference(model, edited, pictures) < 1e-5
