"""Studies: created once with a queue of trials, then opened by any number of workers.

A budget of n trials is a queue of n waiting trials in the storage. Workers take one at a time, so
together they try exactly n candidates. A worker that finds the queue empty ends.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from course_utils.core import CourseError, mixed_seed, whole_number
from course_utils.search.methods import PRUNERS, make_sampler
from course_utils.search.objective import REASON
from course_utils.search.pareto import not_dominated
from course_utils.search.plan import LARGEST_SEED, OBJECTIVES, Plan

if TYPE_CHECKING:
    import pandas

QUEUE_POSITION = "slot"  # the name under which stored studies have it
"""The trial's attribute with its place in the queue, from 0; None or missing if it has none."""

_PLAN, _READY = "plan", "ready"


def create_study(
    plan: Plan, name: str | None = None, storage: BaseStorage | None = None
) -> optuna.Study:
    """Create the study of a plan, with its queue, or open the one that exists already.

    Args:
        storage: where it is kept; None for the memory of this process.

    Raises:
        CourseError: a study of this name exists and has another plan.
    """
    options = {
        "sampler": make_sampler(plan.method, plan.seed, plan.trials),
        "pruner": PRUNERS[plan.pruner](plan.epochs),
        "directions": [OBJECTIVES[objective] for objective in plan.objectives],
    }
    with quiet():
        try:
            study = optuna.create_study(study_name=name, storage=storage, **options)
        except optuna.exceptions.DuplicatedStudyError:
            study = open_study(name, storage, seed=plan.seed)
            if differences := plan_of(study).differences(plan):
                raise CourseError(
                    f"There is a study {name!r} already, and its {' and '.join(differences)} "
                    "differ from yours: results of the two cannot be compared. Take another name, "
                    "or the old plan to go on with that study."
                ) from None
            return study
        study.set_user_attr(_PLAN, plan.to_json())
        points = [{}] * plan.trials
        if plan.method == "grid":
            points = plan.space.grid(plan.trials)
            # In the grid's own order the first third has only the lowest value of the first name.
            random.Random(plan.seed).shuffle(points)
        for position, point in enumerate(points):
            study.enqueue_trial(point, user_attrs={QUEUE_POSITION: position})
        study.set_user_attr(_READY, True)
    return study


def open_study(name: str, storage: BaseStorage | None, *, seed: int | None = None) -> optuna.Study:
    """Open an existing study, with the sampler and the pruner of its plan.

    Args:
        seed: of the sampler. It is mixed with the number of trials so far, so that a sampler that
            goes on does not draw the same numbers again. None for a random seed.

    Raises:
        CourseError: there is no study of this name, it was not made by `create_study`, or the seed
            is not a whole number from 0 up.
    """
    if seed is not None:
        seed = whole_number("seed", seed, 0, LARGEST_SEED)
    with quiet():
        try:
            study = optuna.load_study(study_name=name, storage=storage)
        except KeyError:
            known = ", ".join(sorted(optuna.get_all_study_names(storage))[:8]) or "none"
            raise CourseError(
                f"There is no study {name!r} in this storage; it has: {known}."
            ) from None
        if not study.user_attrs.get(_READY):
            raise CourseError(
                f"The study {name!r} was not made by this course, or its making was interrupted: "
                "take another name."
            )
        plan = plan_of(study)
        begun = sum(t.state != TrialState.WAITING for t in study.get_trials(deepcopy=False))
        if seed is not None and begun:
            seed = mixed_seed(seed, begun, bits=32)
        study.sampler = make_sampler(plan.method, seed, plan.trials)
        study.pruner = PRUNERS[plan.pruner](plan.epochs)
    return study


def plan_of(study: optuna.Study) -> Plan:
    """Return the plan that the study was created with."""
    return Plan.from_json(study.user_attrs[_PLAN])


def in_queue(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that have a place in the queue; a worker drops the others."""
    return [trial for trial in trials if trial.user_attrs.get(QUEUE_POSITION) is not None]


def trials_of(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count: those in the queue, or all if the study has no queue.

    A study that was made from records (`study_from_records`) has no queue.
    """
    trials = study.get_trials(deepcopy=False)
    return in_queue(trials) if _PLAN in study.user_attrs else trials


def best_so_far(study: optuna.Study) -> list[float]:
    """Return the best value of the first objective after each complete or pruned trial.

    Shape: one number for each of these trials, in the order in which they ended; nan before the
    first one that has a value.
    """
    done = [t for t in trials_of(study) if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    best, curve = float("nan"), []
    for trial in sorted(done, key=lambda t: t.datetime_complete):
        if trial.state == TrialState.COMPLETE:
            best = trial.values[0] if best != best else max(best, trial.values[0])
        curve.append(best)
    return curve


def pareto_front(study: optuna.Study) -> list[FrozenTrial]:
    """Return the Pareto front of accuracy and cost (see `not_dominated`), the cheapest first.

    This works for a study with one objective, too: every trial knows its cost in multiply-adds.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return not_dominated(complete, cost=cost_of, accuracy=lambda trial: trial.values[0])


def cost_of(trial: FrozenTrial) -> int:
    """Return the multiply-adds that the candidate needs for one picture."""
    return trial.user_attrs["multiply_adds"]


def importances(study: optuna.Study) -> dict[str, float]:
    """Return how well each setting separates the best tenth of the candidates from all of them.

    The shares add up to 1, the largest first. They are not shares of a variance.

    Watanabe, Bansal and Hutter 2023, "PED-ANOVA: Efficiently quantifying hyperparameter importance
    in arbitrary subspaces".

    Raises:
        CourseError: fewer than four candidates have a value, or all values are equal.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len({t.values[0] for t in complete}) < 2 or len(complete) < 4:
        raise CourseError(
            f"{len(complete)} finished candidates say nothing about what matters: at least 4 with "
            "different values are needed."
        )
    with quiet(), without_warnings():
        # PED-ANOVA looks for small values, so the accuracy gets a minus sign.
        return optuna.importance.get_param_importances(study, target=lambda t: -t.values[0])


def trial_table(study: optuna.Study) -> pandas.DataFrame:
    """Return a table with one row for each trial: state, accuracy, cost, reason and settings."""
    import pandas as pd

    rows = [
        {
            "trial": t.number,
            "state": t.state.name.lower(),
            "accuracy": t.values[0] if t.values else None,
            "multiply-adds": t.user_attrs.get("multiply_adds"),
            "reason": t.user_attrs.get(REASON, ""),
            **t.params,
        }
        for t in trials_of(study)
        if t.state != TrialState.WAITING
    ]
    return pd.DataFrame(rows)


_lock = threading.Lock()
_quiet_blocks, _verbosity = 0, optuna.logging.WARNING
"""How many blocks are quiet now, and Optuna's verbosity before the first of them."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Run a block without Optuna's log lines, in any number of threads at once.

    The last block that ends restores the verbosity from before the first block, unless it was
    changed in the meantime.
    """
    global _quiet_blocks, _verbosity
    with _lock:
        if not _quiet_blocks:
            _verbosity = optuna.logging.get_verbosity()
        _quiet_blocks += 1
        optuna.logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        with _lock:
            _quiet_blocks -= 1
            if not _quiet_blocks and optuna.logging.get_verbosity() == logging.ERROR:
                optuna.logging.set_verbosity(_verbosity)


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Run a block without Optuna's warnings about experimental functions.

    Only for single calls: Python's warning filters belong to the whole process, so a filter that
    another thread sets in the meantime is lost.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # Optuna warns that PED-ANOVA looks for small values.
        warnings.filterwarnings("ignore", "PedAnova", UserWarning)
        yield
