from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.compress import CRITERIA, importance_of, prune
from course_utils.conv import channel_groups
from course_utils.core import CourseError
from course_utils.models import SimpleCNN
from tests.compress.toy_networks import DATA, PICTURES, toy_resnet, trained_resnet
from tests.toys import same, weights

LAYERS = ["stem", "stage1.0.conv2", "stage1.0.conv1", "stage2.0.conv1"]
LAYERS += ["stage2.0.conv2", "stage2.0.shortcut.0"]


def scores_of(model: nn.Module, criterion: str, **options) -> dict[str, torch.Tensor]:
    groups = channel_groups(model, example_input=PICTURES)
    known = importance_of(model, groups, criterion, DATA, **options)
    return known.scores


@pytest.mark.parametrize("criterion", CRITERIA)
def test_each_criterion_prunes_and_leaves_the_network_as_it_was(criterion):
    model = trained_resnet()
    before, state = weights(model), torch.get_rng_state()
    options = {"importance": criterion, "data": DATA, "divisible_by": 1}
    first, second = (prune(model, 0.4, **options) for _ in range(2))
    assert same(weights(first), weights(second)) and same(before, weights(model))
    assert torch.equal(state, torch.get_rng_state()) and not model.training
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_batch_norm_is_the_size_of_its_factor():
    model = toy_resnet()
    with torch.no_grad():
        model.norm.weight.copy_(torch.arange(8) - 4)
    assert scores_of(model, "batch_norm")["stem"].tolist() == [4, 3, 2, 1, 0, 1, 2, 3]


def test_activation_is_the_share_of_numbers_above_zero():
    model = trained_resnet()
    found = scores_of(model, "activation", pictures=120)
    assert sorted(found) == sorted(LAYERS)
    out = model.norm(model.stem(DATA.normalise(DATA.train.images)))
    torch.testing.assert_close(found["stem"], (out > 0).float().mean((0, 2, 3)))


@pytest.mark.parametrize("inplace", [False, True])
def test_taylor_is_the_size_of_number_times_gradient(inplace):
    model = SimpleCNN(1, 3, 8, widths=(4, 6)).eval()
    model.relu1.inplace = inplace
    found = scores_of(model, "taylor", pictures=120)
    out = model.conv1(DATA.normalise(DATA.train.images)).detach().requires_grad_()
    loss = nn.functional.cross_entropy(model[1:](out.clone()), DATA.train.labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, out)
    expected = (out * gradient).mean((2, 3)).abs().mean(0).detach()
    torch.testing.assert_close(found["conv1"], expected)
    frozen = model.requires_grad_(False)
    torch.testing.assert_close(scores_of(frozen, "taylor", pictures=120)["conv1"], expected)


def test_a_dead_channel_counts_nothing_for_those_that_look_at_pictures():
    model = trained_resnet()
    with torch.no_grad():
        model.stage2[0].norm1.weight[3] = 0
        model.stage2[0].norm1.bias[3] = -1
    for criterion in ("activation", "taylor"):
        found = scores_of(model, criterion)["stage2.0.conv1"]
        assert found[3] == 0 and (found > 0).sum() > 8


def test_random_depends_on_the_seed_only():
    model = toy_resnet()
    first, again, other = (scores_of(model, "random", seed=n) for n in (1, 1, 2))
    assert torch.equal(first["stem"], again["stem"])
    assert not torch.equal(first["stem"], other["stem"])


def test_a_layer_without_a_score_has_its_l1_norm():
    layers = [nn.Conv2d(1, 9, 3), nn.BatchNorm2d(9), nn.Conv2d(9, 9, 3), nn.Conv2d(9, 2, 1)]
    model = nn.Sequential(*layers)
    groups = channel_groups(model, example_input=PICTURES)
    known = importance_of(model, groups, "batch_norm")
    torch.testing.assert_close(known(layers[2].weight, "2"), layers[2].weight.abs().sum((1, 2, 3)))
    assert torch.equal(known(layers[0].weight, "0"), torch.ones(9))


@pytest.mark.parametrize(
    ("criterion", "data", "words"),
    [
        ("batch_norm", None, "needs a BatchNorm"),
        ("taylor", None, "looks at pictures"),
        ("activation", None, "looks at pictures"),
        ("L1", None, "importance='L1'"),
        (["l1"], None, "give one of 'l1'"),
    ],
)
def test_what_a_criterion_lacks(criterion, data, words):
    model = SimpleCNN(1, 3, 8, widths=(9, 9))
    with pytest.raises(CourseError, match=words):
        prune(model, 0.5, importance=criterion, data=data, example_input=PICTURES)


def test_pictures_that_do_not_fit_the_network():
    model = SimpleCNN(1, 5, 8, widths=(16, 16))
    with pytest.raises(CourseError, match=r"5 scores .* 3"):
        prune(model, 0.5, importance="taylor", data=DATA)
