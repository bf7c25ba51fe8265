from __future__ import annotations

import io

import pytest
from PIL import Image
from torch import nn

from course_utils.widgets.one_click import picture as module
from course_utils.widgets.one_click.drawing import WIDTH
from course_utils.widgets.one_click.edit_result import EditResult, edit_network
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from course_utils.widgets.one_click.picture import _map_count, draw, height_of
from tests.toys import toy_data, toy_model

DATA = toy_data()


def test_the_picture_keeps_its_size_whatever_the_edit():
    network = MeasuredNetwork.for_data(toy_model(), DATA)
    for changes in ({"out_channels": 60}, {"stride": 3}, {"kernel_size": 9}):
        result = EditResult(network, "0", edit_network(network, "0", changes))
        assert Image.open(io.BytesIO(draw(result))).size == (WIDTH, height_of(network))


@pytest.mark.parametrize(("side", "count"), [(7, 16), (28, 16), (32, 9), (56, 16), (112, 16)])
def test_as_many_maps_as_fill_their_square(side, count):
    assert _map_count(side) == count


def test_what_is_said_beside_the_legend():
    network = MeasuredNetwork.for_data(toy_model(norm=True), DATA)
    said = [
        module._remark(
            EditResult(network, "0", edit_network(network, "0", changes) if changes else None)
        )
        for changes in ({}, {"out_channels": 9}, {"kernel_size": 5})
    ]
    assert said[0].startswith("height: size of the maps")
    assert said[1] == "followed: 1 BatchNorm2d, 1 Linear"
    assert said[2] == "no other layer had to follow"


def test_the_maps_of_both_sides_share_one_scale():
    """Larger values after the edit make the colours before it paler."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(256, 3))
    network = MeasuredNetwork.for_data(model, DATA)
    plain, other = (
        Image.open(io.BytesIO(draw(result))).convert("RGB")
        for result in (
            EditResult(network, "0"),
            EditResult(network, "0", edit_network(network, "0", {"padding": 4})),
        )
    )
    assert plain.size == other.size and plain.tobytes() != other.tobytes()
