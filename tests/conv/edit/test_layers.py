"""Layers whose weights are computed, and normalisations without parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from course_utils.conv import EditError, edit_conv
from tests.conv.edit.small_networks import difference


def test_only_the_window_over_a_computed_weight_can_change(pictures):
    model = nn.Sequential(weight_norm(nn.Conv2d(3, 4, 3)), nn.AdaptiveAvgPool2d(2))
    with pytest.raises(EditError, match="computed"):
        edit_conv(model, "0", example_input=pictures, kernel_size=5)
    edited = edit_conv(model, "0", example_input=pictures, stride=2, padding=1)
    assert edited[0].stride == (2, 2)
    assert torch.equal(edited[0].weight, model[0].weight)


def test_layers_around_a_computed_weight_follow(pictures):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), weight_norm(nn.Conv2d(4, 6, 3)), nn.Conv2d(6, 2, 1))
    edited = edit_conv(model, "0", example_input=pictures, out_channels=8)
    assert edited[1].weight.shape == (6, 8, 3, 3)
    assert edited(pictures).shape == model(pictures).shape


class Last(nn.LayerNorm):
    """A LayerNorm of the channels in dimension 1."""

    def forward(self, x):
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


@pytest.mark.parametrize(
    ("norm", "attribute"),
    [
        (nn.InstanceNorm2d(4), "num_features"),
        (nn.GroupNorm(2, 4, affine=False), "num_channels"),
        (nn.BatchNorm2d(4, affine=False, track_running_stats=False), "num_features"),
        (Last(4, elementwise_affine=False), "normalized_shape"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_normalisation_without_parameters_follows(pictures, norm, attribute):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Conv2d(4, 2, 1))
    edited = edit_conv(model, "0", example_input=pictures, out_channels=8)
    assert getattr(edited[1], attribute) in (8, (8,))
    assert getattr(model[1], attribute) in (4, (4,))
    assert not edited[1]._forward_pre_hooks
    assert difference(model, edited, pictures) < 1e-4  # all channels twice: the same mean
