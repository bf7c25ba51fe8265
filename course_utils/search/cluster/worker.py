"""One worker: takes trials from a study's queue until none is left.

Any number of workers may serve one study, on one machine or on many. A worker that is killed loses
nothing: its trial falls silent, is failed, and queued again, by whichever worker sees it first.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from course_utils.core import one_thread
from course_utils.search.cluster.fingerprint import check_same
from course_utils.search.cluster.queue import (
    SLOT,
    STUMBLED,
    is_superfluous,
    left_open,
    requeue,
)
from course_utils.search.cluster.storage import GONE
from course_utils.search.objective import REASON, STOPPED, Interrupted, Objective
from course_utils.search.study import quiet, unwarned

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
    so a worker waits for them. When the objective's `stop` is set, or the kernel is interrupted, it
    ends at once; a trial that is interrupted goes back into the queue.

    Args:
        storage: where the study is kept; None for the memory of this process.
        until: asked before each trial; true ends the work.
        on_trial: called with each trial of this worker when it has ended.

    Returns:
        How many trials this worker has ended.

    Raises:
        CourseError: the study was begun with another network or other pictures.
    """
    check_same(study, objective)
    done, seen = 0, set[int]()
    stop = objective.stop or threading.Event()
    with one_thread():
        while not (stop.is_set() or (until is not None and until())):
            trials = study.get_trials(deepcopy=False)
            states = {trial.state for trial in trials}
            if TrialState.WAITING in states:
                trial = _one(study, objective)
                if trial is None:
                    continue
                done += 1
                if on_trial is not None:
                    on_trial(trial)
            elif requeue(study, trials):
                continue
            elif storage is not None and TrialState.RUNNING in states:
                _fail_the_silent(study, storage, seen)
                stop.wait(POLL)
            else:
                break
    return done


class _Superfluous(Exception):
    """Another trial has the place in the queue."""


def _one(study: optuna.Study, objective: Objective) -> FrozenTrial | None:
    """Run one trial; None if it ended without a result and is queued again, or is superfluous."""
    taken: optuna.Trial | None = None

    def run(trial: optuna.Trial):
        nonlocal taken
        taken = trial
        try:
            # Another worker may have been quicker to take the last of the queue, or have queued
            # the same slot at the same time.
            if is_superfluous(trial.number, study.get_trials(deepcopy=False)):
                trial.set_user_attr(SLOT, None)
                raise _Superfluous
            return objective(trial)
        except _Superfluous:
            raise
        except optuna.TrialPruned:
            raise
        except (Interrupted, KeyboardInterrupt):
            _note(trial, STOPPED)
            raise
        except GONE:
            _note(trial, STUMBLED)
            raise
        except Exception as error:  # recorded with its reason; the next may well work
            if REASON not in trial.user_attrs:
                _note(trial, f"{type(error).__name__}: {error}")
            raise

    try:
        with quiet():  # Optuna would log the traceback of each trial that is stopped
            study.optimize(run, n_trials=1, catch=(Exception,))
    except (Exception, KeyboardInterrupt) as error:
        # Interrupted while it writes a result, Optuna stumbles over that in its turn.
        if any(isinstance(e, KeyboardInterrupt) for e in (error, error.__context__)):
            if taken is not None:
                _note(taken, STOPPED)
                study.tell(taken.number, state=TrialState.FAIL, skip_if_finished=True)
            requeue(study, study.get_trials(deepcopy=False))
            raise KeyboardInterrupt from None
        # Optuna refuses the result of a trial that was taken for dead: it is tried again elsewhere.
        if taken is None or _find(study, taken.number).state != TrialState.FAIL:
            raise
        return None
    trial = _find(study, taken.number)
    if left_open(trial):
        requeue(study, study.get_trials(deepcopy=False))
        return None
    return None if trial.user_attrs.get(SLOT) is None else trial


def _find(study: optuna.Study, number: int) -> FrozenTrial:
    return next(t for t in study.get_trials(deepcopy=False) if t.number == number)


def _note(trial: optuna.Trial, reason: str) -> None:
    """Say why the trial has no result, if the storage hears it and the trial is not over yet."""
    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError, *GONE):
        trial.set_user_attr(REASON, reason)


def _fail_the_silent(study: optuna.Study, storage: RDBStorage, seen: set[int]) -> None:
    """End the trials that have been silent for too long."""
    study_id = storage.get_study_id_from_name(study.study_name)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.number not in seen:
            # A worker killed between taking a trial and its first sign of life leaves one that
            # Optuna would never miss. So everybody who waits gives one sign for it, which must not
            # be lost.
            RDBStorage.record_heartbeat(
                storage, storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            )
            seen.add(trial.number)
    with unwarned():
        optuna.storages.fail_stale_trials(study)
