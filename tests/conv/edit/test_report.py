"""The report of an edit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.conv import edit_conv
from course_utils.models.simple import SimpleCNN
from tests.conv.edit.zoo import wired
from tests.toys import same, weights


def reported(model, name, **changes):
    picture = torch.zeros(1, 1, 28, 28)
    return edit_conv(model, name, example_input=picture, return_report=True, **changes)


def test_the_edited_layer_comes_first_and_numbers_are_counted():
    model = SimpleCNN()
    edited, report = reported(model, "conv2", out_channels=64, kernel_size=5)
    assert report.touched == ("conv2", "classifier")
    first = "out 32 → 64, kernel 3×3 → 5×5, padding 1×1 → 2×2"
    assert str(report.layers[0]) == f"conv2 (Conv2d): {first}"
    assert str(report.layers[1]) == "classifier (Linear): in 1568 → 3136"
    assert report.parameters == (20_490, sum(p.numel() for p in edited.parameters()))
    assert report.multiply_adds[1] == 28 * 28 * 16 * 9 + 14 * 14 * 64 * 16 * 25 + 10 * 3136
    assert [str(field) for field in report.receptive_field] == ["8×8", "12×12"]
    assert report.adapters == ()
    text = str(report)
    assert "conv2: out_channels=64, kernel_size=5" in text
    assert "1 other layer followed:" in text
    assert "parameters: 20,490 → 57,194 (+179.1%)" in text
    assert (report.kept, report.cut, report.grown) == (20_490, 0, 57_194 - 20_490)
    assert report.same_function is True
    assert "function: the same" in text


def test_the_difference_is_measured_and_modes_are_left_alone():
    model = SimpleCNN(dropout=0.5).train()
    edited, report = reported(model, "conv1", out_channels=20)
    assert report.difference(torch.randn(4, 1, 28, 28)) < 1e-5
    assert model.training and edited.training
    _, cut = reported(model, "conv1", out_channels=4)
    assert cut.difference(torch.randn(4, 1, 28, 28)) > 1e-3


def test_parameters_of_other_layers_and_biases_are_reported():
    def scaled(layer, x):
        x = layer(nn.Conv2d, 1, 4, 3, bias=False, name="conv")(x)
        return layer(nn.Conv2d, 4, 2, 1)(x * layer(torch.ones, 4, 1, 1, name="scale"))

    model = wired(scaled, torch.zeros(1, 1, 28, 28))
    _, report = reported(model, "conv", out_channels=6, bias=True)
    lines = [str(layer) for layer in report.layers]
    assert lines[0] == "conv (Conv2d): out 4 → 6, bias no → yes"
    assert " (Wired): scale 4×1×1 → 6×1×1" in lines


def test_nothing_asked_nothing_changed():
    model = SimpleCNN()
    edited, report = reported(model, "conv1")
    assert report.layers == ()
    assert "nothing changed" in str(report)
    assert same(weights(model), weights(edited))


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"out_channels": 24}, 160 + 16 * 24 * 9 + 24 + 10 * 24 * 49 + 10),
        ({"kernel_size": 1}, 160 + 16 * 32 + 32 + 15_690),
        ({"groups": 4}, 160 + 32 * 4 * 9 + 32 + 15_690),
        ({"stride": 2}, 160 + 4_640 + 10 * 32 * 9 + 10),
        ({"bias": False}, 160 + 4_608 + 15_690),
        ({"padding_mode": "circular"}, 20_490),
    ],
)
def test_what_is_kept_and_what_is_cut(changes, kept):
    torch.manual_seed(0)
    edited, report = reported(SimpleCNN(), "conv2", **changes)
    assert report.kept == kept
    assert report.cut == 20_490 - kept
    assert report.grown == sum(p.numel() for p in edited.parameters()) - kept
    assert report.same_function is False


def test_on_the_meta_device_the_function_is_not_compared():
    _, report = edit_conv(SimpleCNN().to("meta"), "conv1", out_channels=8, return_report=True)
    assert report.same_function is None
    assert "function" not in str(report)


class Odd(nn.Module):
    """A model whose modules have attributes of many kinds, with the names of settings."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1))
        self.stride, self.body.padding = torch.tensor([8.0, 16.0]), [torch.ones(2), torch.ones(2)]
        self.body.groups, self.body.dilation = np.arange(3), self.named_modules
        self.body[1].num_features, self.kernel_size = nn.Linear(2, 2), {"a": torch.ones(3)}
        self.scale = torch.jit.script(nn.Linear(28, 3).eval())

    def forward(self, x):
        self.stride = self.stride + 1
        return {"out": self.body(x), "scaled": self.scale(x)}


@pytest.mark.filterwarnings("ignore:.*jit.script:FutureWarning")
def test_attributes_of_any_kind_do_not_stop_the_report():
    _, report = reported(Odd().eval(), "body.0", out_channels=16)
    assert report.touched == ("body.0", "body.2")
    assert "bound method" not in str(report) and "tensor" not in str(report)
    assert report.same_function


def test_a_report_that_cannot_be_measured_is_printed():
    class Once(nn.Sequential):
        broken = False

        def forward(self, x):
            if Once.broken:
                raise KeyError("x")
            return super().forward(x)

    _, report = reported(Once(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 4, 1)), "0", out_channels=16)
    Once.broken = True
    text = str(report)
    assert "parameters: 116 → 228" in text and "function" not in text


def test_rounding_is_judged_in_float64():
    class Amplifies(nn.Sequential):
        def forward(self, x):
            return super().forward(x) + 5e3 - 5e3

    model = Amplifies(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    _, same_one = reported(model, "0", out_channels=24)
    assert same_one.same_function is True


def test_outputs_that_depend_on_numbers_are_compared_as_far_as_they_are_there():
    class Finds(nn.Sequential):
        limit = 0.0

        def forward(self, x):
            y = super().forward(x if x.sum().item() < 1e9 else -x)
            return {"found": y[y > self.limit]}

    model = Finds(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    _, report = reported(model, "0", kernel_size=1)
    assert report.same_function is False and report.difference(torch.ones(1, 1, 9, 9)) > 0
    model.limit = 1e9
    _, report = reported(model, "0", kernel_size=1)
    assert report.same_function is None and "function" not in str(report)


def test_each_output_is_compared_with_its_own_size():
    class Two(nn.Sequential):
        def forward(self, x):
            y = super().forward(x)
            infinite = torch.full((2,), -torch.inf)
            return {"large": x.new_full((3,), 1e4), "none": infinite, "y": [y, y.argmax(1)]}

    model = Two(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    _, slim = reported(model, "0", out_channels=2)
    _, wide = reported(model, "0", out_channels=16)
    assert slim.same_function is False and wide.same_function is True
    assert slim.difference(torch.ones(1, 1, 9, 9)) > 0.01


def test_a_small_change_is_not_taken_for_rounding():
    """Copies of a channel change what its neighbours are divided by, by 6·10⁻⁵ in the outputs."""
    torch.manual_seed(0)
    norm = nn.LocalResponseNorm(3)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), norm, nn.InstanceNorm2d(8, affine=True))
    model = nn.Sequential(*model, nn.Conv2d(8, 6, 1)).eval()
    _, report = edit_conv(
        model, "0", example_input=torch.rand(2, 3, 16, 16), out_channels=12, return_report=True
    )
    change = report.difference(torch.rand(2, 3, 16, 16))
    assert 1e-6 < change < 1e-4 and report.same_function is False
