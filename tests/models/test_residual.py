from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import layer_table
from course_utils.core import CourseError
from course_utils.data import load_dataset
from course_utils.metrics import evaluate
from course_utils.models import ResidualBlock, SmallResNet, load_pretrained, pretrained_card


def test_size_and_cost_of_the_usual_one():
    model = SmallResNet()
    assert 2e5 < sum(p.numel() for p in model.parameters()) < 3e5
    rows = layer_table(model, torch.zeros(1, 1, 28, 28))
    assert sum(row.multiply_adds or 0 for row in rows) == 8_790_080
    sides = [row.output_shape[-1] for row in rows if row.name.endswith("relu2")]
    assert sides == [14, 7, 4]


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({}, (3, 1, 28, 28)),
        ({"in_channels": 3, "classes": 5, "widths": (8,)}, (2, 3, 9, 7)),
        ({"widths": (4, 4, 8, 8), "blocks": 3}, (1, 1, 32, 32)),
    ],
)
def test_takes_pictures_and_trains(settings, shape):
    model = SmallResNet(**settings)
    scores = model(torch.randn(shape))
    assert scores.shape == (shape[0], settings.get("classes", 10))
    scores.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_block_adds_its_input():
    block = ResidualBlock(4, 4).eval()
    nn.init.zeros_(block.norm2.weight)
    x = torch.rand(2, 4, 5, 5)
    assert torch.equal(block(x), x)
    assert len(block.shortcut) == 0 and len(ResidualBlock(4, 4, stride=2).shortcut) == 2


@pytest.mark.parametrize(
    "settings",
    [{"widths": ()}, {"widths": (8, 0)}, {"blocks": 0}, {"in_channels": 0}, {"classes": 2.5}],
)
def test_impossible_settings(settings):
    with pytest.raises(CourseError):
        SmallResNet(**settings)


def test_the_trained_one_is_as_good_as_its_card_says():
    card, model = pretrained_card("small_resnet"), load_pretrained("small_resnet")
    data = load_dataset(card.data)
    result = evaluate(model, data.test, mean=card.mean, std=card.std)
    # Another processor rounds otherwise, which may turn a picture or two.
    assert abs(result.correct - card.correct) <= 4
    assert card.accuracy >= 0.91 and card.size == 28
