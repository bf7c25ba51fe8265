"""The network's pictures get other channels, and its output other classes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import EditError, ImpossibleSetting, edit_conv
from course_utils.conv.edit.ends import spread
from tests.conv.edit.small_networks import Residual
from tests.conv.edit.zoo import wired

GREY = torch.randn(2, 1, 9, 9, generator=torch.Generator().manual_seed(2))


def test_other_channels_have_the_same_sum_and_copies_share():
    weight = torch.randn(5, 3, 2, 2)
    for channels in (1, 2, 3, 4, 6, 7, 10):
        new = spread(weight, channels)
        assert new.shape == (5, channels, 2, 2)
        assert torch.allclose(new.sum(1), weight.sum(1), atol=1e-6)
    assert torch.equal(spread(weight, 3), weight)
    assert torch.allclose(spread(weight, 6)[:, 4], weight[:, 1] / 2)


@pytest.mark.parametrize("channels", [1, 2, 4, 6, 9])
@pytest.mark.parametrize("given", ["old", "new"])
def test_the_first_layer_takes_pictures_with_other_channels(model, pictures, channels, given):
    example = pictures if given == "old" else pictures[:, :1].repeat(1, channels, 1, 1)
    edited, report = edit_conv(
        model, "stem", example_input=example, in_channels=channels, return_report=True
    )
    assert edited.stem.in_channels == channels
    before, after = (m(GREY.repeat(1, n, 1, 1)) for m, n in ((model, 3), (edited, channels)))
    assert torch.allclose(before, after, atol=1e-5)
    if channels % 3 == 0:
        copies = pictures.repeat(1, channels // 3, 1, 1)
        assert torch.allclose(model(pictures), edited(copies), atol=1e-5)
    assert "function: the same on grey pictures" in str(report)
    assert f"stem (Conv2d): in 3 → {channels}" in str(report)


def test_other_settings_may_change_at_once(model, pictures):
    changes = {"in_channels": 1, "out_channels": 12, "kernel_size": 5}
    edited = edit_conv(model, "stem", example_input=pictures, **changes)
    assert edited.stem.weight.shape == (12, 1, 5, 5)
    assert torch.allclose(model(GREY.repeat(1, 3, 1, 1)), edited(GREY), atol=1e-5)


def two_stems(layer, x):
    a, b = (layer(nn.Conv2d, 3, 4, k, padding=k // 2, name=f"stem{k}")(x) for k in (1, 3))
    return layer(nn.Conv2d, 4, 2, 1, name="last")(a + b).mean((2, 3))


def test_layers_that_read_the_same_pictures_follow(pictures):
    model = wired(two_stems, pictures)
    edited = edit_conv(model, "stem1", example_input=pictures, in_channels=1)
    assert edited.stem1.in_channels == edited.stem3.in_channels == 1
    assert torch.allclose(model(GREY.repeat(1, 3, 1, 1)), edited(GREY), atol=1e-5)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.colour, self.other = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, x, y):
        return (self.colour(x) * self.other(y)).mean((2, 3))


def test_only_the_input_that_the_layer_reads_changes(pictures):
    edited = edit_conv(TwoInputs(), "other", example_input=(pictures, pictures + 1), in_channels=1)
    assert (edited.colour.in_channels, edited.other.in_channels) == (3, 1)
    assert edited(pictures, GREY).shape == (2, 4)


def adds_its_input(layer, x):
    return x + layer(nn.Conv2d, 3, 3, 3, padding=1, name="conv")(x)


def upsamples(layer, x):
    x = layer(nn.ConvTranspose2d, 3, 4, 2, name="first")(x)
    return layer(nn.Conv2d, 4, 3, 3, name="last")(x).mean((2, 3))


def normalises(layer, x):
    x = x - layer(torch.ones, 1, 3, 1, 1, name="mean")
    return layer(nn.Conv2d, 3, 3, 3, padding=1, name="conv")(x).mean((2, 3))


def depthwise_first(layer, x):
    x = layer(nn.Conv2d, 3, 6, 3, groups=3, name="first")(x)
    return layer(nn.Conv2d, 6, 6, 3, groups=6, name="second")(x).mean((2, 3))


@pytest.mark.parametrize(
    ("forward", "name", "channels", "words"),
    [
        (two_stems, "last", 5, "change their out_channels"),
        (adds_its_input, "conv", 2, "at other places, too"),
        (upsamples, "last", 5, "change their out_channels"),
        (normalises, "conv", 4, "at other places, too"),
        (depthwise_first, "first", 1, "groups = 3"),
        (depthwise_first, "second", 1, "change their out_channels"),
        (two_stems, "stem1", 0, "at least 1"),
        (two_stems, "stem1", 2.5, "whole number"),
    ],
)
def test_what_cannot_take_other_channels_is_refused(pictures, forward, name, channels, words):
    with pytest.raises((EditError, ImpossibleSetting), match=words):
        edit_conv(wired(forward, pictures), name, example_input=pictures, in_channels=channels)


# Outputs


class Convolutional(nn.Module):
    """A fully convolutional network; what follows its last layer depends on `kind`."""

    def __init__(self, kind: str):
        super().__init__()
        self.body = nn.Conv2d(3, 6, 3, padding=1)
        self.head = nn.Conv2d(6, 5, 1)
        self.last = {"norm": nn.BatchNorm2d(5), "scale": nn.Conv2d(5, 5, 1, groups=5)}.get(kind)

    def forward(self, x):
        x = self.head(self.body(x).relu())
        return x if self.last is None else self.last(x)


@pytest.mark.parametrize("kind", ["bare", "norm", "scale"])
def test_outputs_are_refused_alike_and_changed_on_purpose(pictures, kind):
    torch.manual_seed(0)
    model = Convolutional(kind).eval()
    with pytest.raises(EditError, match="network's output"):
        edit_conv(model, "head", example_input=pictures, out_channels=7)
    for classes in (7, 3, 1, 20):
        options = {"out_channels": classes, "output": True, "example_input": pictures}
        edited, report = edit_conv(model, "head", return_report=True, **options)
        assert edited(pictures).shape == (2, classes, 9, 9)
        both = min(classes, 5)
        assert torch.allclose(edited(pictures)[:, :both], model(pictures)[:, :both], atol=1e-6)
        again = edit_conv(model, "head", **options)
        assert torch.equal(edited(pictures), again(pictures))  # a fixed seed
        assert report.same_function
        assert f"out 5 → {classes}" in str(report)
    new = edit_conv(model, "head", out_channels=500, output=True, example_input=pictures).head
    for values in (new.weight[5:], new.bias[5:]):  # as in a new layer
        assert 0.9 / 6**0.5 < values.abs().max() <= 1 / 6**0.5


@pytest.mark.parametrize("setting", ["out_channels", "out_features"])
def test_a_last_linear_layer_gets_other_classes(pictures, setting):
    model = Residual().eval()
    edited = edit_conv(model, "head", example_input=pictures, output=True, **{setting: 7})
    assert edited.head.out_features == 7
    assert torch.allclose(edited(pictures)[:, :5], model(pictures), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("stem", {"out_channels": 4}, "not that"),
        ("head", {}, "give out_channels"),
        ("head", {"out_channels": 0}, "at least 1"),
        ("head", {"out_features": 4, "kernel_size": 3}, "Linear, not a Conv2d"),
        ("stem", {"out_features": 4, "out_channels": 4}, "no argument 'out_features'"),
    ],
)
def test_what_is_not_an_output_is_refused(model, pictures, name, changes, words):
    with pytest.raises(ValueError, match=words):
        edit_conv(model, name, example_input=pictures, output=True, **changes)


# Rounded channels, and a report without a network


@pytest.mark.parametrize(
    ("name", "want", "divisible_by", "got"),
    [
        ("stem", 12, 8, 16),
        ("stem", 11, 8, 8),
        ("stem", 1, 8, 8),
        ("depthwise", 30, 8, 32),
        ("grouped", 13, 8, 12),
        ("grouped", 20, 5, 15),
    ],
)
def test_channels_are_rounded_to_multiples(pictures, name, want, divisible_by, got):
    def forward(layer, x):
        x = layer(nn.Conv2d, 3, 6, 1, name="stem")(x)
        x = layer(nn.Conv2d, 6, 12, 3, groups=6, name="depthwise")(x)
        x = layer(nn.Conv2d, 12, 12, 3, groups=3, name="grouped")(x)
        return layer(nn.Conv2d, 12, 2, 1)(x).mean((2, 3))

    model = wired(forward, pictures)
    options = {"example_input": pictures, "out_channels": want, "divisible_by": divisible_by}
    if name == "grouped":
        got = {8: 24, 5: 15}[divisible_by]
    edited = edit_conv(model, name, **options)
    assert edited.get_submodule(name).out_channels == got
    assert edited(pictures).shape == (2, 2)


def test_a_dry_run_returns_the_report_alone(model, pictures):
    for name, changes in (
        ("stem", {"out_channels": 12, "kernel_size": 5}),
        ("outer", {"stride": 2}),
        ("stem", {"in_channels": 1}),
        ("head", {"out_features": 3, "output": True}),
    ):
        _, report = edit_conv(model, name, example_input=pictures, return_report=True, **changes)
        dry = edit_conv(model, name, example_input=pictures, dry_run=True, **changes)
        assert dry.layers == report.layers
        for what in (
            "adapters",
            "parameters",
            "multiply_adds",
            "receptive_field",
            "kept",
            "reason",
        ):
            assert getattr(dry, what) == getattr(report, what)
        assert dry.same_function is None
        assert "function" not in str(dry)
