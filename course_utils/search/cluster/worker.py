"""One worker: it takes trials from a study's queue until none is left.

Any number of workers may serve one study, on one machine or on many. A worker that is killed loses
nothing: its trial sends no more heartbeats, so the next worker that looks fails it and queues its
candidate again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from course_utils.core import error_line, one_thread
from course_utils.search.cluster.fingerprint import check_fingerprint
from course_utils.search.cluster.queue import (
    STOPPED,
    STORAGE_FAILED,
    is_duplicate,
    is_inconclusive,
    requeue,
)
from course_utils.search.cluster.storage import STORAGE_ERRORS
from course_utils.search.objective import REASON, Interrupted, Objective
from course_utils.search.study import QUEUE_POSITION, quiet, without_warnings

POLL = 0.5
"""Seconds between two looks at trials that other workers have."""


def work(
    study: optuna.Study,
    objective: Objective,
    storage: RDBStorage | None = None,
    *,
    until: Callable[[], bool] | None = None,
    on_trial: Callable[[FrozenTrial], None] | None = None,
) -> int:
    """Try candidates, with one thread, until the queue is empty and no other worker has a trial.

    Another worker may be killed, and then its trial comes back into the queue. So a worker waits
    for the others. When the objective's `stop` is set, or the kernel is interrupted, it ends at
    once; a trial that is interrupted goes back into the queue.

    Args:
        storage: where the study is kept; None for the memory of this process.
        until: called before each trial; if it returns true, the work ends.
        on_trial: called with each trial of this worker that has ended with a result.

    Returns:
        How many trials this worker has done.

    Raises:
        CourseError: the study was begun with another network or other pictures.
    """
    check_fingerprint(study, objective)
    done, heard = 0, set[int]()
    stop = objective.stop or threading.Event()
    with one_thread():
        while not (stop.is_set() or (until is not None and until())):
            trials = study.get_trials(deepcopy=False)
            states = {trial.state for trial in trials}
            if TrialState.WAITING in states:
                if (trial := _run_one(study, objective)) is not None:
                    done += 1
                    if on_trial is not None:
                        on_trial(trial)
            elif requeue(study, trials):
                continue
            elif storage is not None and TrialState.RUNNING in states:
                _fail_silent_trials(study, storage, heard)
                stop.wait(POLL)
            else:
                break
    return done


class _Duplicate(Exception):
    """Another trial owns the position in the queue."""


def _run_one(study: optuna.Study, objective: Objective) -> FrozenTrial | None:
    """Run one trial; return None if it was a duplicate, or inconclusive and queued again."""
    taken: optuna.Trial | None = None

    def run(trial: optuna.Trial) -> float | tuple[float, float]:
        nonlocal taken
        taken = trial
        try:
            # Another worker may have taken the last waiting trial a moment ago, or have queued the
            # same candidate at the same time.
            if is_duplicate(trial.number, study.get_trials(deepcopy=False)):
                trial.set_user_attr(QUEUE_POSITION, None)
                raise _Duplicate
            return objective(trial)
        except (_Duplicate, optuna.TrialPruned):
            raise
        except (Interrupted, KeyboardInterrupt):
            _set_reason(trial, STOPPED)
            raise
        except STORAGE_ERRORS:
            _set_reason(trial, STORAGE_FAILED)
            raise
        except Exception as error:  # the next candidate may work
            _set_reason(trial, error_line(error))
            raise

    try:
        with quiet():  # Optuna would log the traceback of each trial that is stopped
            # Optuna takes the next waiting trial here, or draws one if none waits.
            study.optimize(run, n_trials=1, catch=(Exception,))
    except (Exception, KeyboardInterrupt) as error:
        # An interruption while a result is written may reach us as the context of another error.
        if any(isinstance(e, KeyboardInterrupt) for e in (error, error.__context__)):
            if taken is not None:
                _set_reason(taken, STOPPED)
                study.tell(taken.number, state=TrialState.FAIL, skip_if_finished=True)
            requeue(study, study.get_trials(deepcopy=False))
            raise KeyboardInterrupt from None
        # Optuna refuses the result of a trial that was failed as silent: another worker has it now.
        if taken is None or _find(study, taken.number).state != TrialState.FAIL:
            raise
        return None
    trial = _find(study, taken.number)
    if is_inconclusive(trial):
        requeue(study, study.get_trials(deepcopy=False))
        return None
    return None if trial.user_attrs.get(QUEUE_POSITION) is None else trial


def _find(study: optuna.Study, number: int) -> FrozenTrial:
    return next(t for t in study.get_trials(deepcopy=False) if t.number == number)


def _set_reason(trial: optuna.Trial, reason: str) -> None:
    """Keep why the trial has no result, if the storage answers and the trial is not over yet."""
    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError, *STORAGE_ERRORS):
        trial.set_user_attr(REASON, reason)


def _fail_silent_trials(study: optuna.Study, storage: RDBStorage, heard: set[int]) -> None:
    """Fail the running trials that have sent no heartbeat for too long.

    The numbers of those that this worker sends a heartbeat for are added to `heard`.
    """
    study_id = storage.get_study_id_from_name(study.study_name)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.number not in heard:
            # Optuna never fails a trial without any heartbeat, which a worker leaves that is killed
            # just after it has taken the trial. So every worker that waits sends one heartbeat for
            # it, by the method of Optuna's class, which raises an error if it fails.
            RDBStorage.record_heartbeat(
                storage, storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            )
            heard.add(trial.number)
    with without_warnings():
        optuna.storages.fail_stale_trials(study)
