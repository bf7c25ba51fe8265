"""Candidates: built as asked, with weights as asked, trained as asked."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import ResidualConv2d
from course_utils.core.errors import CourseError
from course_utils.models.simple import SimpleCNN
from course_utils.search import ARTICLE, Settings, build
from course_utils.training.schedules import Schedule
from tests.toys import same, weights

PICTURES = torch.zeros(2, 1, 28, 28)


@pytest.fixture
def model() -> SimpleCNN:
    torch.manual_seed(0)
    return SimpleCNN()


def test_layers_are_as_asked_and_the_rest_follows(model):
    params = {"conv1.out_channels": 8, "conv1.kernel_size": 5, "conv1.stride": 2}
    params |= {"conv2.groups": 4, "conv2.dilation": 2, "conv2.depth": 3, "learning_rate": 0.1}
    built = build(model, params, PICTURES)
    first, second = built.conv1, built.conv2.conv
    assert (first.out_channels, first.kernel_size, first.stride) == (8, (5, 5), (2, 2))
    assert (second.in_channels, second.groups, second.dilation) == (8, 4, (2, 2))
    assert sum(isinstance(m, ResidualConv2d) for m in built.modules()) == 2
    assert built(PICTURES).shape == (2, 10)


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(("kernel_size", "stride"), [(3, 1), (3, 2), (5, 1), (1, 2)])
def test_a_padding_that_is_named_does_not_follow_the_kernel(model, kernel_size, stride, padding):
    """Also where it is the padding that the layer has already."""
    params = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
    built = build(model, {f"conv1.{name}": value for name, value in params.items()}, PICTURES)
    simple = {name: getattr(built.conv1, name)[0] for name in params}
    assert simple == params and built(PICTURES).shape == (2, 10)


def test_kept_weights_are_kept_and_fresh_ones_are_not(model):
    own, before, state = {"conv1.kernel_size": 3}, weights(model), torch.get_rng_state()
    kept = build(model, own, PICTURES)
    assert kept is not model and same(weights(kept), before)
    one, again, other = (
        build(model, own, PICTURES, weights="fresh", seed=seed).conv1.weight for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other) and not torch.equal(one, model.conv1.weight)
    assert same(weights(model), before) and torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    "further",
    [{}, {"conv1.depth": 2, "conv2.depth": 2}, {"conv1.kernel_size": 1, "conv2.kernel_size": 1}],
)
def test_copied_channels_learn_to_differ(model, further):
    wide = build(model, {"conv1.out_channels": 32, "conv2.out_channels": 64} | further, PICTURES)
    for name, count in (("conv1", 32), ("conv2", 64)):
        layer = wide.get_submodule(name)
        rows = getattr(layer, "conv", layer).weight.flatten(1)
        assert len(torch.unique(rows, dim=0)) == count
    if "conv1.kernel_size" not in further:
        pictures = torch.randn(4, 1, 28, 28)
        with torch.no_grad():
            assert torch.allclose(wide(pictures), model(pictures), atol=0.2)


def test_equal_kernels_of_a_layer_that_has_not_grown_stay_equal(model):
    with torch.no_grad():
        model.conv2.weight[:5] = 0
    wide = build(model, {"conv1.out_channels": 32}, PICTURES)
    assert not wide.conv2.weight[:5].any()


def test_frozen_layers_keep_their_weights(model):
    model.conv1.requires_grad_(False)
    fresh = build(model, {}, PICTURES, weights="fresh")
    assert torch.equal(fresh.conv1.weight, model.conv1.weight)
    assert not torch.equal(fresh.conv2.weight, model.conv2.weight)
    assert not fresh.conv1.weight.requires_grad


def test_training_values_become_arguments_of_fit():
    assert Settings.of({"c.depth": 2}).training == ARTICLE  # what a search leaves open
    params = {"optimizer": "SGD + momentum", "weight_decay": 0.1, "learning_rate": 0.2}
    arguments = Settings.of(params | {"schedule": "OneCycle", "augment": "flip"}).fit_arguments()
    optimizer = arguments["optimizer"]([nn.Parameter(torch.zeros(1))], lr=0.2)
    assert type(optimizer) is torch.optim.SGD
    assert optimizer.defaults["weight_decay"] == 0.1 and optimizer.defaults["momentum"] == 0.9
    assert arguments["scheduler"] == Schedule("one cycle", warmup=0.3)
    assert arguments["augment"].flip and arguments["learning_rate"] == 0.2


def test_what_cannot_be_built_is_said(model):
    refused = {
        r"optimizer='Lion' .* SGD": {"params": {"optimizer": "Lion"}},
        "weights='old'": {"params": {}, "weights": "old"},
        "groups": {"params": {"conv2.groups": 3}},
    }
    for said, arguments in refused.items():
        with pytest.raises(CourseError, match=said):
            build(model, example_input=PICTURES, **arguments)
