from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from course_utils.core import CourseError
from course_utils.data import Dataset
from course_utils.metrics import evaluate
from course_utils.training import (
    cross_validated,
    features,
    fine_tune,
    fit,
    for_network,
    frozen,
    last_linear,
    linear_head,
    neighbours,
    parts_of,
    with_head,
)
from tests.toys import same, stripes, toy_card, toy_data, toy_model, weights

CARD = toy_card()  # colour pictures of 16 × 16 pixels


def network(classes: int = 4) -> nn.Module:
    """A network of three parts with BatchNorm and dropout, for colour pictures of any size."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 12, 3, stride=2), nn.BatchNorm2d(12), nn.ReLU()),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(48, classes),
    )


DATA = for_network(toy_data(train=90, size=8), CARD, size=16)
QUICK = {"precision": "float32", "progress": False, "batch_size": 16}


def test_pictures_as_the_network_takes_them():
    assert DATA.image_shape == (3, 16, 16) and str(DATA.title) == "Stripes"
    assert torch.equal(DATA.mean, CARD.mean) and torch.equal(DATA.std, CARD.std)
    assert (DATA.train.images[:, 0] == DATA.train.images[:, 2]).all()
    with pytest.raises(CourseError, match="2 channels, but toy takes 3"):
        for_network(toy_data(channels=2), CARD)


def test_features_are_what_the_classifier_takes_and_nothing_moves():
    model = network().train()
    before = weights(model)
    found = features(model, DATA.train.images, card=CARD, size=16, batch_size=7)
    assert found.shape == (90, 48) and not found.requires_grad
    assert model.training and same(before, weights(model)) and not model[5]._forward_pre_hooks
    with torch.no_grad():
        wanted = model.eval()[:5](DATA.normalise(DATA.train.images))
    assert torch.allclose(found, wanted, atol=1e-5)
    grey = toy_data(train=90, size=8).train.images  # made larger and coloured on the way
    assert torch.allclose(features(model, grey, card=CARD, size=16), found, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_is_the_logistic_regression_of_scikit_learn(classes):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    found = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)) * 3 + 5
    labels = torch.arange(40) % classes
    found[labels == 1, 2] += 4
    head = linear_head(found, labels, strength=0.1)
    scaled = StandardScaler().fit_transform(found)
    wanted = LogisticRegression(C=0.1, max_iter=2000).fit(scaled, labels).predict_proba(scaled)
    assert torch.allclose(head(found).softmax(1).double(), torch.tensor(wanted), atol=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": torch.zeros(6, dtype=torch.int64)}, "no picture of class 1"),
        ({"labels": torch.tensor([0, 1, 3, 0, 1, 3])}, "no picture of class 2"),
        ({"classes": 4}, "no picture of class 3"),
        ({"labels": torch.tensor([0, 1])}, "one row of features for each label"),
        ({"found": torch.full((6, 2), float("nan"))}, "nan"),
        ({"strength": 0}, "strength=0"),
    ],
)
def test_features_that_no_head_fits(change, words):
    given = {"found": torch.rand(6, 2), "labels": torch.tensor([0, 1, 2] * 2)} | change
    with pytest.raises(CourseError, match=words):
        linear_head(given.pop("found"), given.pop("labels"), **given)


def test_frozen_features_and_a_head_make_a_network_that_classifies():
    model = network()
    before = weights(model)
    found = features(model, DATA.train.images, card=CARD, size=16)
    new = with_head(model, linear_head(found, DATA.train.labels, strength=1.0))
    result = evaluate(new, DATA.test, mean=DATA.mean, std=DATA.std)
    assert result.accuracy > 0.8 and new[5].out_features == 3
    assert same(before, weights(model)) and not new.training


def test_a_new_head_has_the_weights_of_its_seed():
    one, again, other = (with_head(network(), 7, seed=s)[5].weight for s in (1, 1, 2))
    assert one.shape == (7, 48) and torch.equal(one, again) and not torch.equal(one, other)
    with pytest.raises(CourseError, match="takes 5 features, but the network has 48"):
        with_head(network(), nn.Linear(5, 2))
    with pytest.raises(CourseError, match="no linear layer"):
        last_linear(nn.Sequential(nn.Conv2d(3, 4, 1)))


def test_without_gradients_batch_norm_moves_all_the_same_and_frozen_stops_it():
    """The article freezes the parameters only."""

    def moved(around) -> bool:
        model = with_head(network(), 3)
        for parameter in model[0].parameters():
            parameter.requires_grad_(False)
        before = weights(model[0])
        with around(model[0]):
            fit(model, DATA, epochs=1, **QUICK)
            assert not model[0][0].weight.requires_grad
        return not same(before, weights(model[0]))

    assert moved(frozen) is False
    assert moved(lambda part: frozen(nn.Identity())) is True


def test_frozen_ends_with_its_block_and_keeps_what_was_frozen_before():
    model = network()
    model[1][0].weight.requires_grad_(False)
    with pytest.raises(KeyError), frozen(model[0], model[1]):
        model.train()
        model(torch.rand(2, 3, 8, 8))
        modes = [model[i].training for i in (0, 1, 4)]
        assert modes == [False, False, True] and not model[0][1].training
        raise KeyError
    asked = [p.requires_grad for p in model[1].parameters()]
    assert asked == [False, True, True, True] and model[0][0].weight.requires_grad
    assert not any(m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("trained", [1, 2, None])
def test_fine_tuning_changes_the_last_parts_and_the_early_ones_less(trained):
    model = with_head(network(), 3)
    before, seen = copy.deepcopy(model), []

    def look(history):
        seen.append(len(history.epoch))

    history = fine_tune(
        model,
        DATA,
        trained=trained,
        epochs=6,
        decay=0.2,
        learning_rate=0.02,
        on_epoch=look,
        **QUICK,
    )
    assert history.train_loss[-1] < history.train_loss[0] and seen == [1, 2, 3, 4, 5, 6]
    unchanged = [same(weights(a), weights(b)) for a, b in zip(before, model, strict=True)]
    assert unchanged[:2] == {1: [True, True], 2: [True, False], None: [False, False]}[trained]
    assert all(p.requires_grad for p in model.parameters())
    if trained is None:
        steps = [(a - b).abs().max() for a, b in zip(*map(_filters, (before, model)), strict=True)]
        assert steps[0] < steps[1]


def _filters(model):
    return model[0][0].weight, model[1][0].weight


def test_parts_of_a_wrapped_network():
    names = ["0", "1", "5"]
    assert list(parts_of(network())) == names
    wrapped = nn.Sequential(nn.Identity(), network())
    assert list(parts_of(wrapped)) == [f"1.{name}" for name in names]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trained": 4}, "trained=4"),
        ({"decay": 0}, "decay=0"),
        ({"learning_rate": -1}, "learning_rate=-1"),
        ({"optimizer": torch.optim.SGD}, "its own optimizer"),
    ],
)
def test_impossible_settings(change, words):
    model = network()
    with pytest.raises(CourseError, match=words):
        fine_tune(model, DATA, **change)
    assert all(p.requires_grad for p in model.parameters())


def test_a_checkpoint_of_other_statistics_is_another_training(tmp_path):
    path = tmp_path / "a.pt"
    fit(network(3), DATA, epochs=1, checkpoint=path, **QUICK)
    other = Dataset(
        "a", "A", DATA.train, DATA.validation, DATA.test, "memory", (CARD.std, CARD.std)
    )
    with pytest.raises(CourseError, match="other normalisation"):
        fit(network(3), other, epochs=2, checkpoint=path, resume=True, **QUICK)


def test_neighbours_point_the_same_way():
    pool = torch.tensor([[1.0, 0.0], [0.0, 2.0], [5.0, 5.0], [-1.0, 0.0]])
    assert neighbours(torch.tensor([[9.0, 1.0]]), pool, 3).tolist() == [[0, 2, 1]]
    for query, count, words in ((torch.rand(1, 3), 1, "same features"), (pool, 5, "count=5")):
        with pytest.raises(CourseError, match=words):
            neighbours(query, pool, count)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.rand(2, 3, 8, 8), "uint8 .* not float32"),
        (stripes(2).images[0], "not uint8 of shape"),
        (stripes(2).images[:0], "no picture"),
        ([1], "not a list"),
    ],
)
def test_pictures_without_features(images, words):
    with pytest.raises(CourseError, match=words):
        features(network(), images, card=CARD, size=16)


def test_a_layer_that_is_never_or_often_called():
    never, twice = network(), network()
    never[5] = nn.Identity()
    never.unused = nn.Linear(2, 2)
    never.forward = lambda x: never[:5](x)
    twice[5] = nn.Linear(48, 48)
    twice.append(twice[5])
    for model, times in ((never, 0), (twice, 2)):
        with pytest.raises(CourseError, match=f"last linear layer {times} times"):
            features(model, DATA.train.images, card=CARD, size=16)
        assert not any(m._forward_pre_hooks for m in model.modules())


def test_toy_models_keep_working_as_teachers_of_features():
    found = features(toy_model(3), DATA.train.images, card=CARD, size=8)
    assert found.shape == (90, 96)


def test_each_picture_is_judged_by_a_head_that_has_not_seen_it():
    # Each picture has a feature of its own, which a head that had seen it would use.
    labels = torch.arange(24) % 3
    own = 50 * torch.eye(24)
    wrong = (cross_validated(own, labels, folds=4) != labels).sum()
    assert wrong > 8 and (linear_head(own, labels)(own).argmax(1) == labels).all()
    telling = torch.cat([own, 50.0 * torch.nn.functional.one_hot(labels)], 1)
    assert (cross_validated(telling, labels, folds=2) == labels).all()
    same_seed, other = (cross_validated(own, labels, seed=seed) for seed in (0, 5))
    assert torch.equal(same_seed, cross_validated(own, labels)) and not torch.equal(
        same_seed, other
    )


@pytest.mark.parametrize(
    ("labels", "folds", "words"),
    [
        ([0, 0, 1], 2, "Class 1 has 1 picture, but 2 folds"),
        ([0, 0, 2, 2], 2, "Class 1 has 0 pictures"),
        ([0, 0, 1, 1], 3, "Class 0 has 2 pictures, but 3 folds"),
        ([0, 0, 0], 2, "two or more classes"),
        ([0, 0, 1, 1], 1, "folds"),
        ([0, 0, 1, 1, 1], 2, "one row of features for each label"),
    ],
)
def test_too_few_pictures_to_judge_each(labels, folds, words):
    found = torch.randn(min(4, len(labels)), 6)
    with pytest.raises(CourseError, match=words):
        cross_validated(found, torch.tensor(labels), folds=folds)
