"""What all tests of a study's queue ask of it."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable

import optuna
from optuna.trial import TrialState

from course_utils.search.cluster.queue import SLOT, with_slot

TRIALS = 5
ENDED = {TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED}


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def running(study: optuna.Study) -> list:
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def complete(study: optuna.Study) -> list:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def check_nothing_is_lost_or_doubled(study: optuna.Study, failed: int) -> None:
    trials = study.get_trials()
    assert {t.state for t in trials} <= ENDED
    results = [t.user_attrs[SLOT] for t in trials if t.state == TrialState.COMPLETE]
    assert sorted(results) == list(range(TRIALS))
    counts = collections.Counter(t.state for t in with_slot(trials))
    assert counts[TrialState.FAIL] == failed
