"""Readings of a study's queue, for all its tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import optuna
from optuna.trial import FrozenTrial, TrialState

from course_utils.search.study import QUEUE_POSITION, in_queue

TRIALS = 5


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 120  # only so that a failure does not hang
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def running(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def complete(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def positions(trials: Iterable[FrozenTrial]) -> list[int]:
    return sorted(trial.user_attrs[QUEUE_POSITION] for trial in trials)


def check_nothing_is_lost_or_doubled(study: optuna.Study, failed: int) -> None:
    assert all(t.state.is_finished() for t in study.get_trials())
    assert positions(complete(study)) == list(range(TRIALS))
    assert [t.state for t in in_queue(study.get_trials())].count(TrialState.FAIL) == failed
