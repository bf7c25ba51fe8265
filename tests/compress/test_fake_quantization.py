from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from course_utils.compress import (
    fake_quantize,
    mask_by_magnitude,
    quantize,
    round_weights,
    straight_through,
)
from course_utils.core import CourseError
from course_utils.metrics import evaluate
from course_utils.training import Precision, fit
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data(train=300)
PICTURES = DATA.normalise(DATA.train.images)


def accuracy(model: nn.Module) -> float:
    return evaluate(model, DATA.test, mean=DATA.mean, std=DATA.std).accuracy


def test_the_gradient_passes_as_if_nothing_had_been_rounded():
    x = torch.tensor([0.2, 0.7], requires_grad=True)
    y = straight_through(x, x.round())
    assert y.tolist() == [0, 1]
    (y * torch.tensor([2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [2, 3]


def test_weights_and_inputs_are_rounded_and_the_network_stays():
    model = toy_model(norm=True).eval()
    before = weights(model)
    rounded = fake_quantize(model, PICTURES, weight_bits=3, activation_bits=4)
    assert same(before, weights(model)) and not model[0]._forward_pre_hooks
    torch.testing.assert_close(rounded[0].weight, round_weights(model, 3)[0].weight)
    seen = {}
    rounded[0].register_forward_hook(lambda layer, given, _: seen.update(x=given[0]))
    with torch.no_grad():
        rounded(PICTURES)
    assert 8 < len(seen["x"].unique()) <= 16
    torch.testing.assert_close(seen["x"], quantize(PICTURES, 4).values())
    with torch.no_grad():  # what lies outside the range of the calibration is cut off
        rounded(PICTURES * 100)
    assert float(seen["x"].amax()) == pytest.approx(float(quantize(PICTURES, 4).levels()[-1]))


def test_many_bits_change_little_and_few_bits_are_repaired_by_training():
    model = toy_model()
    fit(model, DATA, epochs=6, learning_rate=0.01, precision=Precision(threads=1), progress=False)
    with torch.no_grad():
        fine = fake_quantize(model, PICTURES, weight_bits=8)(PICTURES)
        torch.testing.assert_close(fine, model(PICTURES), atol=0.2, rtol=0.05)
    coarse = fake_quantize(model, PICTURES[:50], weight_bits=2, activation_bits=2)
    at_once, float_weight = accuracy(coarse), coarse[0].parametrizations.weight.original.clone()
    copied = copy.deepcopy(coarse)
    fit(coarse, DATA, epochs=4, learning_rate=0.01, precision=Precision(threads=1), progress=False)
    assert not torch.equal(coarse[0].parametrizations.weight.original, float_weight)
    assert all(len(channel.unique()) <= 3 for channel in coarse[0].weight)
    assert accuracy(coarse) >= max(at_once, 0.9)
    assert accuracy(copied) == at_once


@pytest.mark.parametrize(
    "change, words",
    [
        ({"weight_bits": 1}, "weight_bits=1"),
        ({"activation_bits": 16}, "activation_bits=16"),
        ({"calibration": PICTURES[:0]}, "at least one"),
        ({"calibration": PICTURES[:, :, :4]}, r"does not run on calibration pictures \(64, 1, 4"),
        ({"calibration": PICTURES * torch.nan}, "finite"),
        ({"calibration": DATA.train.images}, "finite floats"),
        ({"calibration": None}, "NoneType"),
        ({"model": nn.Flatten()}, "no convolution"),
        ({"model": mask_by_magnitude(toy_model(), 0.5)}, "mask"),
        ({"model": fake_quantize(toy_model(), PICTURES[:1])}, "computed already"),
    ],
)
def test_what_cannot_be_rounded(change, words):
    model = change.get("model", toy_model())
    before = weights(model)
    with pytest.raises(CourseError, match=words):
        fake_quantize(**({"model": model, "calibration": PICTURES} | change))
    assert same(before, weights(model))
