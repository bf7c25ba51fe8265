"""The width of a whole network: every layer that can change does, in one pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from course_utils.conv import EditError, edit_conv, relative_change, scale_width
from course_utils.conv.edit.draft import Draft
from course_utils.conv.edit.scale import ALL_LAYERS
from course_utils.core import CourseError, OutOfMemory, seeded
from course_utils.models import SimpleCNN


def widths(model: nn.Module) -> list[int]:
    return [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)]


def outputs(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(images)


@pytest.mark.parametrize(
    ("name", "multiplier"),
    [
        ("alexnet", 0.5),
        ("convnext_tiny", 0.75),
        ("densenet121", 0.5),
        ("efficientnet_b0", 1.5),
        ("googlenet", 0.5),
        ("mobilenet_v2", 1.5),
        ("mobilenet_v3_small", 0.5),
        ("resnet50", 0.25),
        ("resnext50_32x4d", 1.5),
        ("shufflenet_v2_x1_0", 0.5),
        ("vgg11_bn", 0.5),
    ],
)
def test_networks_of_torchvision(name, multiplier):
    more = {"init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        model = models.get_model(name, weights=None, **more)
        images = torch.empty(2, 3, 96, 96)
    scaled, report = scale_width(model, multiplier, example_input=images, return_report=True)
    assert outputs(scaled, images).shape == (2, 1000)
    pairs = list(zip(widths(model), widths(scaled), strict=True))
    assert sum(new == old for old, new in pairs) <= len(pairs) // 3
    for old, new in pairs:
        assert new == old or new % 8 == 0
        assert old <= new if multiplier > 1 else new <= old
    before, after = report.parameters
    low, high = sorted((multiplier, multiplier**2))  # the classes and the picture's channels stay
    assert 0.9 * low < after / before < 1.25 * high
    assert report.name == ALL_LAYERS and len(report.touched) > len(pairs) // 2


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.pool = nn.Conv2d(1, 16, 3, padding=1), nn.MaxPool2d(2)
        self.deep = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())
        self.each = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.up = nn.ConvTranspose2d(32, 16, 2, 2)
        self.head = nn.Conv2d(32, 2, 1)

    def forward(self, x):
        x = self.down(x).relu()
        deep = self.deep(self.pool(x))
        return self.head(torch.cat([x, self.up(deep + self.each(deep))], 1))


class Grouped(nn.Module):
    """Two groups, a shared layer, and numbers of channels that the forward knows."""

    def __init__(self):
        super().__init__()
        self.first, self.two = nn.Conv2d(1, 24, 3), nn.Conv2d(24, 24, 3, padding=1, groups=3)
        self.known = nn.Conv2d(24, 16, 1)
        self.last = nn.Linear(16, 3)

    def forward(self, x):
        x = self.first(x)
        x = self.known(self.two(self.two(x) + x).relu())
        return self.last(x.reshape(len(x), 16, -1).mean(-1))


@pytest.mark.parametrize(
    ("make", "multiplier", "divisor", "expected"),
    [
        (UNet, 0.5, 8, [8, 16, 16, 2]),
        (UNet, 2, 8, [32, 64, 64, 2]),
        (UNet, 0.3, 1, [5, 10, 10, 2]),
        (Grouped, 1.5, 8, [48, 48, 16]),
        (Grouped, 0.5, 2, [12, 12, 16]),
        (SimpleCNN, 0.1, 8, [8, 8]),
        (SimpleCNN, 0.1, 1, [2, 3]),
        (SimpleCNN, 1.1, 8, [16, 32]),  # 17.6 and 35.2: the nearest multiples
        (SimpleCNN, 1, 64, [16, 32]),
    ],
)
def test_widths_outputs_and_function(make, multiplier, divisor, expected):
    model = seeded(make, 0)
    images = torch.randn(2, 1, 28, 28)
    before = outputs(model, images)
    scaled = scale_width(model, multiplier, example_input=images, divisor=divisor)
    assert widths(scaled) == expected
    after = outputs(scaled, images)
    assert after.shape == before.shape and torch.equal(outputs(model, images), before)
    if multiplier >= 1:
        assert relative_change(before, after) < 1e-5


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "mobilenet_v3_small", "squeezenet1_1"])
def test_a_wider_network_of_torchvision_computes_the_same(name):
    model, images = seeded(lambda: models.get_model(name), 0), torch.randn(2, 3, 64, 64)
    scaled = scale_width(model, 1.25, example_input=images)
    assert relative_change(outputs(model, images), outputs(scaled, images)) < 1e-4
    assert sum(widths(scaled)) > 1.1 * sum(widths(model))


def test_the_strongest_channels_stay():
    model = nn.Sequential(nn.Conv2d(1, 16, 1), nn.ReLU(), nn.Conv2d(16, 2, 1))
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    model[0].weight.data[:, 0, 0, 0] = 1.0 + order
    scaled = scale_width(model, 0.5, example_input=torch.zeros(1, 1, 4, 4))
    assert sorted(scaled[0].weight.flatten().tolist()) == [float(k) for k in range(9, 17)]
    kept = order >= 8
    assert torch.equal(scaled[2].weight, model[2].weight[:, kept])
    smallest = {"importance": lambda w: -w.abs().flatten(1).sum(1)}
    scaled = scale_width(model, 0.5, example_input=torch.zeros(1, 1, 4, 4), **smallest)
    assert scaled[0].weight.max() == 8


def test_it_is_one_pass(monkeypatch):
    """The network is traced before and after, however many layers it has."""
    runs, run = [], Draft.run
    counting = lambda *args, **more: runs.append(0) or run(*args, **more)  # noqa: E731
    monkeypatch.setattr(Draft, "run", counting)
    for layers in (2, 12):
        convs = [nn.Conv2d(16, 16, 1) for _ in range(layers)]
        model = nn.Sequential(nn.Conv2d(1, 16, 1), *convs, nn.Conv2d(16, 2, 1))
        runs.clear()
        scale_width(model, 0.5, example_input=torch.zeros(1, 1, 4, 4))
        assert len(runs) == 2


def test_one_width_equals_an_edit_of_that_layer():
    model, images = seeded(SimpleCNN, 0), torch.zeros(1, 1, 28, 28)
    alone = nn.Sequential(model.conv1, nn.ReLU(), nn.Conv2d(16, 3, 1))
    scaled = scale_width(alone, 1.5, example_input=images)
    edited = edit_conv(alone, "0", example_input=images, out_channels=24)
    for a, b in zip(scaled.parameters(), edited.parameters(), strict=True):
        assert torch.equal(a, b)


def test_wrappers_and_networks_without_a_free_width():
    images = torch.zeros(1, 1, 28, 28)
    scaled = scale_width(nn.DataParallel(SimpleCNN()), 0.5, example_input=images)
    assert type(scaled) is SimpleCNN and widths(scaled) == [8, 16]
    single = nn.Sequential(nn.Conv2d(1, 16, 3))
    same, report = scale_width(single, 0.5, example_input=images, return_report=True)
    assert same is not single and widths(same) == [16] and report.touched == ()


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), "half", None, True])
def test_a_multiplier_that_is_not_one(wrong):
    with pytest.raises(CourseError, match="multiplier must be a number above 0"):
        scale_width(SimpleCNN(), wrong)


def test_too_much_is_refused_before_the_work():
    images = torch.zeros(1, 1, 28, 28)
    for multiplier in (3000, 1e9):
        with pytest.raises(OutOfMemory):
            scale_width(SimpleCNN(), multiplier, example_input=images)
    with pytest.raises(CourseError, match="divisor"):
        scale_width(SimpleCNN(), 0.5, example_input=images, divisor=0)
    with pytest.raises(CourseError, match="SimpleCNN"):
        scale_width(SimpleCNN, 0.5, example_input=images)
    with pytest.raises(EditError, match="does not run"):
        scale_width(SimpleCNN(), 0.5, example_input=torch.zeros(1, 5, 28, 28))


def test_what_cannot_change_at_all_says_why():
    class Known(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 16, 3), nn.Linear(16, 2)

        def forward(self, x):
            x = self.conv(x)
            if x.shape[1] != 16:
                raise RuntimeError("sixteen maps, please")
            return self.head(x.mean((2, 3)))

    with pytest.raises(EditError, match=r"No layer's width can change.*sixteen maps"):
        scale_width(Known(), 0.5, example_input=torch.zeros(1, 1, 8, 8))
