"""The rules agree with PyTorch in every plain case, and leave all others to it."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.conv import edit_conv, layer_table, network_graph, shape_rules
from course_utils.conv.shape_rules import OnlyShapes, quick_output

PICTURE = torch.zeros(1, 3, 8, 8)


def empty(*shape: int, **options) -> torch.Tensor:
    return torch.empty(shape, device="meta", **options)


def outcome(func, args: tuple, kwargs: dict) -> tuple | str | None:
    """Return shape, strides and dtype of an output, if the function does not refuse to run."""
    try:
        y = func(*args, **kwargs)
    except (ArithmeticError, RuntimeError, ValueError, IndexError, TypeError):
        return "refused"
    return None if y is None else (tuple(y.shape), y.stride() if y.numel() else None, y.dtype)


def check(func, *args, **kwargs) -> bool:
    """Check that the rule agrees with PyTorch; return whether there is one for this call."""
    expected = outcome(func, args, kwargs)
    quick = outcome(quick_output, (func, args, kwargs), {})
    assert quick in (None, expected)
    with OnlyShapes():
        assert outcome(func, args, kwargs) == expected
    return quick is not None


CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@pytest.mark.filterwarnings("ignore:Using padding")
@pytest.mark.parametrize("dims", CONVOLUTIONS)
def test_convolutions_of_random_settings(dims):
    draw, used = random.Random(dims), 0

    def of(*usual, odd=()):
        return draw.choice(odd if odd and draw.random() < 0.08 else usual)

    for _ in range(120):
        groups, rows, columns = of(1, 2, 3), of(6, 12, odd=(0, 5)), of(1, 2)
        batch = of((1,), (2,), odd=((0,), ()))
        sizes = [of(4, 7, 9, odd=(0, 1)) for _ in range(dims)]
        image = empty(*batch, columns * groups + of(0, odd=(1,)), *sizes)
        weight = empty(rows, columns, *(of(1, 2, 3, 5) for _ in range(dims)))
        bias = of(None, empty(rows), odd=(empty(rows + 1),))
        used += check(
            *(CONVOLUTIONS[dims], image, weight, bias),
            stride=of(1, 2, [1] * dims, (2,) * dims, odd=((3,), 0)),
            padding=of(0, 1, (2,) * dims, odd=("same", "valid", -1)),
            dilation=of(1, 2, odd=((3,) * dims, 0)),
            groups=groups,
        )
    assert 20 < used < 120


X, LAST = empty(2, 6, 4, 5), empty(2, 6, 4, 5).to(memory_format=torch.channels_last)
OTHERS = [X, LAST, empty(2, 6, 1, 1), empty(1, 6, 4, 1), empty(6, 4, 5), empty(2, 3, 4, 5)]
OTHERS += [
    X.double(),
    X.long(),
    empty(2, 6, 4, 0),
    X.transpose(2, 3),
    empty(2, 6, 1, 5).expand(X.shape),
]


@pytest.mark.parametrize("func", [torch.add, torch.Tensor.mul, torch.sub, torch.Tensor.__add__])
def test_sums_and_products_of_two(func):
    used = [check(func, x, y) for x, y in itertools.product(OTHERS, OTHERS)]
    assert sum(used) > 10 and not check(func, X, 2)
    assert not check(torch.sub, X.bool(), X.bool())


@pytest.mark.parametrize("other", OTHERS)
def test_a_sum_in_place_keeps_its_tensor_or_is_refused(other):
    x = empty(2, 6, 4, 5)
    check(torch.Tensor.add_, x, other)
    if other.shape in (X.shape, (2, 6, 1, 1)) and other.dtype == x.dtype and other.is_contiguous():
        assert quick_output(torch.Tensor.add_, (x, other), {}) is x


@pytest.mark.parametrize("dim", [0, 1, -1, 4, "1"])
def test_concatenations(dim):
    pairs = itertools.product(OTHERS, OTHERS)
    used = [check(torch.cat, list(pair), dim=dim) for pair in pairs]
    assert any(used) == (dim in (0, 1, -1))
    assert not check(torch.cat, [])


def test_linear_batch_norm_and_pooling():
    assert check(F.linear, empty(2, 5, 7), empty(3, 7), empty(3))
    assert check(F.linear, empty(7), empty(3, 7))
    assert not check(F.linear, empty(2, 6), empty(3, 7))
    assert not check(F.linear, empty(2, 7), empty(3, 7), empty(4))
    assert not check(F.linear, empty(2, 7), empty(7))
    vectors = [empty(6)] * 4
    assert check(F.batch_norm, X, *vectors) and check(F.batch_norm, LAST, *vectors)
    with pytest.raises(RuntimeError, match="6 channels"):
        quick_output(F.batch_norm, (X, empty(5), empty(5)), {})
    assert not check(F.batch_norm, X, *vectors, training=True)
    for size in (1, 3, (2, 4), [1, 1], (None, 2), 0, -1):
        check(F.adaptive_avg_pool2d, X, size)
    assert check(F.adaptive_avg_pool2d, X, 1) and not check(F.adaptive_avg_pool2d, LAST, 1)


@pytest.mark.parametrize("func", [F.relu, F.gelu, F.hardswish, torch.tanh, torch.Tensor.sigmoid])
def test_functions_of_each_number(func):
    assert all(check(func, x) for x in (X, LAST, X.transpose(2, 3)))
    assert quick_output(func, (torch.zeros(2),), {}) is None  # it has numbers


class Activations(nn.Module):
    """Works in place and not, on views and with two tensors."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.relu = nn.ReLU6(inplace=True)

    def forward(self, x):
        y = self.relu(self.norm(self.conv(x)))
        y += self.conv(x)
        z = F.hardswish(y[:, :3], inplace=True) * x.mean((2, 3), keepdim=True)
        return torch.cat([F.adaptive_avg_pool2d(z, 1), F.gelu(z).mean((2, 3), keepdim=True)], 1)


def test_tables_and_graphs_are_as_with_numbers(monkeypatch):
    found = []
    for without in (False, True):
        if without:  # PyTorch runs everything
            monkeypatch.setattr(shape_rules, "_pointwise", lambda *_, **__: None)
            monkeypatch.setattr(shape_rules, "_between_two", lambda *_: None)
            monkeypatch.setattr(shape_rules, "_joined", lambda *_, **__: None)
            monkeypatch.setattr(shape_rules, "_OPERATIONS", set())
        model = Activations()
        found.append((layer_table(model, PICTURE), network_graph(model, PICTURE)))
    assert found[0] == found[1] and any(node.kind == "add" for node in found[0][1].nodes)


def test_in_inference_mode_too():
    class Inference(nn.Sequential):
        def forward(self, x):
            with torch.inference_mode():
                return super().forward(x).relu_() + 1

    model = Inference(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1))
    assert edit_conv(model, "0", example_input=PICTURE, out_channels=6)[2].in_channels == 6


def test_numbers_are_never_lost():
    x = torch.arange(4.0)
    with OnlyShapes():
        assert (x + x).tolist() == [0, 2, 4, 6] and torch.cat([x, x]).sum() == 12
        assert F.conv2d(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item() == 4


def test_an_edit_does_not_import_the_compiler():
    """Its import takes over a second, at the first move of a slider."""
    code = (  # torchvision imports the compiler itself
        "import sys, torch; from course_utils.models import EfficientNetLite0\n"
        "from course_utils.conv import EditError, edit_conv\n"
        "model, picture = EfficientNetLite0(9), torch.zeros(1, 3, 64, 64)\n"
        "edit_conv(model, 'stage2.1.project.conv', example_input=picture, out_channels=32)\n"
        "edit_conv(model, 'stage2.1.depthwise.conv', example_input=picture, kernel_size=5)\n"
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
