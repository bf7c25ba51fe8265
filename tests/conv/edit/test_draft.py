"""An edit leaves the original, its modes and its types unchanged; the inputs that it tries."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import EditError, edit_conv
from course_utils.models.simple import SimpleCNN
from tests.conv.edit.small_networks import Residual, difference
from tests.conv.edit.zoo_odd import Shared
from tests.toys import same, weights


def test_the_original_is_not_touched(model, pictures):
    before, random = weights(model), torch.random.get_rng_state()
    modes = [module.training for module in model.modules()]
    edited = edit_conv(model, "stem", example_input=pictures, out_channels=20, stride=2)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), random)
    with torch.no_grad():
        for parameter in edited.parameters():
            parameter.zero_()
    assert same(weights(model), before)


def test_modes_gradients_and_dtype_are_kept(pictures):
    model = Residual().double().train()
    model.stem.requires_grad_(False)
    edited = edit_conv(model, "stem", example_input=pictures.double(), out_channels=10)
    assert edited.training
    assert not edited.stem.weight.requires_grad
    assert edited.outer.weight.requires_grad
    assert {p.dtype for p in edited.parameters()} == {torch.float64}


def test_the_layout_in_memory_is_kept(model, pictures):
    model = model.to(memory_format=torch.channels_last)
    edited = edit_conv(model, "stem", example_input=pictures, out_channels=10, kernel_size=5)
    for layer in (edited.stem, edited.inner, edited.outer):
        assert layer.weight.is_contiguous(memory_format=torch.channels_last)


def test_an_edit_leaves_a_layout_that_would_end_the_training():
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3)).to(
        memory_format=torch.channels_last
    )
    edited = edit_conv(model, "1", adapter=True, kernel_size=1, stride=2)
    assert [p.stride() for p in edited.parameters()] == [
        torch.empty(p.shape).stride() for p in edited.parameters()
    ]


def test_a_layer_with_two_names_stays_one_layer(pictures):
    model = Shared().eval()
    model.again = model.twice
    edited = edit_conv(model, "twice", example_input=pictures, out_channels=9)
    assert edited.twice is edited.again and edited.a.weight is edited.b.weight
    assert edited.stem[0].out_channels == 9
    assert difference(model, edited, pictures) < 1e-5


def test_the_meta_device_is_enough():
    with torch.device("meta"):
        model = Residual()
    edited = edit_conv(model, "stem", out_channels=16)
    assert edited.stem.weight.shape == (16, 3, 3, 3)
    assert all(p.is_meta for p in edited.parameters())


def test_a_model_that_looks_at_numbers_is_followed(pictures):
    class Looks(nn.Sequential):
        def forward(self, x):
            return super().forward(x if x.sum().item() < 1e9 else -x).mean((2, 3))

    model = Looks(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1))
    edited = edit_conv(model, "0", example_input=pictures, out_channels=16)
    assert difference(model, edited, pictures) < 1e-5
    with pytest.raises(EditError, match="classes"):
        edit_conv(model, "1", example_input=pictures, out_channels=7)


def test_without_an_example_the_usual_sizes_are_tried():
    assert edit_conv(SimpleCNN(), "conv1", out_channels=20).conv2.in_channels == 20
    assert edit_conv(SimpleCNN(3, image_size=32), "conv1", out_channels=4).conv2.in_channels == 4
    with pytest.raises(EditError, match="example_input"):
        edit_conv(SimpleCNN(image_size=41), "conv1", out_channels=4)
