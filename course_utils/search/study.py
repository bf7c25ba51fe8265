"""Studies: made once, with a queue of trials; opened by as many workers as there are.

A budget of n trials is a queue of n waiting trials in the storage. Workers take one at a time, so
together they try n candidates and not one more; who finds the queue empty goes home.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from course_utils.core import CourseError, mixed_seed, whole_number
from course_utils.search.cluster.queue import SLOT, with_slot
from course_utils.search.front import front
from course_utils.search.methods import PRUNERS, make_sampler
from course_utils.search.objective import REASON
from course_utils.search.plan import LARGEST_SEED, OBJECTIVES, Plan

if TYPE_CHECKING:
    import pandas

_PLAN, _READY = "plan", "ready"

DONE = (TrialState.COMPLETE, TrialState.PRUNED)


def create_study(
    plan: Plan, name: str | None = None, storage: BaseStorage | None = None
) -> optuna.Study:
    """The study of a plan, with its queue; an existing one of the same name and plan goes on.

    Args:
        storage: where it is kept; None for the memory of this process.

    Raises:
        CourseError: there is one of this name with another plan.
    """
    sampler = make_sampler(plan.method, plan.seed, plan.trials)
    directions = [OBJECTIVES[o] for o in plan.objectives]
    with quiet():
        try:
            study = optuna.create_study(
                storage=storage,
                sampler=sampler,
                pruner=PRUNERS[plan.pruner](plan.epochs),
                study_name=name,
                directions=directions,
            )
        except optuna.exceptions.DuplicatedStudyError:
            return _same(open_study(name, storage, seed=plan.seed), plan)
        study.set_user_attr(_PLAN, plan.to_json())
        points = plan.space.grid(plan.trials) if plan.method == "grid" else [{}] * plan.trials
        for slot, point in enumerate(points):
            study.enqueue_trial(point, user_attrs={SLOT: slot})
        study.set_user_attr(_READY, True)
    return study


def open_study(name: str, storage: BaseStorage | None, *, seed: int | None = None) -> optuna.Study:
    """A study that was made before, with the sampler and the pruner of its plan.

    Args:
        seed: of the sampler, which goes on with other numbers than those that the trials until now
            were drawn with; None for one that no other worker has.

    Raises:
        CourseError: there is none of this name, it was not made by `create_study`, or the seed is
            no whole number from 0 up.
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
    """What the study does."""
    return Plan.from_json(study.user_attrs[_PLAN])


def _same(study: optuna.Study, plan: Plan) -> optuna.Study:
    differences = plan_of(study).differences(plan)
    if differences:
        raise CourseError(
            f"There is a study {study.study_name!r} already, and its {' and '.join(differences)} "
            "differ from yours: results of the two cannot be compared. Take another name, or the "
            "old plan to go on with that study."
        )
    return study


def trials_of(study: optuna.Study) -> list[FrozenTrial]:
    """All trials but those that a worker dropped, for another one had their place in the queue.

    A study that has no queue, as it was put together from results, has all of its trials.
    """
    trials = study.get_trials(deepcopy=False)
    return with_slot(trials) if _PLAN in study.user_attrs else trials


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """The trials with a result or a reason for having none, in the order of their ends."""
    done = [trial for trial in trials_of(study) if trial.state in DONE]
    return sorted(done, key=lambda t: t.datetime_complete)


def best_so_far(study: optuna.Study) -> list[float]:
    """After each finished trial the best value until then, of the first objective.

    Shape: one number for each trial; nan before the first one that has a value.
    """
    best, curve = float("nan"), []
    for trial in finished(study):
        if trial.state == TrialState.COMPLETE:
            best = trial.values[0] if best != best else max(best, trial.values[0])
        curve.append(best)
    return curve


def pareto_front(study: optuna.Study) -> list[FrozenTrial]:
    """The candidates that no other beats in accuracy and cost (see `front`), the cheapest first.

    Also of a study with one objective: the cost, in multiply-adds, is known of every trial.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return front(complete, cost=cost_of, accuracy=lambda trial: trial.values[0])


def cost_of(trial: FrozenTrial) -> int:
    """Multiply-adds of a candidate, of one picture."""
    return trial.user_attrs["multiply_adds"]


def importances(study: optuna.Study) -> dict[str, float]:
    """How much each setting tells the best tenth of the candidates from the rest, largest first.

    The shares add up to 1; they are no shares of a variance.

    Watanabe, Bansal and Hutter 2023, "PED-ANOVA: Efficiently quantifying hyperparameter importance
    in arbitrary subspaces".

    Raises:
        CourseError: fewer than four candidates have a value, or all have the same.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len({t.values[0] for t in complete}) < 2 or len(complete) < 4:
        raise CourseError(
            f"{len(complete)} finished candidates say nothing about what matters: at least 4 with "
            "different values are needed."
        )
    with quiet(), unwarned():
        # PED-ANOVA asks what makes a number small, so accuracy is turned round.
        return optuna.importance.get_param_importances(study, target=lambda t: -t.values[0])


def trial_table(study: optuna.Study) -> pandas.DataFrame:
    """One row a trial: number, state, accuracy, multiply-adds, reason, and every value."""
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
    """Without Optuna's log lines, in any number of threads at once.

    The last block that ends gives Optuna the verbosity back that it had before the first began,
    unless somebody has chosen another one by then.
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
def unwarned() -> Iterator[None]:
    """Without Optuna's warnings about what is experimental; for single calls.

    Python's filters belong to the whole process: what another thread sets in the meantime is lost.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "PedAnova", UserWarning)  # about low values: we know
        yield
