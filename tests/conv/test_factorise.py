"""One convolution as two: the best ones, and how good they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import bottleneck, separable
from course_utils.core import CourseError

SETTINGS = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (5, 3), "stride": (2, 1), "dilation": 2, "bias": False},
    {"kernel_size": 3, "padding": "same", "padding_mode": "reflect", "dtype": torch.float64},
    {"kernel_size": 1},
]
TURNED = {"separable": separable, "bottleneck": lambda layer: bottleneck(layer, 3)}


@pytest.fixture(params=SETTINGS, ids=str)
def layer(request):
    torch.manual_seed(0)
    return nn.Conv2d(6, 8, **request.param).eval()


def pictures(layer):
    return torch.randn(2, 6, 15, 16, dtype=layer.weight.dtype)


def kernels_of(layers):
    """Return the kernels that two layers have together, (C_out, C_in, k_h, k_w)."""
    first, second = (one.weight.detach() for one in layers)
    if first.shape[1] == 1 and first.shape[0] > 1:  # depthwise, then 1×1
        return second * first.transpose(0, 1)
    return torch.einsum("omhw,mi->oihw", second, first[:, :, 0, 0])


@pytest.mark.parametrize("how", TURNED)
def test_the_share_says_how_far_the_kernels_are_from_the_layers(layer, how):
    layers, kept = TURNED[how](layer)
    lost = (kernels_of(layers) - layer.weight.detach()).square().sum()
    assert kept == pytest.approx(1 - (lost / layer.weight.square().sum()).item(), abs=1e-5)
    assert layers(pictures(layer)).shape == layer(pictures(layer)).shape
    assert layers[-1].weight.dtype == layer.weight.dtype and not layers[0].training


@pytest.mark.parametrize("how", TURNED)
def test_what_can_be_made_of_two_layers_stays_the_same(layer, how):
    layers, _ = TURNED[how](layer)
    with torch.no_grad():
        layer.weight.copy_(kernels_of(layers))
    again, kept = TURNED[how](layer)
    assert kept == pytest.approx(1)
    x = pictures(layer)
    assert torch.allclose(again(x), layer(x), atol=1e-5)


def test_no_other_pattern_keeps_more():
    torch.manual_seed(1)
    layer = nn.Conv2d(1, 4, 3)
    share = separable(layer)[1]
    rows = layer.weight.detach().flatten(1)
    for pattern in torch.randn(50, 9):
        kept = (rows @ (pattern / pattern.norm())).square().sum() / rows.square().sum()
        assert kept <= share


def test_a_layer_of_zeros_and_full_width():
    layer = nn.Conv2d(4, 5, 3)
    assert bottleneck(layer, 4)[1] == pytest.approx(1)
    nn.init.zeros_(layer.weight)
    assert separable(layer)[1] == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: separable(nn.Conv2d(4, 4, 3, groups=2)), "2 groups"),
        (lambda: separable(nn.Linear(4, 4)), "not Linear"),
        *((lambda w=w: bottleneck(nn.Conv2d(4, 5, 3), w), "from 1 to 4") for w in (0, 5, 2.5)),
        (lambda: bottleneck(nn.Conv2d(9, 2, 1), 3), "from 1 to 2"),
    ],
)
def test_what_cannot_be_divided_into_two(make, words):
    with pytest.raises(CourseError, match=words):
        make()
