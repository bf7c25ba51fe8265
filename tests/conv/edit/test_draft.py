"""What an edit leaves unchanged, and on which inputs a network runs."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from course_utils.conv import EditError, edit_conv
from course_utils.models.simple import SimpleCNN
from tests.conv.edit.small_networks import Residual, difference


def test_the_original_is_not_touched(model, pictures):
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    random = torch.random.get_rng_state()
    edited = edit_conv(model, "stem", example_input=pictures, out_channels=20, stride=2)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), random)
    with torch.no_grad():
        for parameter in edited.parameters():
            parameter.zero_()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


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


def test_shared_weights_stay_shared(pictures):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 1)
            self.twice = nn.Conv2d(4, 4, 3, padding=1)
            self.again = self.twice
            self.head = nn.Conv2d(4, 2, 1)

        def forward(self, x):
            return self.head(self.again(self.twice(self.stem(x)).relu())).mean((2, 3))

    model = Shared()
    edited = edit_conv(model, "twice", example_input=pictures, out_channels=6)
    assert edited.twice is edited.again
    assert edited.stem.out_channels == 6
    assert difference(model, edited, pictures) < 1e-5


def test_an_edited_network_trains(model, pictures):
    edited = edit_conv(model, "outer", example_input=pictures, out_channels=12, stride=2)
    edited.train()(pictures).square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in edited.parameters())


def test_the_meta_device_is_enough():
    with torch.device("meta"):
        model = Residual()
    edited = edit_conv(model, "stem", out_channels=16)
    assert edited.stem.weight.shape == (16, 3, 3, 3)
    assert all(p.is_meta for p in edited.parameters())


def test_a_model_that_looks_at_numbers_is_followed(pictures):
    class Looks(Residual):
        def forward(self, x):
            return super().forward(x if x.sum().item() < 1e9 else -x)

    torch.manual_seed(0)
    model = Looks().eval()
    edited = edit_conv(model, "stem", example_input=pictures, out_channels=16)
    assert difference(model, edited, pictures) < 1e-5


def test_the_output_is_refused_in_a_model_that_looks_at_numbers(pictures):
    class Looks(nn.Sequential):
        def forward(self, x):
            return super().forward(x if x.sum().item() < 1e9 else -x).mean((2, 3))

    with pytest.raises(EditError, match="classes"):
        edit_conv(Looks(nn.Conv2d(3, 5, 1)), "0", example_input=pictures, out_channels=7)


def test_without_an_example_the_usual_sizes_are_tried():
    assert edit_conv(SimpleCNN(), "conv1", out_channels=20).conv2.in_channels == 20
    assert edit_conv(SimpleCNN(3, image_size=32), "conv1", out_channels=4).conv2.in_channels == 4
    with pytest.raises(EditError, match="example_input"):
        edit_conv(SimpleCNN(image_size=41), "conv1", out_channels=4)
