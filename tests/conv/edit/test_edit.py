"""`edit_conv`: it keeps the function, the other layers follow, the impossible is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import AdaptedConv2d, EditError, edit_conv
from course_utils.models.simple import SimpleCNN
from tests.conv.edit.small_networks import difference
from tests.conv.edit.zoo import wired


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


def test_layers_behind_a_sum_and_in_front_of_it_follow(model, pictures):
    edited = edit_conv(model, "outer", example_input=pictures, out_channels=20)
    assert edited.stem.out_channels == edited.outer.out_channels == 20
    assert edited.inner.in_channels == edited.head.in_features == edited.norm.num_features == 20
    assert edited.inner.out_channels == 12


@pytest.mark.parametrize("name", ["stem", "inner", "outer"])
def test_a_single_channel_is_followed(model, pictures, name):
    narrow = edit_conv(model, name, example_input=pictures, adapter=False, out_channels=1)
    assert narrow.get_submodule(name).out_channels == 1
    wide = edit_conv(narrow, name, example_input=pictures, adapter=False, out_channels=8)
    assert difference(narrow, wide, pictures) < 1e-5


def test_the_pixels_of_a_single_channel_are_followed():
    narrow = edit_conv(SimpleCNN(), "conv2", out_channels=1)
    assert narrow.classifier.in_features == 7 * 7
    assert narrow(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert edit_conv(narrow, "conv2", out_channels=3).classifier.in_features == 3 * 7 * 7


def test_a_single_channel_over_all_others_stays_single(pictures):
    def spatial(layer, x):
        x = layer(nn.Conv2d, 3, 8, 3, padding=1, name="stem")(x)
        return (x * layer(nn.Conv2d, 8, 1, 3, padding=1, name="gate")(x).sigmoid()).mean((2, 3))

    model = wired(spatial, pictures)
    assert edit_conv(model, "stem", example_input=pictures, adapter=False, kernel_size=5)
    with pytest.raises(EditError, match="gate"):
        edit_conv(model, "gate", example_input=pictures, adapter=False, out_channels=2)


def test_channels_that_are_written_into_a_part_of_a_tensor_stay(pictures):
    def writes(layer, x):
        padded = x.new_zeros(len(x), 6, *x.shape[2:])
        padded[:, :4] = layer(nn.Conv2d, 3, 4, 1, name="stem")(x)  # 1 channel would fit, 4 times
        return layer(nn.Conv2d, 6, 2, 1)(padded).mean((2, 3))

    model = wired(writes, pictures)
    with pytest.raises(EditError, match="__setitem__"):
        edit_conv(model, "stem", example_input=pictures, adapter=False, out_channels=1)


def test_the_most_important_channels_are_kept(pictures):
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3))
    kept = model[0].weight.abs().sum((1, 2, 3)).topk(4).indices.sort().values
    edited = edit_conv(model, "0", example_input=pictures, out_channels=4)
    assert torch.equal(edited[0].weight, model[0].weight[kept])
    assert torch.equal(edited[2].weight, model[2].weight[:, kept])
    options = {"importance": lambda weight: torch.tensor([0.0, 9, 1, 8, 2, 7])}
    edited = edit_conv(model, "0", example_input=pictures, out_channels=3, **options)
    assert torch.equal(edited[0].weight, model[0].weight[[1, 3, 5]])


def test_a_depthwise_layer_stays_depthwise(pictures):
    layers = [nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1)]
    model = nn.Sequential(*layers, nn.Flatten(2))
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
    assert not isinstance(edited.conv2, AdaptedConv2d)
    # Each remaining pixel keeps the weights of the pixel that it stands for, scaled to their number
    old = model.classifier.weight.reshape(10, 32, 7, 7)
    new = edited.classifier.weight.reshape(10, 32, 3, 3)
    assert torch.allclose(new, old[..., [0, 2, 4], :][..., [0, 2, 4]] * (49 / 9))


@pytest.mark.parametrize("between", [nn.Dropout(0.5), nn.BatchNorm1d(4 * 36), nn.Softplus()])
def test_fewer_pixels_and_more_channels_at_once(between):
    first = nn.Conv2d(1, 4, 3, padding=1)
    model = nn.Sequential(first, nn.Flatten(), between, nn.Linear(4 * 36, 3)).eval()
    picture = torch.randn(2, 1, 6, 6)
    edited = edit_conv(model, "0", example_input=picture, stride=2, out_channels=6, adapter=False)
    assert edited[3].in_features == 6 * 9
    assert edited(picture).shape == (2, 3)


def test_adaptive_pooling_takes_any_size(model, pictures):
    edited = edit_conv(model, "stem", example_input=pictures, stride=2, adapter=False)
    assert edited(pictures).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("output", "network's output"),
        ("sten", r"no layer in this model\. Close to it: stem"),
        ("head", "Linear, not a Conv2d"),
        ("idle", "not used"),
    ],
)
def test_what_cannot_be_edited_is_refused(model, pictures, name, words):
    model.idle = nn.Conv2d(3, 4, 3)
    if name == "output":
        model = nn.Sequential()
        model.output = nn.Conv2d(3, 5, 1)
    with pytest.raises(EditError, match=words):
        edit_conv(model, name, example_input=pictures, out_channels=7)


def test_a_shortcut_that_pads_with_channels_counts_them(pictures):
    def option_a(layer, x):
        x = layer(nn.Conv2d, 3, 4, 3, padding=1, name="stem")(x).relu()
        down = layer(nn.Conv2d, 4, 8, 3, stride=2, padding=1, name="down")(x)
        down = down + nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return layer(nn.Linear, 8, 3)(down.mean((2, 3)))

    model = wired(option_a, pictures)
    edited = edit_conv(model, "down", example_input=pictures, out_channels=12)
    assert edited.stem.out_channels == 8  # 2 + 8 + 2
    assert difference(model, edited, pictures) < 1e-5


@pytest.mark.parametrize("names", ["_orig_mod", "module", "module._orig_mod"])
def test_the_network_inside_a_wrapper_is_edited_and_returned(model, pictures, names):
    wrapped = model
    for wrapper in names.split(".")[::-1]:
        wrapped = (torch.compile if wrapper == "_orig_mod" else nn.DataParallel)(wrapped)
    for name in ("stem", f"{names}.stem"):
        edited, report = edit_conv(
            wrapped, name, example_input=pictures, out_channels=12, return_report=True
        )
        assert type(edited) is type(model) and report.name == "stem"
        assert difference(model, edited, pictures) < 1e-5 and report.same_function
    assert wrapped.get_submodule(names) is model


def test_a_compiled_part_is_followed(model, pictures):
    whole = nn.Sequential(nn.Conv2d(3, 3, 1), torch.compile(model))
    edited = edit_conv(whole, "0", example_input=pictures, out_channels=4, adapter=False)
    bare = (nn.Sequential(net[0], net[1].get_submodule("_orig_mod")) for net in (whole, edited))
    assert edited[1].get_submodule("_orig_mod").stem.in_channels == 4
    assert difference(*bare, pictures) < 1e-5
