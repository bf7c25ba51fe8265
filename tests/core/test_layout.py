from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.core import UnsafeCalls, plain_layout, unsafe_with_channels_last

UNSAFE = [
    nn.Conv2d(1, 4, 1, stride=2),
    nn.Conv2d(15, 9, 1, stride=(1, 3)),
    nn.Conv2d(3, 3, (1, 1), stride=2, padding=1, dilation=2, bias=False),
    nn.utils.parametrizations.weight_norm(nn.Conv2d(6, 8, 1, stride=2)),
]
SAFE = [
    nn.Conv2d(16, 4, 1, stride=2),
    nn.Conv2d(1, 4, 1),
    nn.Conv2d(1, 4, (1, 3), stride=2),
    nn.Conv2d(64, 64, 1, stride=2, groups=64),
    nn.Conv1d(4, 4, 1, stride=2),
    nn.Conv3d(4, 4, 1, stride=2),
    nn.ConvTranspose2d(4, 4, 1, stride=2),
]


@pytest.mark.parametrize("layer", [*UNSAFE, *SAFE], ids=str)
def test_layers_and_calls_are_judged_alike(layer):
    unsafe = layer in UNSAFE
    assert unsafe_with_channels_last(nn.Sequential(nn.ReLU(), layer)) == ("1" if unsafe else "")
    image = torch.rand(2, layer.in_channels, *[7] * (layer.weight.dim() - 2))
    with UnsafeCalls() as calls:
        layer(image)
    assert calls.found == unsafe
    with UnsafeCalls() as calls:
        F.conv2d(torch.rand(3, 8, 8), torch.rand(4, 3, 1, 1), stride=2)  # one picture, no layer
    assert calls.found


def test_the_network_may_be_one_layer():
    assert unsafe_with_channels_last(UNSAFE[0]) == "Conv2d"


def test_plain_layout():
    for shape in [(2, 3, 4, 4), (2, 1, 4, 4), (5, 3, 1, 1)]:
        tensor = torch.rand(shape).to(memory_format=torch.channels_last)
        assert plain_layout(tensor).stride() == torch.empty(shape).stride()
        assert torch.equal(plain_layout(tensor), tensor)
    vector = torch.rand(3)
    assert plain_layout(vector) is vector
