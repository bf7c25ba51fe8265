"""Receptive fields against gradients and against published numbers."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.conv import ImpossibleSetting, same_padding


def seen_by(model: nn.Module, size: int, row: int, col: int) -> tuple[tuple[int, int], ...]:
    """Return first and last input row and column on which one output number depends."""
    image = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    model.double()(image)[0, 0, row, col].backward()
    rows, cols = image.grad[0, 0].nonzero(as_tuple=True)
    return (rows.min().item(), rows.max().item()), (cols.min().item(), cols.max().item())


windows = st.tuples(
    st.sampled_from([1, 2, 3, (3, 1), (2, 5)]),  # kernel_size
    st.sampled_from([1, 1, 2, (1, 2)]),  # stride
    st.sampled_from([1, 2]),  # dilation
    st.sampled_from([0, 1, 2]),  # padding
)

rf = import_module("course_utils.conv.receptive_field")  # the room's function hides the module


@settings(max_examples=25, derandomize=True)
@given(st.lists(windows, min_size=1, max_size=4))
def test_the_field_is_where_the_gradient_is(layers):
    convs = []
    for kernel, stride, dilation, padding in layers:
        conv = nn.Conv2d(1, 1, kernel, stride, padding, dilation, bias=False)
        nn.init.ones_(conv.weight)
        convs.append(conv)
    model = nn.Sequential(*convs)
    with torch.no_grad():
        height, width = model(torch.zeros(1, 1, 300, 300)).shape[2:]
    field = rf.receptive_field(layers)
    assert field == rf.receptive_field(model) == rf.receptive_field(convs)
    row, col = height // 2, width // 2
    (top, bottom), (left, right) = seen_by(model, 300, row, col)
    size, jump, start = map(rf._pair, (field.size, field.jump, field.start))
    assert (bottom - top + 1, right - left + 1) == size
    assert (top, left) == (start[0] + row * jump[0], start[1] + col * jump[1])


def test_stacks_that_the_course_names():
    assert rf.receptive_field([(3, 1, 1), (3, 1, 1)]).size == 5
    assert rf.receptive_field([(3, 1, 1)] * 3).size == rf.receptive_field([(7,)]).size == 7
    assert rf.receptive_field([]) == rf.ReceptiveField(1, 1, 0)
    assert rf.receptive_field([((3, 5),)]).size == (3, 5)
    field = rf.receptive_field([(3, 2, 1, 1)])
    assert (field.size, field.jump, field.start, field.centre) == (3, 2, -1, 0)
    assert rf.ReceptiveField(4, 1, (0, 2)).centre == (1.5, 3.5)
    assert str(field) == "3×3"


def test_modules_and_vgg16_as_published():
    layers = []
    for convs in (2, 2, 3, 3, 3):
        for _ in range(convs):
            layers += [nn.LazyConv2d(4, 3, padding="same"), nn.BatchNorm2d(4), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    model = nn.Sequential(*layers)
    model(torch.zeros(1, 1, 32, 32))
    field = rf.receptive_field(model)
    # Araujo et al. 2019, table 1: receptive field 212, effective stride 32, effective padding 90.
    assert (field.size, field.jump, field.start) == (212, 32, -90)
    assert field.start == -rf.receptive_field([(3, 1, 1, same_padding(3))]).size * 30


def test_union_takes_both_windows_in():
    left, right = rf.ReceptiveField(3, 2, -1), rf.ReceptiveField((1, 9), 2, 0)
    assert left.union(right) == rf.ReceptiveField((3, 10), 2, -1)
    assert left.union(rf.ReceptiveField(3, 1, -1)) is None


def test_what_has_no_window_is_refused():
    with pytest.raises(ImpossibleSetting, match="Flatten has no window"):
        rf.receptive_field(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2)))
