"""The table of layers, for many kinds of networks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torchvision import models

from course_utils.conv.edit.adapter import AdaptedConv2d
from course_utils.conv.edit.settings import settings_of
from course_utils.conv.layer_table import as_frame, layer_table
from course_utils.conv.receptive_field import ReceptiveField, _pair
from tests.conv.edit.zoo import Wired, wired
from tests.toys import same, weights


def simple() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 10)),
    )


def total(rows) -> int:
    return sum(row.parameters for row in rows)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_each_column_of_a_chain():
    rows = layer_table(simple(), torch.zeros(2, 1, 28, 28))
    assert [row.name for row in rows] == list("01234567")
    assert [row.kind for row in rows[:3]] == ["Conv2d", "ReLU", "MaxPool2d"]
    assert [row.output_shape for row in rows[-3:]] == [(2, 32, 7, 7), (2, 1568), (2, 10)]
    assert [row.parameters for row in rows] == [160, 0, 0, 4640, 0, 0, 0, 15690]
    costs = [row.multiply_adds for row in rows]
    assert costs == [16 * 9 * 784, None, None, 32 * 16 * 9 * 196, None, None, None, 15680]
    fields = [row.receptive_field and row.receptive_field.size for row in rows]
    assert fields == [3, 3, 4, 8, 8, 10, None, None]


def test_an_empty_batch_and_a_layer_called_by_keyword():
    def keyword(layer, x):
        return layer(nn.Conv2d, 1, 2, 3, padding_mode="circular")(input=x)

    model = wired(keyword, torch.zeros(1, 1, 8, 8))
    (row,) = layer_table(model, torch.zeros(0, 1, 8, 8))
    assert row.output_shape == (0, 2, 6, 6) and row.multiply_adds == 0
    assert row.receptive_field == ReceptiveField(3)


def test_one_picture_without_batch():
    rows = layer_table(nn.Sequential(nn.Conv2d(3, 4, 3)), torch.zeros(3, 8, 8))
    assert rows[0].output_shape == (4, 6, 6)
    assert rows[0].multiply_adds == 4 * 36 * 27
    assert rows[0].receptive_field == ReceptiveField(3)


def test_as_frame():
    frame = as_frame(layer_table(simple(), torch.zeros(1, 1, 28, 28)))
    assert frame["parameters"].sum() == 20490
    assert frame["multiply-adds"].isna().sum() == 5
    assert frame.loc[0, ["output shape", "receptive field"]].tolist() == ["1×16×28×28", "3×3"]


PICTURE = torch.zeros(1, 1, 40, 40)


def branches(layer, x, mode="zeros"):
    """Residual add, concatenation, padding, shuffle, dilation, one module called twice."""
    x = layer(nn.Conv2d, 1, 4, 3, stride=2, padding=1)(x)
    left = layer(nn.Conv2d, 4, 4, (3, 5), padding="same", padding_mode=mode, name="left")(x)
    right = layer(nn.Conv2d, 4, 4, 3, padding=2, dilation=2, groups=2)(x)
    twice = layer(nn.Conv2d, 8, 8, 1, name="twice")
    x = layer(nn.BatchNorm2d, 8)(twice(twice(torch.cat([left + x, right], dim=1))))
    x = layer(nn.ZeroPad2d, (0, 1, 0, 1))(x.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2))
    return layer(nn.Conv2d, 8, 2, 2, name="last")(x).clone()


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
def test_the_field_through_branches_is_where_the_gradient_is(padding_mode):
    model = wired(branches, PICTURE, mode=padding_mode)
    fields = {row.name: row.receptive_field for row in layer_table(model, PICTURE)}
    assert fields["left"].size == (7, 11)
    for p in model.parameters():
        nn.init.constant_(p, 1.0)
    image = torch.ones(1, 1, 40, 40, requires_grad=True)
    model(image)[0, 0, 10, 10].backward()
    seen = image.grad[0, 0].nonzero()
    names = ("size", "jump", "start")
    size, jump, start = (torch.tensor(_pair(getattr(fields["last"], name))) for name in names)
    first, last = seen.min(0).values, seen.max(0).values
    assert torch.equal(last - first + 1, size)
    assert torch.equal(first, start + 10 * jump)


def test_shared_modules_have_a_row_a_call_and_count_once():
    model = wired(branches, PICTURE)
    rows = layer_table(model, PICTURE)
    first, second = (row for row in rows if row.name == "twice")
    assert (first.parameters, second.parameters) == (72, 0)
    assert first.multiply_adds == second.multiply_adds == 8 * 8 * 20 * 20
    assert total(rows) == parameters(model)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    assert total(layer_table(model, torch.zeros(1, 4))) == parameters(model) == 24


def writes_pieces(layer, x):
    out = torch.zeros_like(x)
    out[:, :, :2] = x[:, :, 2:]
    return out + x


FUNCTIONS = (
    writes_pieces,
    lambda layer, x: x.transpose(2, 3),
    lambda layer, x: x.permute(0, 2, 3, 1),
    lambda layer, x: torch.softmax(x @ x.transpose(-1, -2), -1),
)


@pytest.mark.parametrize(
    "layer",
    [
        *(*map(Wired, FUNCTIONS), nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(4)),
        *(nn.GroupNorm(1, 4), nn.InstanceNorm2d(4), nn.ConvTranspose2d(4, 1, 2), nn.Softmax(-1)),
    ],
)
def test_an_operation_that_is_not_followed_has_no_field(layer):
    """No field is better than a wrong one; the layers behind have none, either."""
    rows = layer_table(nn.Sequential(layer, nn.ReLU()), torch.zeros(1, 4, 4, 4))
    assert [row.receptive_field for row in rows] == [None, None]


def test_transposed_convolution_counts_input_times_kernel():
    model = nn.Sequential(nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2))
    (row,) = layer_table(model, torch.zeros(2, 6, 5, 5))
    assert row.multiply_adds == 6 * 25 * 2 * 9


def test_several_inputs():
    def two(layer, x, y):
        return layer(nn.Conv2d, 1, 2, 3)(x) + layer(nn.Conv2d, 3, 2, 5, padding=1)(y)

    inputs = torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8)
    rows = layer_table(wired(two, *inputs), inputs)
    assert [row.output_shape for row in rows] == [(1, 2, 6, 6), (1, 2, 6, 6)]


def test_data_dependent_models_run_for_real():
    class Depends(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.calls = nn.Conv2d(1, 2, 3), 0

        def forward(self, x):
            self.calls += 1
            return self.conv(x) if x.sum().item() > 0 else x

    model = Depends()
    rows = layer_table(model, torch.ones(1, 1, 8, 8))
    assert rows[0].output_shape == (1, 2, 6, 6)
    assert rows[0].receptive_field == ReceptiveField(3)
    assert model.calls == 0


def test_lazy_layers_are_listed_and_stay_lazy():
    model = nn.Sequential(nn.LazyConv2d(4, 3))
    assert layer_table(model, torch.zeros(1, 2, 8, 8))[0].parameters == 76
    assert isinstance(model[0], nn.LazyConv2d)


def test_layers_that_do_not_run_come_last():
    def auxiliary(layer, x):
        token = layer(torch.zeros, 7, name="token")
        main = layer(nn.Conv2d, 1, 2, 3, name="main")(x)
        if not layer.training:
            return main
        return main, layer(nn.Linear, 6, 1, name="aux")(main), token

    rows = layer_table(wired(auxiliary, torch.zeros(1, 1, 8, 8)), torch.zeros(1, 1, 8, 8))
    assert [(row.name, row.parameters) for row in rows] == [("main", 20), ("", 7), ("aux", 7)]
    assert rows[-1].output_shape is None
    assert as_frame(rows)["output shape"].iloc[-1] == "not called"


def test_the_model_does_not_change():
    model = nn.Sequential(simple()[0], nn.BatchNorm2d(16), nn.Dropout())
    model[1].eval()
    before, random = weights(model), torch.get_rng_state()
    layer_table(model, torch.rand(4, 1, 8, 8, generator=torch.Generator()))
    assert [m.training for m in model.modules()] == [True, True, False, True]
    assert same(before, weights(model))
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(random, torch.get_rng_state())


def test_a_model_that_cannot_be_copied():
    model = simple()
    prune.l1_unstructured(model[0], "weight", 0.5)
    with pytest.raises(RuntimeError):
        copy.deepcopy(model)
    rows = layer_table(model, torch.zeros(1, 1, 28, 28))
    assert total(rows) == parameters(model) and model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_a_broken_model_says_what_pytorch_says():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(8))
    words = "running_mean should contain 4 elements not 8"
    with pytest.raises(RuntimeError, match=words) as caught:
        layer_table(model, torch.zeros(1, 1, 8, 8))
    assert caught.value.__context__ is None  # the reader sees one error, not two


@pytest.mark.parametrize(
    ("name", "giga", "field"),
    [  # multiply-adds as torchvision's documentation has them
        ("resnet18", 1.814, 435),
        ("mobilenet_v2", 0.301, 491),
        ("shufflenet_v2_x1_0", 0.145, None),
        ("vit_b_32", None, 32),
    ],
)
def test_torchvision_networks(name, giga, field):
    with torch.device("meta"):
        model = models.get_model(name, weights=None)
    rows = layer_table(model, torch.zeros(1, 3, 224, 224))
    assert total(rows) == parameters(model)
    if giga:
        cost = sum(row.multiply_adds or 0 for row in rows) / 1e9
        assert cost == pytest.approx(giga, abs=0.001)
    if field:
        assert [row.receptive_field for row in rows if row.receptive_field][-1].size == field


def test_a_padding_in_words_is_followed():
    rows = layer_table(nn.Conv2d(1, 2, 3, padding="valid"), torch.zeros(1, 1, 6, 6))
    assert rows[0].output_shape == (1, 2, 4, 4)
    assert str(rows[0].receptive_field) == "3×3"


def test_what_an_adapter_makes_of_a_convolution_is_not_counted_as_its_own_cost():
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 36, 2))
    layer = AdaptedConv2d.of(model[0])
    layer.former = settings_of(layer)
    model[0] = layer
    layer.stride = (2, 2)
    rows = layer_table(model, torch.zeros(1, 1, 6, 6))
    assert rows[0].output_shape == (1, 4, 6, 6)
    assert rows[0].multiply_adds == 4 * 3 * 3 * 9
