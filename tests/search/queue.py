"""What all tests of a study's queue need."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable

import optuna
from optuna.trial import FrozenTrial, TrialState

from course_utils.search.study import QUEUE_POSITION, in_queue

TRIALS = 5
ENDED = {TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED}


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 120  # only so that a failure does not hang
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def running(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def complete(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def check_nothing_is_lost_or_doubled(study: optuna.Study, failed: int) -> None:
    trials = study.get_trials()
    assert {t.state for t in trials} <= ENDED
    results = [t.user_attrs[QUEUE_POSITION] for t in trials if t.state == TrialState.COMPLETE]
    assert sorted(results) == list(range(TRIALS))
    counts = collections.Counter(t.state for t in in_queue(trials))
    assert counts[TrialState.FAIL] == failed
