from __future__ import annotations

import io
from dataclasses import replace

import pytest
from PIL import Image
from torch import nn
from torchvision import models

from course_utils.plots import canvas
from course_utils.widgets.one_click.drawing import Drawing, fitting
from course_utils.widgets.one_click.edit_result import EditResult, edit_network
from course_utils.widgets.one_click.geometry import EDGE, EVERY_OPERATION, ONCE, WIDTH
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


def areas_of(result: EditResult) -> dict:
    return {(area.control, area.value): area.label for area in click_areas(result)}


def test_a_click_on_the_number_of_blocks_unfolds_and_folds_them():
    network = MeasuredNetwork.for_data(models.resnet50(), DATA)
    result = EditResult(network, "conv1")
    assert areas_of(result)["drawing", "layer3.1"] == "× 5: draw all blocks like layer3.1"
    assert areas_of(result)["layer", "conv1"] == "layer conv1"
    assert ("layer", "layer3.5.conv1") not in areas_of(result)
    unfolded = replace(result, drawing="layer3.1")
    assert areas_of(unfolded).keys() >= {("layer", "layer3.5.conv1"), ("drawing", ONCE)}
    assert height_of(network, "layer3.1") > height_of(network)


def test_what_cannot_be_chosen_says_what_it_is():
    network = MeasuredNetwork.for_data(deep(2), DATA)
    result = EditResult(network, "0", drawing=EVERY_OPERATION)
    labels = [area.label for area in click_areas(result) if not area.control]
    assert labels == [
        "input: 1 × 8×8",
        "AdaptiveAvgPool2d 2: 4×1×1",
        "Flatten 3: 4",
        "Linear 4: 3",
    ]


def test_a_layer_that_is_called_again_is_marked():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.again = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return self.again(self.again(self.first(x))).mean((2, 3))

    network = MeasuredNetwork.for_data(Twice(), DATA)
    drawing = Drawing(network, "first", 30)
    assert drawing.calls == {"again": 2}
    assert drawing.says(drawing.places[2], network).endswith(", called 2 times")


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
