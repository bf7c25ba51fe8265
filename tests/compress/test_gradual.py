from __future__ import annotations

import pytest

from course_utils.compress import (
    NothingToRemove,
    multiply_adds,
    prune,
    prune_gradually,
    prune_to_cost,
    share_for_cost,
)
from course_utils.core import CourseError
from tests.compress.toy_networks import DATA, PICTURES, toy_resnet, widths_of
from tests.toys import same, weights

QUICK = {"epochs": 1, "batch_size": 60, "precision": "float32", "progress": False}


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_all_ways_end_with_the_same_share(rounds, scope):
    model = toy_resnet((16, 24))
    before = weights(model)
    settings = {"rounds": rounds, "fine_tune": QUICK, "scope": scope, "importance": "taylor"}
    pruned = prune_gradually(model, DATA, 0.5, **settings)
    once = prune(model, 0.5, data=DATA, scope=scope)
    if scope == "layer":
        assert widths_of(pruned) == widths_of(once) == [8, 8, 8, 16, 16, 16]
    else:
        assert abs(sum(widths_of(pruned)) - sum(widths_of(once))) <= 16
    assert same(before, weights(model))
    assert pruned(PICTURES).shape == (24, 3)


def test_it_trains_after_each_round():
    epochs = []
    settings = QUICK | {"on_epoch": lambda history: epochs.append(len(history.epoch))}
    prune_gradually(toy_resnet(), DATA, 0.5, rounds=3, fine_tune=settings, divisible_by=1, floor=1)
    assert epochs == [1, 1, 1]
    with pytest.raises(NothingToRemove):
        prune_gradually(toy_resnet((8, 8)), DATA, 0.5, rounds=2, fine_tune=QUICK)
    for wrong in ({"share": 1}, {"share": 0.5, "rounds": 0}):
        with pytest.raises(CourseError):
            prune_gradually(toy_resnet(), DATA, **wrong)


@pytest.mark.parametrize(
    ("cost", "settings"),
    [(0.2, {"scope": "global"}), (0.7, {"divisible_by": 1, "importance": "l2"})],
)
def test_to_a_part_of_the_cost(cost, settings):
    model = toy_resnet((32, 48))
    whole = multiply_adds(model, PICTURES)
    pruned = prune_to_cost(model, cost, example_input=PICTURES, **settings)
    assert multiply_adds(pruned, PICTURES) <= cost * whole
    share = share_for_cost(model, cost, example_input=PICTURES, **settings)
    assert widths_of(prune(model, share, example_input=PICTURES, **settings)) == widths_of(pruned)
    try:
        less = prune(model, share - 0.01, example_input=PICTURES, **settings)
    except NothingToRemove:
        less = model
    assert multiply_adds(less, PICTURES) > cost * whole
    _, report = prune_to_cost(model, cost, data=DATA, return_report=True, **settings)
    assert [now for _, now in report.widths.values()] == widths_of(pruned)


@pytest.mark.parametrize(
    ("cost", "options", "words"),
    [
        (0.001, {"example_input": PICTURES}, "cannot fall to 0%"),
        (1, {"example_input": PICTURES}, "cost=1"),
        (0.5, {}, "give example_input"),
    ],
)
def test_a_cost_that_cannot_be(cost, options, words):
    with pytest.raises(CourseError, match=words):
        prune_to_cost(toy_resnet((16, 24)), cost, **options)
