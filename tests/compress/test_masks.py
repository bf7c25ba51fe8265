from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from course_utils.compress import (
    has_masks,
    mask_by_magnitude,
    remove_masks,
    require_no_masks,
    sparsity,
)
from course_utils.core import CourseError
from course_utils.training import fit
from tests.toys import same, toy_data, toy_model, weights


def test_the_smallest_weights_of_all_layers_are_masked_and_nothing_else():
    model = toy_model(norm=True)
    before = weights(model)
    masked = mask_by_magnitude(model, 0.5)
    assert same(before, weights(model))
    every = torch.cat([model[0].weight.flatten(), model[6].weight.flatten()]).abs()
    limit = every.median()
    for index in (0, 6):
        expected = model[index].weight * (model[index].weight.abs() > limit)
        torch.testing.assert_close(masked[index].weight, expected)
        assert torch.equal(masked[index].bias, model[index].bias)
    assert sparsity(masked) == pytest.approx(0.5, abs=0.01)
    assert not any(name.startswith("1.") for name, _ in masked.named_buffers() if "mask" in name)


def test_the_share_of_each_layer():
    masked = mask_by_magnitude(toy_model(), 0.5, scope="layer")
    for layer in (masked[0], masked[6]):
        assert (layer.weight == 0).float().mean() == pytest.approx(0.5, abs=0.01)


def test_training_does_not_bring_a_masked_weight_back_but_moves_one_without_its_mask():
    data = toy_data()
    masked = mask_by_magnitude(toy_model(), 0.8)
    plain = remove_masks(masked)
    assert has_masks(masked) and not has_masks(plain)
    assert sparsity(plain) == sparsity(masked) > 0.79
    x = data.normalise(data.test.images)
    torch.testing.assert_close(masked(x), plain(x))
    for model in (masked, plain):
        fit(model, data, epochs=1, precision="float32", progress=False)
    assert sparsity(masked) > 0.79 and sparsity(plain) < 0.1
    copy.deepcopy(plain)


def test_masks_that_torch_made_of_any_parameter_are_removed():
    model = toy_model()
    torch_prune.random_unstructured(model[0], "bias", amount=3)
    torch_prune.l1_unstructured(model[6], "weight", amount=0.2)
    torch_prune.l1_unstructured(model[6], "weight", amount=0.2)
    model(torch.zeros(2, 1, 8, 8)).sum().backward()
    plain = remove_masks(model)
    assert set(weights(plain)) == set(weights(toy_model())) and has_masks(model)
    assert int((plain[0].bias == 0).sum()) == 3


@pytest.mark.parametrize(
    "share", [0, 1, 0.0, 1.0, -0.1, 1.5, True, "half", float("nan"), None, [0.5]]
)
def test_a_share_must_be_between_0_and_1(share):
    model = toy_model()
    before = weights(model)
    with pytest.raises(CourseError, match="between 0 and 1"):
        mask_by_magnitude(model, share)
    assert same(before, weights(model)) and not has_masks(model)


@pytest.mark.parametrize(
    ("model", "scope", "words"),
    [
        (nn.Sequential(nn.ReLU()), "global", "no convolution"),
        (toy_model(), "both", "scope='both'"),
        (mask_by_magnitude(toy_model(), 0.5), "layer", "0 still has a mask"),
    ],
)
def test_what_cannot_be_masked(model, scope, words):
    with pytest.raises(CourseError, match=words):
        mask_by_magnitude(model, 0.5, scope=scope)


def test_one_layer_alone_with_a_mask_is_named_by_its_kind():
    layer = torch_prune.l1_unstructured(nn.Conv2d(1, 2, 3), "weight", amount=0.5)
    with pytest.raises(CourseError, match="Conv2d still has a mask"):
        require_no_masks(layer)
