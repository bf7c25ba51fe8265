"""Channels that are cut, repeated, padded, folded or counted between two convolutions.

Each edit is right, or gets an adapter, or is refused in words. None returns a network that cannot
run, or a wider one with another function, except where copies count (`COUNTED`).
"""

from __future__ import annotations

import itertools
import re

import pytest
import torch
from torch import nn

from course_utils.conv import ImpossibleSetting, edit_conv
from course_utils.core import CourseError
from tests.conv.edit import zoo_edits
from tests.conv.edit.zoo_moves import KINDS, SHAPE, network

PICTURES = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
INEXACT = {"counted"}  # what is counted changes with each copy
UNEVEN = {"averaged", "fold, pooled"}  # exact where every channel has equally many copies
BARE = ("cast", "cast of one", "cast of channels", "repeat of one", "averaged")
INTERNAL = re.compile(r"(Key|Index|Assertion|Attribute|Type|ZeroDivision)Error")


def widths(channels: int) -> list[int]:
    """Return some other numbers of channels: one, fewer, one less, one more, twice."""
    wanted = (1, channels // 2, channels - 1, channels + 1, 2 * channels)
    return [n for n in dict.fromkeys(wanted) if n not in (0, channels)]


def try_edit(model: nn.Module, name: str, **options) -> nn.Module | None:
    """Return the edited network; None where it is refused in words."""
    try:
        return edit_conv(model, name, example_input=PICTURES, **options)
    except CourseError as error:
        assert not INTERNAL.search(str(error)), error
        assert (
            not options["adapter"]
            or isinstance(error, ImpossibleSetting)
            or ("network's output" in str(error))
        ), error


def check(before: nn.Module, after: nn.Module, name: str, exact: bool) -> None:
    outputs = [zoo_edits.run(model, (PICTURES,)) for model in (before, after)]
    assert outputs[0].shape == outputs[1].shape
    for layer in after.modules():
        if isinstance(layer, nn.Conv2d):
            wanted = layer.out_channels, layer.in_channels // layer.groups
            assert tuple(layer.weight.shape[:2]) == wanted
    former, now = (model.get_submodule(name).out_channels for model in (before, after))
    if now > former and exact:
        assert zoo_edits.difference(*outputs) < zoo_edits.TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_no_network_breaks(kind):
    turn = itertools.count()
    for what, (channels, arriving, between) in KINDS[kind].items():
        model = network(between, channels, arriving)
        convs = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and n != "conv2"]
        for name in convs:
            now = model.get_submodule(name).out_channels
            want = widths(now)[next(turn) % len(widths(now))]
            for wanted, adapter in ((want, True), (2 * now, False)):
                result = try_edit(model, name, out_channels=wanted, adapter=adapter)
                if result is not None:
                    exact = kind not in INEXACT and (wanted % now == 0 or kind not in UNEVEN)
                    check(model, result, name, exact)
                elif adapter is False:
                    assert kind not in BARE or what == "unfold", what


@pytest.mark.parametrize("cut", ["[:4]", "[::2]", "narrow", "list", "chunk", "half"])
def test_a_fixed_slice_before_a_depthwise_layer_keeps_its_channels(cut):
    model = network(KINDS["cut, depthwise"][cut][2], 8, 4)
    result = edit_conv(model, "conv1", example_input=PICTURES, out_channels=16, adapter=False)
    check(model, result, "conv1", exact=True)
    follows = cut in ("[::2]", "chunk", "half")
    assert result.grouped.groups == result.conv2.in_channels == (8 if follows else 4)


def test_the_one_channel_that_is_read_is_kept():
    model = network(KINDS["the same one"]["list"][2], 4, 3)
    with torch.no_grad():
        model.conv1.weight[0] *= 0.01  # the least important
    result = edit_conv(model, "conv1", example_input=PICTURES, out_channels=2, adapter=False)
    assert torch.equal(result.conv1.weight[0], model.conv1.weight[0])
    assert result.conv2.in_channels == 3
