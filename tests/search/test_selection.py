"""The first candidates of `improve`, those of the next round, and the winner."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.search import SearchSpace, Tried
from course_utils.search.presets import PROVEN, space_for
from course_utils.search.rounds import EPOCHS
from course_utils.search.selection import augmentation_for, first_candidates, ranked, winner
from tests.toys import toy_model


def tried(number, accuracy, cost=100, round=1):
    return Tried(number, round, 2, {}, accuracy, cost)


def test_the_most_accurate_take_turns_with_the_most_accurate_of_the_cheap():
    results = [(0.90, 100), (0.89, 50), (0.895, 120), (None, None), (0.5, 10), (0.5, 20)]
    some = [tried(number, *result) for number, result in enumerate(results, 1)]
    assert [one.number for one in ranked(some, cheap_cost=50)] == [1, 2, 3, 5, 6]
    assert [one.number for one in ranked(some, cheap_cost=9)] == [1, 3, 2, 5, 6]
    assert ranked([], cheap_cost=50) == []


def test_it_begins_with_the_same_layers_narrower_wider_and_deeper():
    model = toy_model()
    first = first_candidates(model, space_for(model, torch.zeros(2, 1, 8, 8)))
    sizes = [(one["0.out_channels"], one["0.depth"], one["0.kernel_size"]) for one in first]
    assert sizes == [(6, 1, 3), (4, 1, 3), (3, 1, 3), (12, 1, 3), (6, 2, 3), (3, 2, 3)]
    space = SearchSpace({"0.out_channels": range(2, 11, 4)})
    widths = [values["0.out_channels"] for values in first_candidates(toy_model(), space)]
    assert widths == [6, 2, 10]  # 0.7 and 0.5 of 6 are both 2; 12 is too wide


def test_it_begins_with_what_the_space_has():
    rate = PROVEN["learning_rate"]
    space = SearchSpace({"0.out_channels": [6, 12], "learning_rate": [0.1, rate]})
    first = first_candidates(toy_model(), space)
    assert first == [{"0.out_channels": width, "learning_rate": rate} for width in (6, 12)]
    assert first_candidates(toy_model(), SearchSpace({"augment": ["none"]})) == [{}]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["none", "flip", "crop"], ["none", "none", "crop", "none", "none", "flip"]),
        (["crop", "flip", "none"], ["none", "none", "crop", "none", "none", "flip"]),
        (["flip"], ["flip"] * 6),
    ],
)
def test_augmentations_grow_from_weak_to_strong(names, chosen):
    space, rounds = SearchSpace({"augment": names}), list(itertools.product((False, True), EPOCHS))
    assert [augmentation_for(space, n, cheap)["augment"] for cheap, n in rounds] == chosen
    assert augmentation_for(SearchSpace({"0.groups": [1]}), 3) == {}


START = tried(0, 0.5)


def test_of_candidates_within_one_standard_error_the_longest_training_wins():
    # One standard error of 90 % on 1,000 pictures is 0.95 points.
    short, long, longer = tried(1, 0.900), tried(2, 0.891, round=3), tried(3, 0.894, round=3)
    assert winner([short, long], START, 1000) is long
    assert winner([short, long, longer], START, 1000) is longer
    assert winner([short, tried(2, 0.890, round=3)], START, 1000) is short
    assert winner([short, tried(2, 0.891, round=3)], START, 2000) is short


def test_a_candidate_that_is_not_better_than_the_given_network_does_not_win():
    failed = tried(1, None)
    assert winner([], START, 100) is START
    assert winner([failed, tried(2, 0.5), tried(3, 0.4, round=3)], START, 100) is START
    better = tried(4, 0.51)
    assert winner([failed, tried(3, 0.5, round=3), better], START, 100) is better


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from([1, 1, 2, 3]), st.none() | st.integers(40, 100)), max_size=9)
)
def test_the_winner_is_the_new_candidate_or_the_one_before(some):
    """So of all trained networks `improve` needs to keep one only."""
    some.sort(key=lambda one: one[0])  # rounds follow each other
    every = [
        tried(number, accuracy and accuracy / 100, round=number_of_round)
        for number, (number_of_round, accuracy) in enumerate(some, start=1)
    ]
    before = START
    for count, new in enumerate(every, start=1):
        now = winner(every[:count], START, 400)
        assert now in (before, new)
        before = now
