"""The channels that change together, and the old channel that a new one continues."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.conv import EditError, channel_table, edit_conv
from course_utils.conv.edit.coupling import widths
from course_utils.conv.edit.tracer import trace_model
from tests.conv.edit.small_networks import difference
from tests.conv.edit.zoo import wired
from tests.conv.edit.zoo_mobile import shuffle

PICTURES = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def sizes(function, want: int) -> dict[str, int]:
    """Return the new width of each axis that changes when the layer `a` gets `want` channels."""
    trace = trace_model(wired(function, PICTURES).to("meta"), ((PICTURES.to("meta"),), {}))
    found = widths(trace, "a.weight", want, np.zeros(trace.classes.max() + 1))
    return {f"{name}[{dim}]": n for (name, dim), n in found.items()}


def conv(layer, name, c_in, c_out):
    return layer(nn.Conv2d, c_in, c_out, 1, name=name)


def shuffled(layer, x):
    """Twice: split, one branch convolved, concatenated and shuffled (Ma et al. 2018)."""
    x = conv(layer, "stem", 1, 12)(x)
    for name in "ab":
        left, right = x.chunk(2, 1)
        x = shuffle(torch.cat([left, conv(layer, name, 6, 6)(right)], 1), 2)
    return conv(layer, "head", 12, 3)(x)


def test_behind_a_shuffle_all_change_by_the_same_ratio():
    got = sizes(shuffled, 9)
    assert got["a.weight[0]"] == got["b.weight[0]"] == got["b.weight[1]"] == 9
    assert got["stem.weight[0]"] == got["head.weight[1]"] == 18


def test_a_concatenation_changes_only_its_reader():
    def concatenated(layer, x):
        both = [conv(layer, "a", 1, 4)(x), conv(layer, "b", 1, 6)(x)]
        return conv(layer, "c", 10, 2)(torch.cat(both, 1))

    assert sizes(concatenated, 7) == {"a.weight[0]": 7, "a.bias[0]": 7, "c.weight[1]": 13}


def test_a_sum_with_a_part_changes_that_part():
    def part(layer, x):
        a, b = conv(layer, "a", 1, 4)(x), conv(layer, "b", 1, 10)(x)
        head, rest = b.split([a.shape[1], b.shape[1] - a.shape[1]], 1)
        return conv(layer, "c", 6, 1)(rest) + conv(layer, "d", 4, 1)(a + head)

    got = sizes(part, 6)
    assert got["b.weight[0]"] == 12
    assert "c.weight[1]" not in got


def test_the_error_names_the_operation_that_fixes_channels():
    def picked(layer, x):
        return conv(layer, "b", 4, 1)(conv(layer, "a", 1, 4)(x)[:, torch.tensor([2, 0, 1, 3])])

    with pytest.raises(EditError, match="__getitem__"):
        sizes(picked, 6)


@pytest.mark.parametrize("want", [7, 8, 9, 11, 12, 23])
@pytest.mark.parametrize("layer", ["a", "b"])
def test_growing_behind_a_shuffle_keeps_the_function(want, layer):
    model = wired(shuffled, PICTURES)
    edited = edit_conv(model, layer, example_input=PICTURES, out_channels=want)
    assert difference(model, edited, PICTURES) < 1e-5


def test_residual_channels_are_one_class_and_the_output_is_fixed():
    def residual(layer, x):
        x = conv(layer, "a", 1, 3)(x)
        return conv(layer, "c", 3, 2)(x + conv(layer, "b", 3, 3)(x))

    table = channel_table(wired(residual, PICTURES), PICTURES).set_index(["parameter", "does"])
    assert table.loc[("a.weight", "gives"), "channels"] == [1, 2, 3]
    assert table.loc[("b.weight", "gives"), "channels"] == [1, 2, 3]
    assert table.loc[("c.weight", "takes"), "channels"] == [1, 2, 3]
    assert table.loc[("c.weight", "gives"), "channels"] == ["•", "•"]


def test_a_split_in_a_deep_network_is_kept_apart_from_what_changes():
    """The places of a channel are numbered: over 2³¹ of them in a network of this size."""

    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 12, 1)
            self.convs = nn.ModuleList(nn.Conv2d(12, 12, 1) for _ in range(60))
            self.last = nn.Conv2d(12, 4, 1)

        def forward(self, x):
            x = self.first(x)
            x = x + self.convs[0](x)
            for conv in self.convs[1:]:
                a, b = x.split([5, 7], 1)
                x = conv(torch.cat([b, a.relu()], 1))
            return self.last(x)

    model, x = Deep().eval(), torch.randn(2, 3, 4, 4)
    edited = edit_conv(model, "convs.59", example_input=x, out_channels=18, adapter=False)
    assert edited.last.in_channels == 18 and difference(model, edited, x) < 1e-4


@pytest.mark.parametrize(
    "scaled",
    [
        lambda y, g: y.mul(g.reshape(1, -1, 1, 1)),
        lambda y, g: g.view(-1, 1, 1).expand(-1, 4, 4) * y,
        lambda y, g: y * g[None, :, None, None],
        lambda y, g: y * g.unflatten(0, (-1, 1, 1)),
        lambda y, g: (y.permute(0, 2, 3, 1) * g).permute(0, 3, 1, 2),
    ],
)
def test_a_scale_of_each_channel_follows_however_it_is_shaped(scaled):
    """Liu et al. 2022, "A ConvNet for the 2020s": layer scale, as libraries write it."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 4, 1)
            self.gamma = nn.Parameter(torch.rand(8))

        def forward(self, x):
            return self.b(scaled(self.a(x), self.gamma))

    model = Net().eval()
    new = edit_conv(model, "a", example_input=PICTURES, out_channels=12, adapter=False)
    assert len(new.gamma) == 12 and difference(model, new, PICTURES) < 1e-5


def test_one_channel_behind_a_shuffle_is_one_group():
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ChannelShuffle(2), nn.Conv2d(8, 3, 1)).eval()
    new = edit_conv(model, "0", example_input=PICTURES, out_channels=1, adapter=False)
    assert (new[1].groups, new[2].in_channels, model[1].groups) == (1, 1, 2)
    assert new(PICTURES).shape == model(PICTURES).shape
    wide = edit_conv(new, "0", example_input=PICTURES, out_channels=6, adapter=False)
    assert difference(new, wide, PICTURES) < 1e-5
