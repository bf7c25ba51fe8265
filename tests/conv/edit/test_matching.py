"""Which channels change together, and which old channel a new one continues."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.conv import EditError, channel_table, edit_conv
from course_utils.conv.edit.coupling import widths
from course_utils.conv.edit.tracer import trace_model


def traced(model: nn.Module, *shape: int):
    return trace_model(model.to("meta"), (torch.zeros(shape, device="meta"),))


def sizes(model: nn.Module, weight: str, want: int, *shape: int) -> dict[str, int]:
    trace = traced(model, *shape)
    found = widths(trace, weight, want, np.zeros(trace.classes.max() + 1))
    return {f"{name}[{dim}]": n for (name, dim), n in found.items()}


class Shuffle(nn.Module):
    """Twice: split, one branch convolved, concatenated and shuffled (Ma et al. 2018)."""

    def __init__(self, width=6):
        super().__init__()
        self.stem = nn.Conv2d(1, 2 * width, 1)
        self.a, self.b = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.head = nn.Conv2d(2 * width, 3, 1)

    def forward(self, x):
        x = self.stem(x)
        for branch in (self.a, self.b):
            left, right = x.chunk(2, 1)
            x = torch.cat([left, branch(right)], 1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(x)


def test_behind_a_shuffle_all_change_by_the_same_ratio():
    got = sizes(Shuffle(), "a.weight", 9, 2, 1, 4, 4)
    assert got["a.weight[0]"] == got["b.weight[0]"] == got["b.weight[1]"] == 9
    assert got["stem.weight[0]"] == got["head.weight[1]"] == 18


def test_a_concatenation_changes_only_its_reader():
    class Concat(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 4, 1), nn.Conv2d(1, 6, 1)
            self.c = nn.Conv2d(10, 2, 1)

        def forward(self, x):
            return self.c(torch.cat([self.a(x), self.b(x)], 1))

    got = sizes(Concat(), "a.weight", 7, 2, 1, 4, 4)
    assert got == {"a.weight[0]": 7, "a.bias[0]": 7, "c.weight[1]": 13}


def test_a_sum_with_a_part_changes_that_part():
    class Part(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 4, 1), nn.Conv2d(1, 10, 1)
            self.c, self.d = nn.Conv2d(6, 1, 1), nn.Conv2d(4, 1, 1)

        def forward(self, x):
            a, b = self.a(x), self.b(x)
            head, rest = b.split([a.shape[1], b.shape[1] - a.shape[1]], 1)
            return self.c(rest) + self.d(a + head)

    got = sizes(Part(), "a.weight", 6, 2, 1, 4, 4)
    assert got["b.weight[0]"] == 12
    assert "c.weight[1]" not in got


def test_the_error_names_the_operation_that_fixes_channels():
    class Sorted(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 1, 1)

        def forward(self, x):
            return self.b(self.a(x)[:, torch.tensor([2, 0, 1, 3])])

    with pytest.raises(EditError, match="__getitem__"):
        sizes(Sorted(), "a.weight", 6, 2, 1, 4, 4)


@pytest.mark.parametrize("want", [7, 8, 9, 11, 12, 23])
@pytest.mark.parametrize("layer", ["a", "b"])
def test_growing_behind_a_shuffle_keeps_the_function(want, layer):
    torch.manual_seed(0)
    model, pictures = Shuffle(), torch.randn(2, 1, 4, 4)
    edited = edit_conv(model, layer, example_input=pictures, out_channels=want)
    before, after = model(pictures), edited(pictures)
    assert torch.allclose(before, after, atol=1e-5)


def test_residual_channels_are_one_class_and_the_output_is_fixed():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 3, 1), nn.Conv2d(3, 3, 1)
            self.c = nn.Conv2d(3, 2, 1)

        def forward(self, x):
            x = self.a(x)
            return self.c(x + self.b(x))

    trace = traced(Residual(), 2, 1, 4, 4)
    a, b = (trace.axis_classes((f"{n}.weight", 0)).tolist() for n in "ab")
    assert a == b
    assert len(set(a[0])) == 3
    table = channel_table(Residual(), torch.zeros(1, 1, 4, 4)).set_index(["parameter", "does"])
    assert table.loc[("b.weight", "gives"), "channels"] == [1, 2, 3]
    assert table.loc[("c.weight", "takes"), "channels"] == [1, 2, 3]
    assert table.loc[("c.weight", "gives"), "channels"] == ["•", "•"]
