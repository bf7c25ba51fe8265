from __future__ import annotations

import io

import pytest
from PIL import Image
from torch import nn
from torchvision import models

from course_utils.plots import canvas
from course_utils.widgets.one_click.drawing import Drawing, fitting
from course_utils.widgets.one_click.edit_result import EditResult, edit_network
from course_utils.widgets.one_click.geometry import EDGE, WIDTH
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from course_utils.widgets.one_click.picture import click_areas, draw, height_of, places
from tests.toys import toy_data

DATA = toy_data()


def deep(layers: int) -> nn.Sequential:
    convs = [nn.Conv2d(4 if k else 1, 4, 3, padding=1) for k in range(layers)]
    return nn.Sequential(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


@pytest.mark.parametrize("layers", [1, 3, 5, 9, 30, 100])
def test_every_layer_has_its_place_in_the_picture(layers):
    network = MeasuredNetwork.for_data(deep(layers), DATA)
    found = places(network, "0")
    assert [place.node.name for place in found] == [str(k) for k in range(layers)]
    assert len({(place.left, place.top) for place in found}) == layers
    drawing = Drawing(network, "0", 30)
    assert len(drawing.places) == layers + 3  # the picture, the pooling, the linear layer
    for place in found:
        assert place.left >= EDGE and place.left + place.width <= WIDTH - EDGE
        assert place.top >= 30 and place.top + place.height <= 30 + drawing.height
    picture = Image.open(io.BytesIO(draw(EditResult(network, "0"))))
    assert picture.size == (WIDTH, height_of(network))


def test_a_click_on_the_number_of_blocks_leads_to_the_next_one():
    network = MeasuredNetwork.for_data(models.resnet50(), DATA)
    for layer, leads_to in (("conv1", "layer3.2.conv1"), ("layer3.5.conv2", "layer3.1.conv1")):
        areas = {area.layer: area for area in click_areas(network, layer)}
        assert areas[leads_to].label == f"next of the 5 blocks: {leads_to}"
        assert areas[layer].label == f"layer {layer}"


def test_of_a_large_network_the_rows_around_the_layer_are_drawn():
    network = MeasuredNetwork.for_data(deep(300), DATA)
    for layer in ("0", "150", "299"):
        drawn = [place.node.name for place in places(network, layer)]
        assert layer in drawn and 80 < len(drawn) < 125
        picture = Image.open(io.BytesIO(draw(EditResult(network, layer))))
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
