from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from course_utils.conv import edit_conv, layer_table
from course_utils.data import load_photograph
from course_utils.models import EfficientNetLite0, MBConv, fold_batch_norm, pretrained_card
from course_utils.widgets.seen import most_probable, percent

CARD = pretrained_card("efficientnet_lite0")
SMALL = CARD.preprocess(load_photograph(), 64)[None]
with torch.device("meta"):
    CONVS = {n: m for n, m in EfficientNetLite0().named_modules() if isinstance(m, nn.Conv2d)}


def logits(model):
    with torch.no_grad():
        return model(SMALL)[0]


def test_size_and_cost():
    with torch.device("meta"):
        model, picture = EfficientNetLite0(), torch.zeros(1, 3, 224, 224)
    rows = layer_table(model, picture)
    assert sum(row.parameters for row in rows) == 4_652_008
    assert len(CONVS) == 49 and sum(isinstance(m, MBConv) for m in model.modules()) == 16
    with FlopCounterMode(display=False) as counter:
        model(picture)
    multiply_adds = sum(row.multiply_adds or 0 for row in rows)
    assert multiply_adds == counter.get_total_flops() // 2 == 385_187_552


def test_parts_of_it_are_networks_too():
    model = EfficientNetLite0(classes=7).eval()
    assert model(torch.zeros(1, 3, 33, 70)).shape == (1, 7)
    features = model[:-2]
    assert type(features) is nn.Sequential and features(SMALL).shape == (1, 1280)


@pytest.mark.parametrize("size", [32, 96, 224])
def test_the_padding_of_multiples_of_32_is_that_of_tensorflow(size):
    with torch.device("meta"):
        model, picture = EfficientNetLite0().eval(), torch.zeros(1, 3, size, size)
    sides = []

    def compare(layers, inputs, output):
        side, kernel = inputs[0].shape[-1], layers.conv.kernel_size[0]
        half = -(-side // 2)
        total = max((half - 1) * 2 + kernel - side, 0)
        assert layers.pad.padding == (total // 2, total - total // 2) * 2
        assert layers.conv.padding == (0, 0) and output.shape[-1] == half
        sides.append(side)

    for layers in model.modules():
        if hasattr(layers, "pad"):
            layers.register_forward_hook(compare)
    model(picture)
    assert sides == [size, size // 2, size // 4, size // 8, size // 16]


def test_a_shortcut_only_where_the_shapes_are_equal():
    x = torch.randn(1, 8, 6, 6)
    assert MBConv(8, 8, 3, stride=1, expansion=6).shortcut
    block = MBConv(8, 8, 3, stride=1, expansion=1).eval()
    nn.init.zeros_(block.project.conv.weight)
    assert torch.equal(block(x), x)
    for out, stride in ((9, 1), (8, 2)):
        block = MBConv(8, out, 5, stride=stride, expansion=2)
        assert block(x).shape == (1, out, 6 // stride, 6 // stride) and not block.shortcut


@pytest.mark.parametrize("name", CONVS)
def test_wider_and_still_the_same_cat(lite0, name):
    wider = CONVS[name].out_channels + 8
    edited = edit_conv(lite0, name, example_input=SMALL, out_channels=wider)
    assert edited.get_submodule(name).out_channels == wider
    unchanged(lite0, edited)


@pytest.mark.parametrize("name", CONVS)
def test_a_larger_kernel_and_still_the_same_cat(folded, name):
    larger = CONVS[name].kernel_size[0] + 2
    edited = edit_conv(folded, name, example_input=SMALL, kernel_size=larger)
    assert edited.get_submodule(name).kernel_size == (larger, larger)
    unchanged(folded, edited)


@pytest.fixture(scope="module")
def folded(lite0):
    return fold_batch_norm(lite0)


def unchanged(before, after):
    """Check the scores, and what the lab shows: five classes with their rounded probabilities."""
    expected, found = logits(before), logits(after)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    assert len(shown(found)) == 5 and shown(found) == shown(expected)


def shown(scores):
    return [(one.name, percent(one.probability)) for one in most_probable(scores, CARD.classes)]
