"""Trainings of equal length, of a candidate and of the given network."""

from __future__ import annotations

import threading

import pytest
import torch

from course_utils.core.errors import CourseError
from course_utils.metrics.evaluate import evaluate
from course_utils.search.improve import improve
from course_utils.search.records import layer_changes, training_changes
from course_utils.search.side_by_side import SideBySide
from course_utils.training.fit import fit
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data(train=450)  # enough for a schedule to rise and fall in one epoch


@pytest.fixture(scope="module")
def found():
    return improve(toy_model(), DATA, "3 trials", precision="float32")


@pytest.fixture
def side(found):
    return SideBySide(found, DATA, "float32")


def test_the_given_network_is_trained_as_the_article_does(found, side):
    row = side.train(found.start, 2)
    model = found.build(found.start)
    options = {"optimizer": torch.optim.Adam, "learning_rate": 1e-3, "batch_size": 64}
    options |= {"precision": "float32", "seed": found.seed, "progress": False}
    fit(model, DATA, epochs=2, **options)
    assert same(weights(row.model), weights(model))
    assert not row.model.training


def test_a_result_has_the_networks_accuracy_and_changes(found, side):
    one = found.tried[0]
    row = side.train(one, one.epochs)
    result = evaluate(row.model, DATA.validation, mean=DATA.mean, std=DATA.std)
    assert row.accuracy == result.accuracy == one.accuracy
    assert row.interval == result.interval()
    assert row.parameters == sum(p.numel() for p in row.model.parameters())
    layers, training = layer_changes(found, one), training_changes(one.params)
    assert layers["0"]["out_channels"] == (6, one.params["0.out_channels"])
    assert training["learning_rate"] == (1e-3, one.params["learning_rate"])
    assert "batch_size" not in training


def test_what_is_missing(found, side):
    one, stop = found.tried[0], threading.Event()
    stop.set()
    assert side.train(one, 1, stop=stop) is None
    assert side.missing(one, 1) == [one, found.start]
    side.train(one, 1)
    assert side.missing(one, 1) == [found.start]
    side.train(found.start, 1)
    assert side.missing(one, 1) == [] and side.missing(one, 2) == [one, found.start]
    assert side.missing(found.tried[1], 1) == [found.tried[1]]


def test_the_test_pictures_are_asked_once(found, side):
    with pytest.raises(CourseError, match="Nothing has been trained"):
        side.evaluate()
    side.train(found.start, 1)
    first = side.evaluate()
    side.train(found.tried[0], 1)
    both = side.evaluate()
    assert list(both) == [(0, 1), (1, 1)] and both[0, 1] is first[0, 1]
