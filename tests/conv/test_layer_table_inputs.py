"""The tables of networks that take, return, keep or wrap anything: none that runs is refused."""

from __future__ import annotations

import threading
from collections import UserDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from course_utils.conv import as_frame, layer_table, list_convs
from tests.toys import same, weights

PICTURES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
COST = 4 * 27 * 36


class Takes(nn.Module):
    """Has a convolution; `unpack` makes a batch of what it is given, `pack` its output."""

    def __init__(self, unpack, pack=lambda y: y):
        super().__init__()
        self.conv, self.unpack, self.pack = nn.Conv2d(3, 4, 3), unpack, pack

    def forward(self, *args, **kwargs):
        return self.pack(self.conv(self.unpack(*args, **kwargs)))


class Named(Takes):
    def forward(self, x, scale=None):
        return super().forward(x if scale is None else x * scale)


@dataclass
class Scores:
    words: str
    scores: Any


class Pair(NamedTuple):
    low: Any
    high: Any


class Plain:
    def __init__(self, tensor):
        self.tensor = tensor


def check(model, example_input, shape="2×4×6×6", cost=COST):
    """Both tables have the convolution with its output and its cost; the model is as before."""
    before = weights(model)
    frame = list_convs(model, example_input)
    assert frame["output shape"].tolist() == [shape]
    assert frame["multiply-adds"].tolist() == [cost]
    rows = layer_table(model, example_input)
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in model.parameters())
    assert len(as_frame(rows)) == len(rows)
    assert same(before, weights(model))
    return rows


@pytest.mark.parametrize(
    ("unpack", "example_input"),
    [
        (torch.stack, [PICTURES[0], PICTURES[1]]),  # detection models
        (
            lambda pictures: torch.stack([p["image"] for p in pictures]),
            [{"image": PICTURES[0]}] * 2,
        ),
        (lambda batch: batch["image"], {"image": PICTURES, "number": 3}),
        (lambda image, number: image, {"number": 3, "image": PICTURES}),
        (lambda batch: batch["image"], UserDict(image=PICTURES)),
        (lambda image: image, UserDict(image=PICTURES)),
        (lambda a, b: a + b, (PICTURES, torch.zeros(1))),
        (lambda a, factor: a * factor, (PICTURES, 2)),
        (lambda pair: pair.low + pair.high, Pair(PICTURES, PICTURES)),
        (lambda pair: pair[0] + pair[1], (PICTURES, PICTURES)),
        (lambda a, b: a + b, (PICTURES, {"b": PICTURES})),
        (lambda batch: batch.tensor, Plain(PICTURES)),
        (lambda batch: batch.scores, Scores("two", PICTURES)),
        (lambda flat: flat.unflatten(1, (3, 8, 8)), PICTURES.flatten(1)),
        (lambda series: series.unflatten(2, (8, 8)), PICTURES.flatten(2)),
    ],
)
def test_inputs_of_any_kind(unpack, example_input):
    check(Takes(unpack), example_input)


def test_arguments_by_their_names():
    check(Named(lambda x: x), {"x": PICTURES})
    check(Named(lambda x: x), {"scale": torch.ones(1), "x": PICTURES})
    check(Named(lambda x: x["x"]), {"x": PICTURES})


def test_one_picture_with_and_without_a_batch():
    check(Takes(lambda x: x), PICTURES[0], "4×6×6")
    needs_batch = Takes(lambda x: x.permute(0, 3, 1, 2).permute(0, 2, 3, 1))
    check(needs_batch, PICTURES[0], "1×4×6×6")


@pytest.mark.parametrize(
    ("pack", "shape"),
    [
        (lambda y: {"out": y, "aux": 1}, (2, 4, 6, 6)),
        (lambda y: [Scores("a", y)], (2, 4, 6, 6)),
        (lambda y: Pair(None, y), (2, 4, 6, 6)),
        (lambda y: UserDict(out=y), (2, 4, 6, 6)),
        (lambda y: Scores("a", {"b": (y,)}), (2, 4, 6, 6)),
        (Plain, (2, 4, 6, 6)),
        (lambda y: y.tolist(), ()),
        (lambda y: None, ()),
    ],
)
def test_outputs_of_any_kind(pack, shape):
    model = Takes(lambda x: x, pack)
    model.own = nn.Parameter(torch.ones(1))  # so that it has a row
    assert check(model, PICTURES)[-1].output_shape == shape


class LooksAtNumbers(nn.Conv2d):
    """Cannot run on the meta device."""

    def forward(self, x):
        assert x.sum().isfinite().item()
        return super().forward(x)


class Keeps(nn.Module):
    """Keeps tensors, counts and lists on itself while it runs."""

    def __init__(self, kind):
        super().__init__()
        self.conv, self.mean = kind(3, 4, 3), torch.tensor(0.5)
        self.register_buffer("calls", torch.zeros(1))
        self.features, self.cache, self.grid = [], {}, None

    def forward(self, x):
        self.mean = self.mean.to(x)
        self.grid = torch.arange(3, device=x.device) if self.grid is None else self.grid
        self.calls += 1
        y = self.conv(x - self.mean)
        self.features.append(y)
        self.cache["last"] = y
        return y


@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
@pytest.mark.parametrize("lock", [False, True], ids=["", "cannot be copied"])
def test_a_forward_that_keeps_tensors_on_its_module(lock, real):
    model = Keeps(LooksAtNumbers if real else nn.Conv2d)
    if lock:
        model.lock = threading.Lock()
    model(PICTURES)
    before = dict(vars(model))
    check(model, PICTURES)
    assert vars(model) == before and len(model.features) == 1 and model.calls == 1
    assert model.cache["last"] is model.features[0]
    assert model(PICTURES).shape == (2, 4, 6, 6)


def scripted():
    with pytest.warns(FutureWarning):
        return torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))


def test_scripted_parts_are_one_layer():
    model = nn.Sequential(scripted(), nn.Conv2d(4, 4, 1))
    rows = layer_table(model, PICTURES)
    assert [(row.name, row.kind, row.multiply_adds) for row in rows] == [
        ("0", "Sequential", COST),
        ("1", "Conv2d", 4 * 4 * 36),
        ("0.0", "Conv2d", None),
    ]
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in model.parameters())
    assert layer_table(scripted(), PICTURES)[0].multiply_adds == COST


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_frozen_network():
    model = torch.jit.freeze(scripted().eval())
    assert [row.multiply_adds for row in layer_table(model, PICTURES)] == [COST]


class Spectral(nn.Conv2d):
    """Multiplies in the frequency domain; the cost of its Fourier transforms is not known."""

    def forward(self, x):
        spectrum = torch.fft.rfft2(x) * torch.fft.rfft2(self.weight[:3], s=x.shape[-2:])[:, 0]
        return torch.fft.irfft2(spectrum, s=x.shape[-2:])


def test_a_convolution_whose_cost_is_not_known():
    layer = Spectral(3, 4, 3)
    frame = list_convs(nn.Sequential(layer, layer, nn.Conv2d(3, 4, 3)), PICTURES)
    assert frame["multiply-adds"].isna().tolist() == [True, False]


class Nests(nn.Linear):
    def forward(self, series):
        return super().forward(torch.nested.nested_tensor([series[0], series[1, :5]]))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_tensors_that_are_lists_of_tensors():
    (row,) = layer_table(Nests(8, 8), PICTURES[:, 0])
    assert row.output_shape == () and row.parameters == 72


def test_compiled_parts_run_as_they_are():
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    rows = layer_table(plain, PICTURES)
    model = torch.compile(plain)
    assert layer_table(model, PICTURES) == rows
    assert (
        list_convs(model)["layer"].tolist()
        == ["0"]
        == list_convs(model, PICTURES)["layer"].tolist()
    )
    inside = nn.Sequential(torch.compile(nn.Conv2d(3, 4, 3)), nn.ReLU())
    inside[1].compile()
    assert [row.multiply_adds for row in layer_table(inside, PICTURES)] == [COST, None]


@pytest.mark.parametrize("works", [True, False], ids=["watches", "is needed"])
def test_hooks_of_the_reader_are_called_only_if_needed(works):
    model, seen = Takes(lambda x: x), []
    model.conv.register_forward_hook(lambda *_: seen.append(1))
    if not works:
        model.conv.in_channels, model.conv.weight = 1, nn.Parameter(torch.ones(4, 1, 3, 3))
        model.conv.register_forward_pre_hook(lambda module, inputs: inputs[0][:, :1])
    check(model, PICTURES, cost=COST if works else COST // 3)
    assert bool(seen) is not works
    seen.clear()
    model(PICTURES)
    assert seen == [1]


def test_the_models_own_hooks_stay_while_it_is_copied():
    """Another thread may run the model at the same time, and need its hooks."""

    class Spy:
        def __deepcopy__(self, memo):
            seen.append(len(model.conv._forward_hooks))
            return self

    model, seen = Takes(lambda x: x), []
    model.spy = Spy()
    model.conv.register_forward_hook(lambda *_: None)
    layer_table(model, PICTURES)
    assert set(seen) == {1}


@pytest.mark.parametrize(
    "norm",
    [
        *(nn.utils.weight_norm, nn.utils.spectral_norm),
        *(nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm),
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_weights_that_are_computed(norm):
    model = Takes(lambda x: x)
    model.conv = norm(model.conv)
    model(PICTURES)  # with gradients: afterwards `copy.deepcopy` refuses the model
    before = model.conv.weight
    check(model.eval(), PICTURES)
    assert torch.equal(model.conv.weight, before)


class Inference(Takes):
    @torch.inference_mode()
    def forward(self, x):
        return super().forward(nn.functional.relu(x))


def test_inference_mode_inside():
    rows = check(Inference(lambda x: x), PICTURES)
    assert str(rows[0].receptive_field) == "3×3"


def test_the_example_and_the_random_numbers_stay():
    model = Takes(lambda x: nn.functional.relu(x, inplace=True) + torch.rand(1))
    model.conv = LooksAtNumbers(3, 4, 3)
    example, random = PICTURES.clone(), torch.get_rng_state()
    check(model, example)
    assert torch.equal(example, PICTURES) and torch.equal(random, torch.get_rng_state())


def test_a_branch_that_fails_and_is_caught():
    class Tries(nn.Module):
        def __init__(self):
            super().__init__()
            self.wrong, self.conv = nn.Conv3d(1, 1, 1), nn.Conv2d(3, 4, 3)

        def forward(self, x):
            try:
                return self.wrong(x)
            except RuntimeError:
                return self.conv(x)

    check(Tries(), PICTURES)
