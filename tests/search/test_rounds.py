"""Rounds: who is trained for how long, and who is too slow."""

from __future__ import annotations

import optuna
import pytest

from course_utils.search import Budget, Tried
from course_utils.search.rounds import EPOCHS, MIN_STEPS, Rounds
from course_utils.training import SCHEDULES, schedule_curve

ROUNDS = Rounds(Budget(seconds=30))  # the rounds end after 7.5, 12 and 30 s


def paced(seconds: float) -> Tried:
    """A candidate that took so many seconds for each epoch."""
    return Tried(1, 1, 2, {}, 0.5, 100, seconds=2 * seconds)


def test_a_round_ends_with_its_share_of_the_budget():
    for number, end in ((1, 7.5), (2, 12), (3, 30)):
        assert not ROUNDS.is_over(number, end - 0.1, 1000) and ROUNDS.is_over(number, end, 0)
    trials = Rounds(Budget(trials=10, seconds=1))  # here the seconds are only a limit
    for number, end in ((1, 7), (2, 9), (3, 10)):
        assert not trials.is_over(number, 1000.0, end - 1) and trials.is_over(number, 0.0, end)


def test_the_first_two_of_the_second_round_may_use_time_of_the_last_one():
    for before in (0, 1):
        assert ROUNDS.epochs(2, paced(4.9), 0.0, before=before) == 6
        assert ROUNDS.epochs(2, paced(5.1), 0.0, before=before) == 0
    assert ROUNDS.epochs(2, paced(1.9), 0.0, before=2) == 6
    assert ROUNDS.epochs(2, paced(2.1), 0.0, before=2) == 0


def test_the_last_round_trains_for_as_many_epochs_as_there_is_time_for():
    for seconds, epochs in ((0.59, 30), (0.71, 25), (0.89, 20), (0.91, 0)):
        assert ROUNDS.epochs(3, paced(seconds), 12.0) == epochs
    # Of 18 s the next one needs 1.2 · 20 · 0.1 = 2.4; the 4.8 s of a slower one would be too much.
    assert ROUNDS.epochs(3, paced(0.71), 12.0, second=paced(0.1)) == 21
    assert ROUNDS.epochs(3, paced(0.71), 12.0, second=paced(0.2)) == 25
    assert ROUNDS.epochs(3, paced(0.51), 19.5) == 20
    assert ROUNDS.epochs(3, paced(0.51), 20.0) == 0
    for number in (2, 3):  # a budget in trials leaves each of them all its epochs
        assert (
            Rounds(Budget(trials=3, seconds=1)).epochs(number, paced(1000.0), 0.0) == EPOCHS[number]
        )


def test_a_candidate_that_is_too_slow_for_the_last_round_is_pruned():
    # An epoch is one step; 20 epochs fit into 18 s if one takes at most 0.9 s.
    ROUNDS.check_pace(paced(0.1), first_step=0.3, step=1.09, steps=1)
    with pytest.raises(optuna.TrialPruned, match=r"0\.9 s, too long for 20 of them in the 18 s"):
        ROUNDS.check_pace(paced(0.1), first_step=0.3, step=1.11, steps=1)
    Rounds(Budget(trials=3, seconds=1)).check_pace(paced(0.1), first_step=0.3, step=100.0, steps=1)
    # One that is not much slower than the network itself is kept in any case.
    with pytest.raises(optuna.TrialPruned, match="too long"):
        ROUNDS.check_pace(paced(0.9), first_step=0.3, step=0.46, steps=1)
    ROUNDS.check_pace(paced(0.9), first_step=0.3, step=0.44, steps=1)


def test_every_schedule_of_the_course_can_be_made_in_the_shortest_training():
    for schedule in SCHEDULES.values():
        assert len(schedule_curve(schedule, MIN_STEPS)) == MIN_STEPS


@pytest.mark.parametrize(
    ("pictures", "batch_size", "factor"),
    [(1, 64, 4), (60, 64, 4), (65, 64, 4), (66, 64, 2), (199, 64, 1), (200, 256, 4)],
)
def test_few_pictures_are_seen_more_often(pictures, batch_size, factor):
    """A last batch of one picture does not count, because `fit` may leave it out."""
    rounds = Rounds.of(Budget(trials=3), pictures, batch_size)
    assert rounds.epochs(2, paced(1.0), 0.0) == 6 * factor
    in_seconds = Rounds.of(Budget(seconds=30), pictures, batch_size)
    assert in_seconds.epochs(3, paced(0.01), 12.0) == 30 * factor
    assert in_seconds.epochs(3, paced(18 / (20 * factor - 1)), 12.0) == 0
