"""One worker: takes trials from a study's queue until none is left.

Any number of workers may serve one study, on one machine or on many. A worker that is killed loses
nothing: its trial falls silent, is failed, and queued again, by whichever worker sees it first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from course_utils.devices import one_thread
from course_utils.search.objective import Interrupted, Objective
from course_utils.search.studies import SLOT, quiet

POLL = 0.5
"""Seconds between two looks at trials that others are working on."""


def work(
    study: optuna.Study,
    objective: Objective,
    storage: RDBStorage | None = None,
    *,
    until: Callable[[], bool] | None = None,
    on_trial: Callable[[FrozenTrial], None] | None = None,
) -> int:
    """Try candidates, with one thread, until the queue is empty and nobody is at work any more.

    While others are at work, one of them may be killed, and its trial comes back into the queue;
    so a worker waits for them. When the objective's `stop` is set, it ends at once; a trial that
    is interrupted goes back into the queue.

    Args:
        storage: where the study is kept; None for the memory of this process.
        until: asked before each trial; true ends the work.
        on_trial: called with each trial of this worker when it has ended.

    Returns:
        How many trials this worker has ended.
    """
    done, seen = 0, set[int]()
    stop = objective.stop or threading.Event()
    with one_thread(), quiet():
        while not (stop.is_set() or (until is not None and until())):
            if study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
                trial = _one(study, objective)
                if trial is None:
                    continue
                done += 1
                if on_trial is not None:
                    on_trial(trial)
            elif storage is None or not _others_at_work(study, storage, seen):
                break
            else:
                stop.wait(POLL)
    return done


def _one(study: optuna.Study, objective: Objective) -> FrozenTrial | None:
    """Run one trial; None if it was interrupted, or is nobody's any more."""
    number, interrupted, superfluous = -1, False, False

    def run(trial: optuna.Trial):
        nonlocal number, interrupted, superfluous
        number = trial.number
        if SLOT not in trial.user_attrs:  # another worker was quicker to take the last of the queue
            superfluous = True
            raise optuna.TrialPruned("the queue was empty")
        try:
            return objective(trial)
        except Interrupted:
            interrupted = True
            raise

    try:
        # One that fails is recorded with its reason; the next may well work.
        study.optimize(run, n_trials=1, catch=(Exception,))
    except (optuna.exceptions.UpdateFinishedTrialError, ValueError):
        # Optuna refuses the result of a trial that was taken for dead: it is tried again elsewhere.
        if not any(t.number == number and t.state.is_finished() for t in study.get_trials()):
            raise
        return None
    trial = next(t for t in reversed(study.get_trials(deepcopy=False)) if t.number == number)
    if interrupted:
        RetryHeartbeatStaleTrialCallback()(study, trial)
    return None if interrupted or superfluous else trial


def _others_at_work(study: optuna.Study, storage: RDBStorage, seen: set[int]) -> bool:
    """Whether some trial is running; those that have been silent too long are queued again."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    study_id = storage.get_study_id_from_name(study.study_name)
    for trial in running:
        if trial.number not in seen:
            # A worker killed between taking a trial and its first sign of life leaves one that
            # Optuna would never miss. So everybody who waits gives one sign for it.
            seen.add(trial.number)
            storage.record_heartbeat(
                storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            )
    optuna.storages.fail_stale_trials(study)
    return bool(running)
