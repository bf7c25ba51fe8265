"""The queue of a study: which candidates are done, which are tried again, which are given up.

Each trial of the queue has a position. A trial is inconclusive if it ends without saying anything
about its candidate: its worker died or was stopped, or the storage did not answer. Then any worker
that sees this queues another trial at the same position. Two workers may do so at once. So of the
trials at one position, the one with the lowest number that is not inconclusive owns the position.
The others are duplicates, and their workers drop them before training. In this way no position is
lost, and none has two results.

Optuna's own `RetryHeartbeatStaleTrialCallback` is not enough here: it retries only trials without a
heartbeat, not those that were stopped, and a trial is lost if the worker that fails it is killed
before it has queued the retry.
"""

from __future__ import annotations

from collections.abc import Iterable

import optuna
from optuna.trial import FrozenTrial, TrialState

from course_utils.search.objective import REASON
from course_utils.search.study import QUEUE_POSITION, in_queue

RETRIES = 3
"""How often a candidate is tried again after its worker died; it may be what kills the workers."""

STOPPED = "the search was stopped"
"""The reason of a trial that was interrupted."""

STORAGE_FAILED = "the storage did not answer"
"""The reason of a trial during which the storage was away."""


def is_inconclusive(trial: FrozenTrial) -> bool:
    """Return whether the trial has ended without saying anything about its candidate.

    A failure with another reason is conclusive: the candidate would fail again.
    """
    reason = trial.user_attrs.get(REASON)
    return trial.state == TrialState.FAIL and reason in (None, STOPPED, STORAGE_FAILED)


def is_duplicate(number: int, trials: Iterable[FrozenTrial]) -> bool:
    """Return whether the trial of this number has no position, or another one owns it."""
    queued = in_queue(trials)
    position = [t.user_attrs[QUEUE_POSITION] for t in queued if t.number == number]
    return not position or any(
        trial.number < number
        and trial.user_attrs[QUEUE_POSITION] == position[0]
        and not is_inconclusive(trial)
        for trial in queued
    )


def given_up(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the last trial at each position that has no result and is not tried again."""
    return [tries[-1] for tries in _open_positions(trials) if _deaths(tries) > RETRIES]


def requeue(study: optuna.Study, trials: Iterable[FrozenTrial]) -> int:
    """Queue the candidates that have no result and no worker; return how many they are.

    A trial that was stopped is queued again without limit; only the others count against `RETRIES`.
    `trials` are those of the study, as the caller has read them.
    """
    lost = [tries[-1] for tries in _open_positions(trials) if _deaths(tries) <= RETRIES]
    for trial in lost:
        # Optuna keeps the values that a trial was queued with under this name.
        candidate = trial.system_attrs.get("fixed_params", {}) | trial.params
        position = {QUEUE_POSITION: trial.user_attrs[QUEUE_POSITION]}
        study.enqueue_trial(candidate, user_attrs=position)
    return len(lost)


def _open_positions(trials: Iterable[FrozenTrial]) -> list[list[FrozenTrial]]:
    """Return the trials of each position at which all are inconclusive, the latest last."""
    tries: dict[int, list[FrozenTrial]] = {}
    for trial in in_queue(trials):
        tries.setdefault(trial.user_attrs[QUEUE_POSITION], []).append(trial)
    return [same for same in tries.values() if all(map(is_inconclusive, same))]


def _deaths(tries: Iterable[FrozenTrial]) -> int:
    return sum(trial.user_attrs.get(REASON) != STOPPED for trial in tries)
