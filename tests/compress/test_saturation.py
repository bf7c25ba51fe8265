from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.compress import fake_quantize, saturating_product, without_vnni
from course_utils.core import CourseError
from tests.toys import same, toy_model, weights

PICTURES = torch.randn(20, 2, 9, 8, generator=torch.Generator().manual_seed(0))


def network(**settings) -> nn.Module:
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 5, 3, **settings)
    return nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 3))


@pytest.mark.parametrize(
    "x, weight, expected",
    [
        ([255, 255], [127, 127], 32767),
        ([255, 255], [-128, -128], -32768),
        ([255, 255], [64, 64], 32640),
        ([255, 255], [127, -127], 0),
        ([255, 0, 255], [127, 127, 127], 2 * 255 * 127),
        ([255, 255, 1, 1], [127, 127, -1, -1], 32765),
    ],
)
def test_two_products_are_added_in_16_bits_and_all_others_exactly(x, weight, expected):
    x, weight = torch.tensor([x, x]), torch.tensor([weight])
    assert saturating_product(x, weight).tolist() == [[expected]] * 2


@pytest.mark.parametrize("k", [1, 2, 7, 30])
def test_with_seven_bits_nothing_is_cut_off(k):
    x, weight = torch.randint(0, 256, (40, k)), torch.randint(-64, 65, (6, k))
    assert torch.equal(saturating_product(x, weight).long(), x @ weight.T)


@pytest.mark.parametrize(
    "settings",
    [{}, {"padding": 1}, {"stride": 2, "padding": (2, 0), "bias": False}, {"dilation": 2}],
)
def test_the_whole_network_computes_with_codes(settings):
    model = network(**settings).eval()
    before = weights(model)
    with torch.no_grad():
        expected = fake_quantize(model, PICTURES, weight_bits=7)(PICTURES)
        found = without_vnni(model, PICTURES, reduce_range=True)(PICTURES)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        model[0].weight.fill_(1)  # large sums of one sign
        cut, whole = (
            without_vnni(model, PICTURES, reduce_range=r)(PICTURES) for r in (False, True)
        )
    assert (cut - whole).norm() > 0.1 * whole.norm()
    model[0].weight.data.copy_(before["0.weight"])
    assert same(before, weights(model))


@pytest.mark.parametrize("settings", [{"groups": 2, "out_channels": 4}, {"padding": "same"}])
def test_what_is_not_computed_here(settings):
    model = nn.Conv2d(**({"in_channels": 2, "out_channels": 5, "kernel_size": 3} | settings))
    with pytest.raises(CourseError, match=r"groups|padding"):
        without_vnni(nn.Sequential(model), PICTURES)
    with pytest.raises(CourseError, match="at least one"):
        without_vnni(toy_model(), PICTURES[:0])
