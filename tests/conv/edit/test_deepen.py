"""`deepen`: more layers, the same function, and everything can learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import ResidualConv2d, edit_conv
from course_utils.conv.edit import deepen
from course_utils.core.errors import CourseError
from course_utils.models.simple import SimpleCNN

PICTURES = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_deeper_network_computes_the_same(depth, batch_norm):
    model = SimpleCNN(batch_norm=batch_norm).eval()
    random, names = torch.get_rng_state(), list(model.state_dict())
    deeper = deepen(model, "conv2", depth)
    assert torch.equal(deeper(PICTURES), model(PICTURES))
    assert sum(isinstance(m, ResidualConv2d) for m in deeper.modules()) == depth - 1
    assert not any(m.training for m in deeper.modules())
    assert list(model.state_dict()) == names and torch.equal(random, torch.get_rng_state())


def test_the_new_layers_learn():
    deeper = deepen(SimpleCNN(), "conv1", 2)
    deeper(PICTURES).square().sum().backward()
    assert deeper.conv1.extra1.weight.grad.abs().max() > 0


def test_a_deeper_network_can_be_edited():
    deeper = deepen(SimpleCNN(), "conv1", 2)
    wide = edit_conv(deeper, "conv1.conv", example_input=PICTURES, adapter=False, out_channels=24)
    assert wide.conv1.extra1.in_channels == wide.conv2.in_channels == 24
    assert torch.allclose(wide(PICTURES), deeper(PICTURES), atol=1e-5)


@pytest.mark.parametrize(("name", "depth"), [("relu1", 2), ("", 2), ("none", 2), ("conv1", 0)])
def test_what_is_impossible_is_said(name, depth):
    with pytest.raises(CourseError, match=r"not an nn\.Conv2d|depth=0"):
        deepen(SimpleCNN(), name, depth)
    with pytest.raises(CourseError, match="inside the network"):
        deepen(nn.Conv2d(1, 2, 3), "", 2)
