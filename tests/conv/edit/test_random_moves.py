"""Random networks whose channels are cut, repeated, padded, shuffled and folded, by fixed numbers.

The suite tries a sample, the same one each time; COURSE_RANDOM_NETWORKS tries more, other ones in
each run (see `test_random_networks`).
"""

from __future__ import annotations

import os
import re
from collections import Counter

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.conv import ImpossibleSetting, edit_conv
from course_utils.core import CourseError
from tests.conv.edit import zoo_edits
from tests.conv.edit.zoo import Wired

WANTED = os.environ.get("COURSE_RANDOM_NETWORKS")
NETWORKS = int(WANTED or 60)
INPUTS = (torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)),)
INTERNAL = re.compile(r"(Key|Index|Assertion|Attribute|Type|ZeroDivision)Error")


class Fixed(nn.Module):
    """A number that the first run has written into the network."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number


def step(layer, y: torch.Tensor, kind: str, n: int) -> torch.Tensor:
    """Return `y` after one operation; `n` is any number from 1 to 4."""
    c, h, w = y.shape[1:]
    fixed = layer(Fixed, max(1, c * n // 5)).number  # a part of the channels
    every = layer(Fixed, c).number
    even = layer(Fixed, every % 2 == 0).number  # what the network does, depends on its first run
    match kind:
        case "conv":
            return F.relu(layer(nn.Conv2d, c, 2 * n, 3, padding=1)(y))
        case "one":
            return layer(nn.Conv2d, c, 1, 1)(y)
        case "grouped":
            return layer(nn.Conv2d, c, c * (1 + n % 2), 3, padding=1, groups=c)(y)
        case "norm":
            return layer(nn.BatchNorm2d, c)(y)
        case "residual":
            return y + layer(nn.Conv2d, c, c, 3, padding=1)(y)
        case "gate":
            return y * layer(nn.Conv2d, c, 1, 1)(y).sigmoid()
        case "cut":
            return (y[:, :fixed], y[:, -fixed:], y[:, ::n], y.narrow(1, every // 3, 1))[n - 1]
        case "list":
            return y[:, [0] * n] if n % 2 else y[:, [-1, 0] * n]
        case "parts":
            return torch.cat([y[:, :fixed].relu(), y[:, fixed:].tanh()], 1)
        case "swap":
            return torch.cat([y[:, fixed:], y[:, :fixed]], 1)
        case "split":
            sizes = layer(Fixed, (fixed, c - fixed)).number
            return torch.cat(y.split(sizes, 1)[::-1], 1)
        case "repeat":
            return (y.repeat(1, n, 1, 1), y.repeat_interleave(n, 1), y.tile(1, n, 1, 1))[n % 3]
        case "stack":
            return torch.stack([y, y.tanh()], 1 + n % 2).flatten(1, 2)
        case "pad":
            return F.pad(y, (0, 0, 0, 0, n % 2, n // 2), value=0.1 * (n % 2))
        case "reflect":
            return F.pad(y[:, None], (0, 0, 0, 0, 1, 0), mode="replicate")[:, 0]
        case "to depth" if h % 2 == w % 2 == 0:
            return F.pixel_unshuffle(y, 2)
        case "from depth" if every % 4 == 0 and h < 9:
            return F.pixel_shuffle(y, 2)
        case "shuffle" if even:
            return F.channel_shuffle(y, 2)
        case "maxout" if even:
            return y.unflatten(1, (-1, 2)).amax(2) if n % 2 else torch.maximum(*y.chunk(2, 1))
        case "fold":
            shape = layer(Fixed, (2, every, -1, w)).number
            return y.reshape(shape)
        case "pixels" if h % 2 == 0:
            return y.view(2, -1, h // 2, w)
        case "tokens":
            return y.flatten(2).transpose(1, 2).unflatten(1, (h, w)).permute(0, 3, 1, 2)
        case "zeros":
            return y + torch.zeros(1, every, 1, 1)
        case "scale":
            return y * layer(torch.rand, c)[:, None, None]
        case "cast":
            return y + layer(torch.rand, 1, 1, 1, 1).to(y)
        case "resize":
            return F.avg_pool2d(y, 3, 1, 1) if n % 2 else F.interpolate(y, scale_factor=1)
    return y


KINDS = ("conv", "one", "grouped", "norm", "residual", "gate", "cut", "list", "parts", "swap")
KINDS += ("split", "repeat", "stack", "pad", "reflect", "to depth", "from depth", "shuffle")
KINDS += ("maxout", "fold", "pixels", "tokens", "zeros", "scale", "cast", "resize")


@st.composite
def networks(draw) -> nn.Module:
    steps = draw(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 4)), max_size=4))
    channels = draw(st.sampled_from([1, 2, 4, 6, 8]))

    def forward(layer, x):
        y = F.relu(layer(nn.Conv2d, 3, channels, 3, padding=1)(x))
        for kind, n in steps:
            y = step(layer, y, kind, n)
        return layer(nn.Conv2d, y.shape[1], 3, 3, padding=1)(y)

    torch.manual_seed(draw(st.integers(0, 9)))
    model = Wired(forward)
    model.steps = steps
    zoo_edits.run(model, INPUTS)
    return model.eval()


def check_edit(model: nn.Module, name: str, want: int, adapter: bool) -> str:
    """Return what became of an edit: "right", "adapted", "refused" or "impossible"."""
    options = {"example_input": INPUTS[0], "adapter": adapter, "out_channels": want}
    try:
        result = edit_conv(model, name, **options)
    except ImpossibleSetting:
        return "impossible"
    except CourseError as error:
        assert not INTERNAL.search(str(error)), error
        return "refused"
    before = zoo_edits.run(model, INPUTS)
    try:
        after = zoo_edits.run(result, INPUTS)
    except RuntimeError as error:
        raise AssertionError(f"{model.steps}: {error}") from error
    assert before.shape == after.shape
    for layer in result.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.shape[0] == layer.out_channels
            assert layer.weight.shape[1] * layer.groups == layer.in_channels
    assert result.get_submodule(name).out_channels == want
    if want > model.get_submodule(name).out_channels:
        assert zoo_edits.difference(before, after) < zoo_edits.TOLERANCE, model.steps
    return "adapted" if hasattr(result.get_submodule(name), "project") else "right"


def test_random_edits_of_channels_that_are_moved():
    tried: Counter[str] = Counter()

    @settings(
        max_examples=NETWORKS,
        deadline=None,
        derandomize=WANTED is None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(networks(), st.integers(0, 9), st.integers(1, 12), st.booleans())
    def check(model, number, want, adapter):
        convs = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)][:-1]
        name = convs[number % len(convs)]
        for channels in (want, 2 * model.get_submodule(name).out_channels, 1):
            tried[check_edit(model, name, channels, adapter)] += 1

    check()
    assert tried["right"] > sum(tried.values()) / 3 and tried["adapted"], tried
    if WANTED:
        print(tried)
