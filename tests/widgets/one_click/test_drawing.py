from __future__ import annotations

import io

import pytest
from PIL import Image
from torch import nn

from course_utils.plots import canvas
from course_utils.widgets.one_click.drawing import EDGE, WIDTH, Drawing, fitting
from course_utils.widgets.one_click.edit_result import EditResult, edit_network
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from course_utils.widgets.one_click.picture import draw, height_of, places
from tests.toys import toy_data

DATA = toy_data()


def deep(layers: int) -> nn.Sequential:
    convs = [nn.Conv2d(4 if k else 1, 4, 3, padding=1) for k in range(layers)]
    return nn.Sequential(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


@pytest.mark.parametrize("layers", [1, 3, 5, 9, 30, 120])
def test_every_layer_has_its_place_in_the_picture(layers):
    network = MeasuredNetwork.for_data(deep(layers), DATA)
    found = places(network)
    assert [place.layer for place in found] == [str(k) for k in range(layers)]
    assert len({(place.left, place.top) for place in found}) == layers
    drawing = Drawing(network, 30)
    assert len(drawing.places) == layers + 1
    for place in found:
        assert place.left >= EDGE and place.left + place.width <= WIDTH - EDGE
        assert place.top >= 30 and place.top + place.height <= 30 + drawing.height
    picture = Image.open(io.BytesIO(draw(EditResult(network, "0"))))
    assert picture.size == (WIDTH, height_of(network))


def test_an_adapter_is_marked():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, padding=1)

        def forward(self, x):
            return self.conv(x).view(-1, 2, 2, 8, 8).prod(1).mean((1, 2))

    network = MeasuredNetwork.for_data(Fixed(), DATA)
    edited = edit_network(network, "conv", {"out_channels": 5})
    (block,) = edited.network.blocks
    assert block.adapted and block.channels == len(edited.network.maps("conv", 0)) == 5
    assert draw(EditResult(network, "conv", edited)) != draw(EditResult(network, "conv"))


def test_a_text_that_is_too_long_is_cut():
    assert fitting("conv1", 100, 11) == "conv1"
    cut = fitting("features.denseblock4.denselayer16.conv2", 80, 11)
    assert cut.endswith("…") and canvas.text_width(cut, 11) <= 80
