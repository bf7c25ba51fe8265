from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.core import CourseError, private_random_numbers
from course_utils.models import AveragingCNN, DenseBaseline, SimpleCNN
from tests.toys import same, toy_data, weights


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_the_network_of_the_article():
    model = SimpleCNN()
    assert [type(layer).__name__ for layer in model] == [
        *("Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "MaxPool2d", "Flatten", "Linear")
    ]
    assert model.conv1.weight.shape == (16, 1, 3, 3) and model.conv2.weight.shape == (32, 16, 3, 3)
    assert model.classifier.in_features == 32 * 7 * 7
    assert parameters(model) == (9 * 16 + 16) + (9 * 16 * 32 + 32) + (1568 * 10 + 10)
    assert model(torch.rand(5, 1, 28, 28)).shape == (5, 10)
    assert model[:3](torch.rand(5, 1, 28, 28)).shape == (5, 16, 14, 14)


def test_computes_what_it_says():
    torch.manual_seed(0)
    model, images = SimpleCNN(2, 3, (9, 6)), torch.rand(4, 2, 9, 6)
    x = images
    for conv in (model.conv1, model.conv2):
        x = nn.functional.max_pool2d(conv(x).clamp(min=0), 2)
    expected = x.reshape(4, -1) @ model.classifier.weight.T + model.classifier.bias
    torch.testing.assert_close(model(images), expected)


@settings(max_examples=30)
@given(
    channels=st.integers(1, 4),
    classes=st.integers(1, 12),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    batch_norm=st.booleans(),
    dropout=st.sampled_from([0.0, 0.5]),
)
def test_any_picture_of_at_least_four_pixels(channels, classes, size, batch_norm, dropout):
    settings = {"widths": (2, 3), "batch_norm": batch_norm, "dropout": dropout}
    if min(size) < 4:
        with pytest.raises(CourseError, match="at least 4×4"):
            SimpleCNN(channels, classes, size, **settings)
        return
    model = SimpleCNN(channels, classes, size, **settings)
    assert model(torch.rand(2, channels, *size)).shape == (2, classes)
    kinds = {type(layer) for layer in model}
    assert (nn.BatchNorm2d in kinds) == batch_norm and (nn.Dropout in kinds) == bool(dropout)


@pytest.mark.parametrize(
    ("kind", "wrong", "words"),
    [
        *((kind, {"in_channels": 0}, "in_channels=0") for kind in (SimpleCNN, DenseBaseline)),
        *((kind, {"classes": 2.5}, "classes=2.5") for kind in (SimpleCNN, DenseBaseline)),
        *((kind, {"image_size": -1}, "height=-1") for kind in (SimpleCNN, DenseBaseline)),
        *((kind, {"dropout": 1.0}, "dropout=1.0") for kind in (SimpleCNN, DenseBaseline)),
        (SimpleCNN, {"widths": (16, 32, 64)}, "has 3 numbers"),
        (SimpleCNN, {"widths": (16, 0)}, r"widths\[1\]=0"),
        (SimpleCNN, {"image_size": (3, 30)}, "3×30 → 1×15 → 0×7"),
        (AveragingCNN, {"widths": (16, 32)}, "give three"),
        (AveragingCNN, {"widths": (16, 0, 8)}, r"widths\[1\]=0"),
        (DenseBaseline, {"hidden": (0,)}, r"hidden\[0\]=0"),
    ],
)
def test_impossible_settings(kind, wrong, words):
    with pytest.raises(CourseError, match=words):
        kind(**wrong)


def test_works_with_export_and_tracing():
    model, images = SimpleCNN(batch_norm=True).eval(), torch.rand(2, 1, 28, 28)
    traced = torch.fx.symbolic_trace(model)
    torch.testing.assert_close(traced(images), model(images))


def test_dense_baseline():
    model = DenseBaseline(3, 5, (4, 6), hidden=(7, 8), dropout=0.5)
    assert model(torch.rand(2, 3, 4, 6)).shape == (2, 5)
    assert parameters(model) == (72 * 7 + 7) + (7 * 8 + 8) + (8 * 5 + 5)
    assert parameters(DenseBaseline(1, 2, 3, hidden=())) == 9 * 2 + 2


def test_the_averaging_cnn_does_not_know_where_something_is():
    torch.manual_seed(0)
    model = AveragingCNN(3, 5, (2, 4, 6))
    assert parameters(model) == (54 + 2) + (72 + 4) + (216 + 6) + 35
    images = torch.zeros(2, 3, 32, 32)
    images[:, :, 12:20, 12:20] = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(model(images.roll((4, -4), (-2, -1))), model(images))
        assert model(images[..., :13, :21]).shape == (2, 5)


def test_it_can_be_made_for_a_data_set():
    data = toy_data(channels=3)
    model = SimpleCNN.for_data(data, dropout=0.2)
    assert model(data.normalise(data.train.images[:2])).shape == (2, len(data.classes))
    assert model.dropout.p == 0.2


def test_seeded_weights_for_a_data_set_are_those_of_torchs_seed():
    state = torch.get_rng_state()
    model = SimpleCNN.for_data(toy_data(), seed=4)
    assert torch.equal(state, torch.get_rng_state())
    with private_random_numbers():
        torch.manual_seed(4)
        assert same(weights(model), weights(SimpleCNN.for_data(toy_data())))
