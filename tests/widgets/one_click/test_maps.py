"""The maps in the picture: where they are, what is marked, and what a click on them shows."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from course_utils.conv import ReceptiveField
from course_utils.metrics import grad_cam
from course_utils.widgets.one_click import maps as module
from course_utils.widgets.one_click import picture
from course_utils.widgets.one_click.edit_result import EditResult, edit_network
from course_utils.widgets.one_click.geometry import WIDTH
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from course_utils.widgets.one_click.words import summary
from tests.toys import toy_data, toy_model

DATA = toy_data()


@pytest.fixture
def result() -> EditResult:
    network = MeasuredNetwork.for_data(toy_model(norm=True), DATA)
    return EditResult(network, "0", edit_network(network, "0", {"out_channels": 9}))


def pixels(result: EditResult) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.draw(result))).convert("RGB"))


def top_of(result: EditResult) -> int:
    return picture._TOP + picture.Drawing(result.before, "0", picture._TOP).height + 12


@pytest.mark.parametrize(("side", "count"), [(7, 16), (28, 16), (32, 9), (56, 16), (112, 16)])
def test_as_many_maps_as_fill_their_square(side, count):
    assert module.map_count(side) == count


def test_the_maps_of_both_sides_share_one_scale(result):
    """Larger values after the edit make the colours before it paler."""
    plain = replace(result, edited=None)
    louder = replace(plain)
    vars(louder)["maps"] = plain.maps[0], 5 * plain.maps[0]
    left, top, *_ = module.squares(top_of(result))[0]
    before = slice(top, top + 100), slice(left, left + 100)
    assert (pixels(plain)[before] != pixels(louder)[before]).any()


def test_every_map_has_its_place(result):
    places = module.map_places(result, 100)
    assert [(side, k) for side, k, _ in places] == [(0, k) for k in range(6)] + [
        (1, k) for k in range(9)
    ]
    squares = module.squares(100)
    for side, _, (left, top, width, height) in places:
        x, y, room, _ = squares[side]
        assert x <= left < left + width <= x + room and y <= top < top + height <= y + room
    boxes = [box for _, _, box in places]
    assert len({box[:2] for box in boxes}) == len(boxes) and len({box[2:] for box in boxes}) == 1
    drawn = pixels(result)
    (left, top, width, height) = module.map_places(result, top_of(result))[0][2]
    assert (drawn[top, left : left + width] != 255).any(), "there is a map"
    assert (drawn[top + height : top + height + 3, left : left + width] == 255).all(), "a gap"


def test_the_strongest_places_are_apart():
    values = torch.zeros(16, 16)
    values[3, 4], values[3, 5], values[10, 1], values[0, 15] = -9.0, 8.0, 5.0, 1.0
    assert module.strongest(values) == [(3, 4), (10, 1), (0, 15)]
    assert module.strongest(torch.zeros(4, 4)) == []
    assert module.strongest(torch.tensor([[float("nan"), 1.0]])) == [(0, 1)]


def test_the_window_that_a_number_sees():
    field = ReceptiveField().then(3, 2, padding=1)
    assert module.seen_window(field, 0, 0) == (-1, -1, 2, 2)
    assert module.seen_window(field, 2, 3) == (5, 3, 8, 6)
    wide = ReceptiveField(size=(1, 5), jump=(1, 2), start=(0, -2))
    assert module.seen_window(wide, 4, 1) == (0, 4, 5, 5)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        ({"map": "before 5"}, "map 5 before, and its kernel"),
        ({"map": "after 8"}, "map 8 after, and its kernel"),
        ({"grad_cam": 1}, f"what speaks for {DATA.classes[1]} (Grad-CAM)"),
        ({"map": "before 6"}, ""),
        ({"map": "all"}, ""),
        ({"grad_cam": 3}, ""),
    ],
)
def test_what_is_shown_large(result, shown, words):
    large = replace(result, **shown)
    assert pixels(large).shape == pixels(result).shape and pixels(large).shape[1] == WIDTH
    assert (pixels(large) != pixels(result)).any() == bool(words)
    assert words in summary(large)
    values = {(area.control, area.value) for area in picture.click_areas(large)}
    if words:
        control = next(iter(shown))
        assert (control, {"map": "all", "grad_cam": -1}[control]) in values
        assert ("map", "before 0") not in values
    else:
        assert ("map", "before 0") in values and ("map", "after 8") in values
    assert {("grad_cam", k) for k in range(3)} - values <= {("grad_cam", shown.get("grad_cam"))}


@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("channels", [1, 3, 70])
def test_every_kernel_can_be_drawn(kernel, channels):
    first = nn.Conv2d(1, channels, 1)
    model = nn.Sequential(first, nn.Conv2d(channels, 2, kernel, padding="same"), nn.Flatten())
    network = MeasuredNetwork.for_data(model, DATA)
    assert pixels(EditResult(network, "1", map="before 1")).shape[1] == WIDTH
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.fill_(torch.nan)
    network = MeasuredNetwork.for_data(model, DATA)
    assert pixels(EditResult(network, "1", map="before 1")).shape[1] == WIDTH


def test_grad_cam_is_taken_behind_norm_and_activation(result):
    before, after = result.before, result.after
    chosen = replace(result, grad_cam=2)
    assert before.activated("0") == "2"
    image = before.held_out.images[:1]
    for network, found in zip((before, after), chosen.grad_cams, strict=True):
        assert torch.equal(found, grad_cam(network.model, image, 2, "2"))
    assert torch.allclose(*chosen.grad_cams, rtol=1e-3, atol=1e-6), "the same function"


def test_a_shared_activation_is_not_taken():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1)
            self.norm = nn.Identity()
            self.relu, self.head = nn.ReLU(), nn.Linear(4, 3)

        def forward(self, x):
            x = self.relu(self.norm(self.conv1(x)))
            return self.head(self.relu(self.conv2(x)).mean((2, 3)))

    network = MeasuredNetwork.for_data(Twice(), DATA)
    assert (network.activated("conv1"), network.activated("conv2")) == ("norm", "conv2")
