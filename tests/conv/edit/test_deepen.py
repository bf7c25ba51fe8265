"""`deepen`: more layers, the same function, and everything can learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import ResidualConv2d, edit_conv
from course_utils.conv.edit import deepen
from course_utils.core.errors import CourseError
from course_utils.models.simple import SimpleCNN


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_deeper_network_computes_the_same(depth, batch_norm):
    torch.manual_seed(0)
    model = SimpleCNN(batch_norm=batch_norm).eval()
    deeper = deepen(model, "conv2", depth)
    pictures = torch.randn(3, 1, 28, 28)
    assert torch.equal(deeper(pictures), model(pictures))
    extra = [m for m in deeper.modules() if isinstance(m, ResidualConv2d)]
    assert len(extra) == depth - 1
    assert not any(m.training for m in deeper.modules())


def test_the_original_and_the_random_numbers_are_not_touched():
    model = SimpleCNN()
    before, names = torch.get_rng_state(), list(model.state_dict())
    deepen(model, "conv1", 3)
    assert list(model.state_dict()) == names
    assert torch.equal(before, torch.get_rng_state())


def test_the_new_layers_learn():
    torch.manual_seed(0)
    deeper = deepen(SimpleCNN(), "conv1", 2)
    optimizer = torch.optim.SGD(deeper.parameters(), lr=0.1)
    deeper(torch.randn(4, 1, 28, 28)).square().sum().backward()
    optimizer.step()
    assert deeper.conv1.extra1.weight.abs().max() > 0


def test_a_deeper_network_can_be_edited():
    deeper = deepen(SimpleCNN(), "conv1", 2)
    pictures = torch.randn(2, 1, 28, 28)
    wide = edit_conv(deeper, "conv1.conv", example_input=pictures, adapter=False, out_channels=24)
    assert wide.conv1.extra1.in_channels == wide.conv2.in_channels == 24
    assert torch.allclose(wide(pictures), deeper(pictures), atol=1e-5)


@pytest.mark.parametrize(("name", "depth"), [("relu1", 2), ("", 2), ("none", 2), ("conv1", 0)])
def test_what_is_impossible_is_said(name, depth):
    with pytest.raises(CourseError, match=r"not an nn\.Conv2d|depth=0"):
        deepen(SimpleCNN(), name, depth)


def test_a_network_that_is_one_convolution_has_no_place_for_more():
    with pytest.raises(CourseError, match="inside the network"):
        deepen(nn.Conv2d(1, 2, 3), "", 2)
