from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils import conv
from course_utils.core import CourseError
from tests.toys import same, weights


def ones(*layers: nn.Module) -> nn.Sequential:
    """Return a network of these layers in which every weight is 1."""
    network = nn.Sequential(*layers)
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    return network


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def test_of_two_layers_of_ones_it_is_a_pyramid():
    network = ones(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3))
    found = conv.effective_receptive_field(network, "2", noise(5, 2, 15, 15))
    line = torch.tensor([1.0, 2, 3, 2, 1]) / 9
    torch.testing.assert_close(found.heat[5:10, 5:10], line[:, None] * line)
    assert found.window == (5, 5, 5, 5) and found.heat.shape == (15, 15)
    assert found.heat.sum().item() == pytest.approx(1)
    assert found.centre == pytest.approx((7, 7))
    # 9 of 81, then 49 of 81
    assert [found.side_holding(share) for share in (0.1, 0.5, 0.6, 0.61, 1)] == [1, 3, 3, 5, 5]


@pytest.mark.parametrize("layer", ["0", "2", "4"])
def test_the_window_holds_all_pixels_with_influence_and_no_other(layer):
    network = ones(
        *(nn.Conv2d(1, 2, 5, stride=2, padding=2), nn.ReLU()),
        *(nn.Conv2d(2, 2, (1, 3), dilation=2, padding=(0, 2)), nn.AvgPool2d(2)),
        nn.Conv2d(2, 1, 3),
    )
    found = conv.effective_receptive_field(network, layer, noise(1, 1, 64, 72))
    rows, columns = (found.heat.sum(axis).nonzero().flatten() for axis in (1, 0))
    top, left, height, width = found.window
    assert (int(rows[0]), int(rows[-1])) == (top, top + height - 1)
    assert (int(columns[0]), int(columns[-1])) == (left, left + width - 1)
    rule = conv.receptive_field(network[: int(layer) + 1]).size
    assert {height, width} == set(rule if isinstance(rule, tuple) else (rule, rule))


def test_it_is_the_mean_over_images_whatever_their_order_and_changes_nothing():
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))
    before, images = weights(network), noise(4, 1, 9, 9)
    with torch.inference_mode():
        found = conv.effective_receptive_field(network.train(), "3", images)
    again = conv.effective_receptive_field(network, "3", images.flip(0))
    torch.testing.assert_close(found.heat, again.heat)
    assert network.training and same(before, weights(network))
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network[3]._forward_hooks


def test_of_a_layer_behind_a_mean_of_all_pixels_the_window_is_the_image():
    network = ones(nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 1, 1))
    found = conv.effective_receptive_field(network, "1", noise(1, 1, 6, 8))
    assert found.window == (0, 0, 6, 8) and found.side_holding(1.0) >= 7


@pytest.mark.parametrize(
    ("layer", "images", "words"),
    [
        ("conv", torch.zeros(1, 1, 8, 8), "'conv' is not a layer"),
        ("0", torch.zeros(1, 8, 8), r"tensor \(N, C, H, W\)"),
        ("0", torch.zeros(0, 1, 8, 8), "at least one image"),
        ("0", torch.zeros(1, 1, 8, 8, dtype=torch.uint8), "of floats"),
        ("1", torch.zeros(1, 1, 8, 8), r"returns 1×72, not maps"),
        ("2", torch.zeros(1, 1, 8, 8), "No pixel of these images moves"),
    ],
)
def test_what_has_no_such_field_is_refused_in_words(layer, images, words):
    silent = nn.Sequential(nn.Unflatten(1, (2, 6, 6)), nn.Conv2d(2, 1, 1))
    nn.init.zeros_(silent[1].weight)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), silent)
    with pytest.raises(CourseError, match=words):
        conv.effective_receptive_field(network, layer, images)
    found = conv.EffectiveField(torch.ones(2, 2) / 4, (0, 0, 2, 2))
    for share in (0, -1, 1.01, float("nan")):
        with pytest.raises(CourseError, match="A share lies above 0"):
            found.side_holding(share)
