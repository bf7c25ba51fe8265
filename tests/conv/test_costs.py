"""The multiply-adds of the table of layers, beside those of PyTorch's own counter."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models
from torchvision.ops import DeformConv2d

from course_utils.conv.layer_table import as_frame, layer_table
from tests.conv.edit import zoo_attention, zoo_mobile, zoo_odd, zoo_plain
from tests.conv.edit.zoo import ZOO, Wired

PARTS = (zoo_attention, zoo_mobile, zoo_odd, zoo_plain)  # importing them fills the zoo


def total(rows) -> int:
    return sum(row.multiply_adds or 0 for row in rows)


def counted(model: nn.Module, *inputs: Tensor) -> int:
    """Return the multiply-adds of a batch by PyTorch's counter, which needs the meta device.

    On the CPU it counts 0 for attention and recurrent layers that run as one operation.
    """
    model = copy.deepcopy(model).to("meta").eval().requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        model(*(x.to("meta") for x in inputs))
    return counter.get_total_flops() // 2


class Real(nn.Module):
    """A network that looks at a number first, so it cannot run on the meta device."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *inputs):
        assert inputs[0].sum().isfinite().item()
        return self.model(*inputs)


@pytest.mark.parametrize("name", sorted(ZOO))
def test_each_network_of_the_zoo(name):
    model, inputs = ZOO[name].model(), ZOO[name].inputs()
    assert total(layer_table(model, inputs)) == counted(model, *inputs) // len(inputs[0])


@pytest.mark.parametrize("name", ["vit_b_16", "r3d_18"])
def test_networks_of_torchvision(name):
    with torch.device("meta"):
        model = models.get_model(name, weights=None)
    shape = (2, 3, 4, 32, 32) if name == "r3d_18" else (2, 3, 224, 224)
    rows = layer_table(model, torch.zeros(shape))
    assert total(rows) == pytest.approx(counted(model, torch.zeros(shape)) / 2, abs=len(rows))
    if name == "vit_b_16":  # 17.56 G in torchvision's own description of the weights
        official = models.ViT_B_16_Weights.IMAGENET1K_V1.meta["_ops"]
        assert total(rows) / 1e9 == pytest.approx(official, abs=0.005)


class SameConv2d(nn.Conv2d):
    """Pads by itself, so that ⌈n / s⌉ pixels come out, as TensorFlow does."""

    def forward(self, x):
        sides = []
        for n, k, s in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            missing = max((math.ceil(n / s) - 1) * s + k - n, 0)
            sides += [missing // 2, missing - missing // 2]
        return super().forward(F.pad(x, sides))


def attention(layer, x, need_weights=False, **options):
    return layer(nn.MultiheadAttention, 8, 2, **options)(x, x, x, need_weights=need_weights)[0]


PICTURES, SERIES, TOKENS = torch.randn(3, 4, 9, 9), torch.randn(3, 4, 10), torch.randn(3, 6, 8)
VOLUMES = torch.randn(3, 4, 5, 5, 5)
# (module, inputs, multiply-adds of one picture; None: those of PyTorch's counter)
CASES = {
    "same": (SameConv2d(4, 6, 3, stride=2), PICTURES, 6 * 36 * 5 * 5),
    "same, wide kernel": (SameConv2d(4, 6, (5, 2), stride=(1, 2)), PICTURES, 6 * 40 * 9 * 5),
    "conv1d": (nn.Conv1d(4, 6, 3, groups=2), SERIES, 6 * 6 * 8),
    "conv3d": (nn.Conv3d(4, 2, 3), VOLUMES, 2 * 108 * 27),
    "transposed 1d": (nn.ConvTranspose1d(4, 6, 3, stride=2), SERIES, 4 * 10 * 6 * 3),
    "transposed 3d": (nn.ConvTranspose3d(4, 2, 2), VOLUMES, 4 * 125 * 2 * 8),
    "linear on tokens": (nn.Linear(8, 5), TOKENS, 6 * 8 * 5),
    "linear on maps": (nn.Linear(9, 5), PICTURES, 4 * 9 * 9 * 5),
    "attention": (Wired(attention, batch_first=True), TOKENS, 6 * 8 * 32 + 2 * 6 * 6 * 8),
    "attention, weights": (Wired(attention, need_weights=True), TOKENS, None),
    "encoder": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), TOKENS, None),
    "decoder": (nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), (TOKENS, TOKENS), None),
    "products": (Wired(lambda layer, x: F.scaled_dot_product_attention(x, x, x)), TOKENS, 576),
    "lstm": (nn.LSTM(8, 5, batch_first=True), TOKENS, 6 * 20 * 13),
    "gru": (nn.GRU(8, 5, 2, batch_first=True, bidirectional=True), TOKENS, None),
    "rnn cell": (nn.RNNCell(8, 5), TOKENS[:, 0], 5 * 13),
    "bilinear": (nn.Bilinear(8, 8, 5), (TOKENS, TOKENS), 6 * 5 * 64),
    "matmul": (Wired(lambda layer, x: x @ x.mT), TOKENS, 6 * 6 * 8),
    "vector": (Wired(lambda layer, x: x[0] @ x[0, 0]), TOKENS[:1], 6 * 8),
    "einsum": (Wired(lambda layer, x: torch.einsum("nld,nmd->nlm", x, x)), TOKENS, 6 * 6 * 8),
    "embedding": (nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 2)), torch.ones(3, 7).long(), 112),
}


@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
@pytest.mark.parametrize("case", CASES)
def test_the_cost_of_one_picture(case, real):
    model, inputs, cost = CASES[case]
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    model(*inputs)
    if cost is None:
        cost = counted(model, *inputs) // len(inputs[0])
    assert total(layer_table(Real(model) if real else model, inputs)) == cost > 0


class Functional(nn.Module):
    """Uses its parameters itself."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 4, 3, 3))
        self.matrix = nn.Parameter(torch.randn(5, 6))
        self.inner = nn.Sequential(nn.Conv2d(6, 6, 1))

    def forward(self, x):
        x = self.inner(F.conv2d(x, self.kernel, padding=1))
        return F.linear(x.mean((2, 3)), self.matrix)


def test_what_a_module_computes_itself_is_in_its_own_row():
    rows = {row.name: row for row in layer_table(nn.Sequential(Functional()), PICTURES)}
    assert rows["0"].multiply_adds == 6 * 36 * 81 + 30 and rows["0"].parameters == 216 + 30
    assert rows["0.inner.0"].multiply_adds == 36 * 81
    assert "0.inner" not in rows and "" not in rows


def test_a_block_without_parameters_has_a_row_if_it_multiplies():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Linear(8, 8)

        def forward(self, x):
            return F.scaled_dot_product_attention(self.query(x), x, x)

    rows = layer_table(nn.Sequential(Block(), nn.Linear(8, 2)), TOKENS)
    assert [(row.name, row.kind, row.multiply_adds) for row in rows] == [
        ("0.query", "Linear", 384),
        ("0", "Block", 576),
        ("1", "Linear", 96),
    ]


def test_deformable_convolution():
    model = Wired(lambda layer, x: layer(DeformConv2d, 4, 6, 3)(x, torch.zeros(3, 18, 7, 7)))
    model(PICTURES)
    assert total(layer_table(model, PICTURES)) == 6 * 36 * 49


def test_products_on_constants_count_only_where_pytorch_counts_them():
    model = nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 6, 3))
    assert total(layer_table(model, PICTURES)) == 6 * 36 * 49


def test_what_is_not_counted_is_named():
    def spectrum(layer, x):
        return layer(nn.Conv2d, 4, 2, 1)(torch.fft.rfft2(x).real)

    model = Wired(spectrum)
    model(PICTURES)
    rows = layer_table(model, PICTURES)
    assert [row.not_counted for row in rows] == [(), ("_fft_r2c",)]
    assert as_frame(rows)["not counted"].tolist() == ["", "_fft_r2c"]
    assert "not counted" not in as_frame(rows[:1])


@pytest.mark.parametrize(
    ("model", "inputs", "pictures"),
    [
        (nn.Conv2d(4, 2, 3), torch.randn(4, 9, 9), 1),
        (nn.Conv2d(4, 2, 3), torch.randn(5, 4, 9, 9), 5),
        (nn.Conv1d(4, 2, 3), torch.randn(4, 9), 1),
        (nn.Conv1d(4, 2, 3), torch.randn(5, 4, 9), 5),
        (nn.Linear(9, 2), torch.randn(5, 9), 5),
        (nn.Linear(9, 2), torch.randn(5, 1, 9), 5),
        (Wired(lambda layer, x: layer(nn.Conv2d, 4, 2, 3)(x[None])), torch.randn(4, 9, 9), 1),
        (Wired(lambda layer, x: layer(nn.Conv2d, 1, 2, 3)(x[:, None])), torch.randn(5, 9, 9), 5),
        (Wired(lambda layer, x: layer(nn.Linear, 324, 2)(x.flatten())), torch.randn(4, 9, 9), 1),
        (
            Wired(lambda layer, x: layer(nn.Conv2d, 4, 2, 3)(torch.stack(x))),
            [torch.randn(4, 9, 9)] * 3,
            3,
        ),
        (
            Wired(lambda layer, x: [layer(nn.Conv2d, 4, 2, 3, name="c")(p[None]) for p in x]),
            [torch.randn(4, 9, 9)] * 3,
            3,
        ),
    ],
)
def test_the_number_of_pictures(model, inputs, pictures):
    model(inputs)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(inputs)
    cost = counter.get_total_flops() // 2
    assert total(layer_table(model, inputs)) == cost / pictures
