"""`edit_conv`: it keeps the function, the other layers follow, the impossible is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.conv import AdaptedConv2d, EditError, edit_conv
from course_utils.models.simple import SimpleCNN
from tests.conv.edit.small_networks import Residual, difference


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("stem", {"out_channels": 16}),
        ("stem", {"out_channels": 11}),
        ("outer", {"out_channels": 9}),
        ("inner", {"out_channels": 40}),
        ("stem", {"kernel_size": 5}),
        ("stem", {"kernel_size": (3, 7)}),
        ("stem", {"kernel_size": 4}),
        ("inner", {"kernel_size": 3}),
        ("stem", {"out_channels": 10, "kernel_size": 5}),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_a_larger_layer_computes_the_same(model, pictures, name, changes):
    edited = edit_conv(model, name, example_input=pictures, **changes)
    assert difference(model, edited, pictures) < 1e-5
    assert edited(pictures).shape == (2, 5)


def test_a_bias_changes_nothing_at_first():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.Flatten(), nn.Linear(2 * 16, 3))
    pictures = torch.randn(2, 1, 6, 6)
    edited = edit_conv(model, "0", example_input=pictures, bias=True)
    assert edited[0].bias.tolist() == [0, 0]
    assert torch.equal(edited(pictures), model(pictures))


def test_fewer_groups_compute_the_same():
    model = nn.Sequential(nn.Conv2d(8, 16, 3, groups=4), nn.AdaptiveAvgPool2d(1))
    pictures = torch.randn(2, 8, 5, 5)
    for groups in (1, 2):
        edited = edit_conv(model, "0", example_input=pictures, groups=groups)
        assert edited[0].groups == groups
        assert difference(model, edited, pictures) < 1e-5


def test_layers_behind_a_sum_and_in_front_of_it_follow(model, pictures):
    edited = edit_conv(model, "outer", example_input=pictures, out_channels=20)
    assert edited.stem.out_channels == edited.outer.out_channels == 20
    assert edited.inner.in_channels == edited.head.in_features == edited.norm.num_features == 20
    assert edited.inner.out_channels == 12


@pytest.mark.parametrize("name", ["stem", "inner", "outer"])
def test_a_single_channel_is_followed(model, pictures, name):
    narrow = edit_conv(model, name, example_input=pictures, out_channels=1)
    assert not any(isinstance(m, AdaptedConv2d) for m in narrow.modules())
    assert narrow.get_submodule(name).out_channels == 1
    wide = edit_conv(narrow, name, example_input=pictures, out_channels=8)
    assert not any(isinstance(m, AdaptedConv2d) for m in wide.modules())
    assert difference(narrow, wide, pictures) < 1e-5


def test_the_pixels_of_a_single_channel_are_followed():
    model = SimpleCNN()
    narrow = edit_conv(model, "conv2", out_channels=1)
    assert narrow.classifier.in_features == 7 * 7
    assert narrow(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert edit_conv(narrow, "conv2", out_channels=3).classifier.in_features == 3 * 7 * 7


def test_a_single_channel_over_all_others_stays_single(pictures):
    class Spatial(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3, padding=1)
            self.gate = nn.Conv2d(8, 1, 3, padding=1)

        def forward(self, x):
            x = self.stem(x)
            return (x * self.gate(x).sigmoid()).mean((2, 3))

    model = Spatial()
    assert edit_conv(model, "stem", example_input=pictures, adapter=False, kernel_size=5)
    with pytest.raises(EditError, match="gate"):
        edit_conv(model, "gate", example_input=pictures, adapter=False, out_channels=2)


def test_channels_that_are_written_into_a_part_of_a_tensor_stay(pictures):
    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(6, 2, 1)

        def forward(self, x):
            padded = x.new_zeros(len(x), 6, *x.shape[2:])
            padded[:, :4] = self.stem(x)  # would also accept a single channel, four times
            return self.head(padded).mean((2, 3))

    with pytest.raises(EditError, match="__setitem__"):
        edit_conv(Writes(), "stem", example_input=pictures, adapter=False, out_channels=1)


def test_fewer_channels_keep_the_kernels_with_the_largest_norm(pictures):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3))
    norms = model[0].weight.abs().sum((1, 2, 3))
    kept = norms.topk(4).indices.sort().values
    edited = edit_conv(model, "0", example_input=pictures, out_channels=4)
    assert torch.equal(edited[0].weight, model[0].weight[kept])
    assert torch.equal(edited[2].weight, model[2].weight[:, kept])


def test_importance_may_be_a_function(pictures):
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3))
    order = torch.tensor([0.0, 9, 1, 8, 2, 7])
    edited = edit_conv(
        model, "0", example_input=pictures, out_channels=3, importance=lambda weight: order
    )
    assert torch.equal(edited[0].weight, model[0].weight[[1, 3, 5]])


def test_a_depthwise_layer_stays_depthwise():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1), nn.Flatten(2)
    )
    pictures = torch.randn(2, 3, 6, 6)
    edited = edit_conv(model, "1", example_input=pictures, out_channels=12)
    assert edited[0].out_channels == edited[1].groups == edited[1].in_channels == 12
    assert difference(model, edited, pictures) < 1e-5


def test_groups_that_are_asked_for_are_obeyed_with_other_channels():
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1))
    edited = edit_conv(model, "0", example_input=torch.zeros(1, 8, 5, 5), out_channels=16, groups=4)
    assert (edited[0].in_channels, edited[0].out_channels, edited[0].groups) == (8, 16, 4)


def test_a_linear_layer_behind_flatten_takes_the_pixels_that_are_left():
    model = SimpleCNN()
    edited = edit_conv(model, "conv2", stride=2)
    assert edited.classifier.in_features == 32 * 3 * 3
    assert not isinstance(edited.conv2, AdaptedConv2d)
    # Each remaining pixel keeps the weights of the pixel that it stands for, scaled to their number
    old = model.classifier.weight.reshape(10, 32, 7, 7)
    new = edited.classifier.weight.reshape(10, 32, 3, 3)
    assert torch.allclose(new, old[..., [0, 2, 4], :][..., [0, 2, 4]] * (49 / 9))


@pytest.mark.parametrize("between", [nn.Dropout(0.5), nn.BatchNorm1d(4 * 36), nn.Softplus()])
def test_fewer_pixels_and_more_channels_at_once(between):
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), between, nn.Linear(4 * 36, 3))
    ).eval()
    picture = torch.randn(2, 1, 6, 6)
    edited = edit_conv(model, "0", example_input=picture, stride=2, out_channels=6, adapter=False)
    assert edited[3].in_features == 6 * 9
    assert edited(picture).shape == (2, 3)


def test_adaptive_pooling_takes_any_size(model, pictures):
    edited = edit_conv(model, "stem", example_input=pictures, stride=2)
    assert not any(isinstance(layer, AdaptedConv2d) for layer in edited.modules())
    assert edited(pictures).shape == (2, 5)


def test_heads_that_only_train_are_followed():
    class Auxiliary(Residual):
        def __init__(self):
            super().__init__()
            self.side = nn.Conv2d(8, 2, 1)

        def forward(self, x):
            main = super().forward(x)
            if not self.training:
                return main
            return main, self.side(self.stem(x)).mean((2, 3))

    model = Auxiliary().eval()
    edited = edit_conv(model, "stem", example_input=torch.zeros(2, 3, 9, 9), out_channels=12)
    assert edited.side.in_channels == 12
    edited.train()(torch.randn(2, 3, 9, 9))


def test_the_output_is_refused(model, pictures):
    classifier = nn.Sequential(nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(EditError, match="network's output"):
        edit_conv(classifier, "0", example_input=pictures, out_channels=7)


def test_an_unknown_layer_lists_those_that_are_close(model):
    with pytest.raises(EditError, match=r"no layer in this model\. Close to it: stem"):
        edit_conv(model, "sten", out_channels=3)
    with pytest.raises(EditError, match="Linear, not a Conv2d"):
        edit_conv(model, "head", out_channels=3)


def test_what_is_not_used_is_said(pictures):
    class Idle(Residual):
        def __init__(self):
            super().__init__()
            self.idle = nn.Conv2d(3, 4, 3)

    with pytest.raises(EditError, match="not used"):
        edit_conv(Idle(), "idle", example_input=pictures, out_channels=8)


def test_option_a_shortcuts_pad_with_channels_that_stay():
    class OptionA(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(1, 4, 3, padding=1)
            self.down = nn.Conv2d(4, 8, 3, stride=2, padding=1)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            x = self.stem(x).relu()
            shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
            return self.head((self.down(x) + shortcut).mean((2, 3)))

    torch.manual_seed(0)
    model, pictures = OptionA(), torch.randn(2, 1, 8, 8)
    edited = edit_conv(model, "down", example_input=pictures, out_channels=12)
    assert edited.stem.out_channels == 8  # 2 + 8 + 2
    assert difference(model, edited, pictures) < 1e-5
