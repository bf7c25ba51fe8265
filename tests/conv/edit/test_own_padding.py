"""Layers that pad their input themselves: a larger kernel keeps the size and the function."""

from __future__ import annotations

import math

import pytest
import torch
import torch.fx
import torch.nn.functional as F
from torch import nn

from course_utils.conv import AdaptedConv2d, edit_conv
from tests.conv.edit.small_networks import difference


def same_pads(conv: nn.Conv2d, size) -> list[int]:
    """Return TensorFlow's padding: left, right, top, bottom."""
    pads = []
    for n, k, s, d in zip(size, conv.kernel_size, conv.stride, conv.dilation, strict=True):
        n = int(n)  # a tensor in `torch.jit.trace`
        missing = max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
        pads = [missing // 2, missing - missing // 2, *pads]
    return pads


class Same(nn.Conv2d):
    """Pads itself; its buffer stands for those that some layers own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer("gain", torch.ones(1, self.in_channels, 1, 1))

    def forward(self, x):
        return self._conv_forward(self.pad(x * self.gain), self.weight, self.bias)

    def pad(self, x):
        return F.pad(x, same_pads(self, x.shape[-2:]))


class Joined(Same):
    """Pads with zeros that it concatenates."""

    def pad(self, x):
        left, right, top, bottom = same_pads(self, x.shape[-2:])
        rows, columns = x.new_zeros(*x.shape[:3], 1), x.new_zeros(*x.shape[:2], 1, 1)
        x = torch.cat([rows] * left + [x] + [rows] * right, 3)
        columns = columns.expand(-1, -1, 1, x.shape[3])
        return torch.cat([columns] * top + [x] + [columns] * bottom, 2)


class Static(nn.Conv2d):
    """Pads by numbers that it computed once."""

    def forward(self, x):
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class Parent(nn.Module):
    """Pads in front of a plain convolution, whose settings it reads."""

    def __init__(self, *args, **kwargs):
        super().__init__()
        self.conv = nn.Conv2d(*args, **kwargs)

    def forward(self, x):
        return self.conv(F.pad(x, same_pads(self.conv, x.shape[-2:])))


def ready_padded(*args, **kwargs) -> nn.Module:
    return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(*args, **kwargs))


KINDS = [Same, Joined, Static, Parent, ready_padded]
NAMES = {Parent: "0.conv", ready_padded: "0.1"}


def chain(kind, *args, seed=0, **kwargs) -> tuple[nn.Module, str]:
    torch.manual_seed(seed)
    layers = kind(*args, **kwargs), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1)
    return nn.Sequential(*layers).eval(), NAMES.get(kind, "0")


@pytest.mark.parametrize("size", [16, 15])
@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize(("before", "after"), [(3, 5), (3, 4), (1, 3), (2, 5), ((3, 1), (5, 3))])
@pytest.mark.parametrize("kind", [Same, Joined, Parent])
def test_a_larger_kernel_keeps_size_and_function(kind, before, after, stride, size):
    model, name = chain(kind, 3, 6, before, stride=stride)
    pictures = torch.randn(2, 3, size, size)
    edited = edit_conv(model, name, example_input=pictures, kernel_size=after, adapter=False)
    if stride < 4:  # else another padding may do as well
        assert edited.get_submodule(name).padding == (0, 0)
    assert edited(pictures).shape == model(pictures).shape
    if kind is not Joined:  # we cannot see on which side it pads
        assert difference(model, edited, pictures) < 1e-5


@pytest.mark.parametrize("kind", [Static, ready_padded])
@pytest.mark.parametrize("stride", [1, 2])
def test_numbers_that_do_not_follow_the_kernel_need_the_layers_own_padding(kind, stride, pictures):
    model, name = chain(kind, 3, 6, 3, stride=stride)
    edited = edit_conv(model, name, example_input=pictures, kernel_size=5, adapter=False)
    assert edited.get_submodule(name).padding == (1, 1)
    assert difference(model, edited, pictures) < 1e-5


def test_a_padding_that_is_given_is_obeyed(pictures):
    model, name = chain(Same, 3, 6, 3)
    edited = edit_conv(model, name, example_input=pictures, kernel_size=5, padding=2)
    assert edited[0].padding == (2, 2)


def test_a_kernel_larger_than_the_picture_is_possible_where_the_layer_pads_enough(pictures):
    model, name = chain(Same, 3, 6, 3)
    edited = edit_conv(model, name, example_input=pictures, kernel_size=21, adapter=False)
    assert difference(model, edited, pictures) < 1e-5


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "after"),
    [(2, 2, 0, 3), (4, 4, 0, 5), (3, 2, 1, 4), (3, 4, 1, 6)],
)
def test_an_uneven_change_at_a_stride_keeps_the_function_where_it_can(
    kernel, stride, padding, after
):
    model, _ = chain(nn.Conv2d, 3, 6, kernel, stride=stride, padding=padding)
    pictures = torch.randn(2, 3, 16, 16)
    edited = edit_conv(model, "0", example_input=pictures, kernel_size=after, adapter=False)
    assert difference(model, edited, pictures) < 1e-5


class Residual(nn.Module):
    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer
        self.head = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return self.head(x + self.layer(x))


@pytest.mark.filterwarnings("ignore:Converting a tensor", "ignore:.torch.jit")
@pytest.mark.parametrize("kind", [nn.Conv2d, *KINDS])
def test_an_adapter_resizes_at_any_size_and_can_be_traced(kind):
    padding = {nn.Conv2d: 1, Static: 1, ready_padded: 1}.get(kind, 0)
    layer = kind(3, 3, 3, padding=padding)
    if kind in (Static, ready_padded):
        layer = nn.Sequential(layer, nn.Conv2d(3, 3, 2))
    model = Residual(layer).eval()
    name = next(n for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    pictures = torch.randn(2, 3, 16, 16)
    edited = edit_conv(model, name, example_input=pictures, stride=2)
    assert isinstance(edited.get_submodule(name), AdaptedConv2d)
    traced = torch.jit.trace(edited, pictures)
    if kind is nn.Conv2d:  # others look at numbers while they run
        graph = torch.fx.symbolic_trace(edited)
        assert torch.equal(graph(pictures[..., :12]), edited(pictures[..., :12]))
    for size in (16, 18) if kind is Parent else (16, 17, 20):
        x = torch.randn(1, 3, size, size)
        assert edited(x).shape == (1, 4, size, size)
        if size == 16 or kind in (nn.Conv2d, Static, ready_padded):  # others trace as numbers
            assert torch.equal(traced(x), edited(x))


def test_an_adapter_knows_the_size_of_a_layer_that_rounds_up():
    model, _ = chain(Same, 3, 6, 3, stride=2)
    model[2] = nn.Sequential(nn.Flatten(), nn.Softmax(1))  # no layer that could follow
    pictures = torch.randn(2, 3, 16, 16)
    edited = edit_conv(model, "0", example_input=pictures, stride=3)
    for size in (15, 16, 17, 18):
        assert edited[0](torch.randn(1, 3, size, size)).shape[-1] == math.ceil(size / 2)
