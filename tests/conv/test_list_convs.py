"""The table of convolutions."""

from __future__ import annotations

import pandas
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from course_utils.conv import layer_table, list_convs

SETTINGS = ["in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"]


class Backwards(nn.Module):
    """Calls its layers in another order than that in which it registers them, one of them twice."""

    def __init__(self, padding=0):
        super().__init__()
        self.idle = nn.Conv2d(1, 1, 1)
        self.last = nn.Conv2d(6, 4, (3, 5), (1, 2), padding=padding, groups=2, bias=False)
        self.twice = nn.Conv2d(6, 6, 3, padding=1, stride=2)
        self.first = nn.Conv2d(1, 6, 3, padding=(1, 2), dilation=(1, 2))
        self.transposed = nn.ConvTranspose2d(4, 4, 2)

    def forward(self, x):
        return self.transposed(self.last(self.twice(self.twice(self.first(x)))))


def test_settings_as_the_reader_would_write_them():
    frame = list_convs(Backwards(padding="valid")).set_index("layer")
    assert list(frame.index) == ["idle", "last", "twice", "first"]  # no transposed convolution
    assert frame.loc["last", SETTINGS].tolist() == [6, 4, (3, 5), (1, 2), "valid", 1, 2]
    assert frame.loc["twice", SETTINGS].tolist() == [6, 6, 3, 2, 1, 1, 1]
    assert frame.loc["first", SETTINGS].tolist() == [1, 6, 3, 1, (1, 2), (1, 2), 1]
    assert frame["bias"].tolist() == [True, False, True, True]
    assert frame["parameters"].tolist() == [2, 6 // 2 * 4 * 15, 6 * 6 * 9 + 6, 6 * 9 + 6]


def test_with_an_input_rows_stand_in_the_order_of_the_calls():
    batch = torch.zeros(2, 1, 32, 32)
    frame = list_convs(Backwards(), batch).set_index("layer")
    assert list(frame.index) == ["first", "twice", "last", "idle"]
    shapes = ["2×6×32×32", "2×6×16×16, 2×6×8×8", "2×4×6×2", "not called"]
    assert frame["output shape"].tolist() == shapes
    known = {row.name: row.multiply_adds for row in layer_table(Backwards(), batch)}
    costs = frame["multiply-adds"]
    assert costs["first"] == known["first"] and costs["last"] == known["last"]
    assert costs["twice"] == (16 * 16 + 8 * 8) * 6 * 6 * 9  # both calls
    assert costs["idle"] is pandas.NA


def test_a_shared_layer_is_one_row_and_shared_weights_count_once():
    conv, tied = nn.Conv2d(2, 2, 3, bias=False), nn.Conv2d(2, 2, 3, bias=False)
    tied.weight = conv.weight
    frame = list_convs(nn.Sequential(conv, conv, tied))
    assert frame["layer"].tolist() == ["0", "2"]
    assert frame["parameters"].tolist() == [36, 0]
    assert all(frame[name].dtype.kind == "i" for name in (*SETTINGS, "parameters"))


def test_parameters_of_a_parametrisation_count_and_those_of_a_lazy_layer_are_unknown():
    conv = weight_norm(nn.Conv2d(2, 4, 3))
    frame = list_convs(nn.Sequential(conv), torch.zeros(1, 2, 5, 5))
    assert frame["parameters"].tolist() == [4 * 2 * 9 + 4 + 4]  # directions, lengths and biases
    assert frame["output shape"].tolist() == ["1×4×3×3"]
    (count,) = list_convs(nn.Sequential(nn.LazyConv2d(4, 3)))["parameters"]
    assert count is pandas.NA


def test_a_model_without_convolutions_has_an_empty_table():
    frame = list_convs(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(1, 4))
    assert len(frame) == 0 and "kernel_size" in frame and "multiply-adds" in frame


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_parameters_add_up_in_torchvision_networks(name):
    from torchvision import models

    with torch.device("meta"):
        model = models.get_model(name, weights=None)
    frame = list_convs(model, torch.zeros(1, 3, 224, 224, device="meta"))
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert len(frame) == len(convs)
    assert frame["parameters"].sum() == sum(p.numel() for c in convs for p in c.parameters())
    assert model.get_submodule(frame["layer"][0]) is convs[0]
