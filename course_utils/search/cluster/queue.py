"""The places in a study's queue: what is done, what is tried again, what was given up.

Each trial of the queue has a slot. One that ends without saying anything about its candidate (its
worker died or was stopped, or the storage did not answer) leaves the slot open, and whoever sees
that queues another trial of it. Two workers may see it at once and queue two: of the trials of a
slot that of the lowest number owns it until it has ended without a result, and every other one is
superfluous; its worker drops it before it is trained. So no slot is lost, and none has two results.
"""

from __future__ import annotations

from collections.abc import Iterable

import optuna
from optuna.trial import FrozenTrial, TrialState

from course_utils.search.objective import REASON, STOPPED

SLOT = "slot"
"""The trial's attribute with its place in the queue; None or missing if it is superfluous."""

RETRIES = 3
"""How often a slot is tried again whose worker died: a trial that kills every worker ends."""

STUMBLED = "the storage did not answer"
"""The reason of a trial in whose course the storage was away for a moment."""

_FIXED = "fixed_params"  # where Optuna keeps the values that a trial was queued with


def with_slot(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Those that have a place in the queue: all but the superfluous ones."""
    return [trial for trial in trials if trial.user_attrs.get(SLOT) is not None]


def left_open(trial: FrozenTrial) -> bool:
    """Whether it has ended without saying anything about its candidate.

    A failure with a reason of its own is an answer: it would fail again.
    """
    reason = trial.user_attrs.get(REASON)
    return trial.state == TrialState.FAIL and reason in (None, STOPPED, STUMBLED)


def is_superfluous(number: int, trials: Iterable[FrozenTrial]) -> bool:
    """Whether the trial of this number has no place in the queue, or another one owns it."""
    placed = with_slot(trials)
    mine = [trial.user_attrs[SLOT] for trial in placed if trial.number == number]
    return not mine or any(
        trial.number < number and trial.user_attrs[SLOT] == mine[0] and not left_open(trial)
        for trial in placed
    )


def given_up(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The last trial of each slot that is not tried again, though it has no result."""
    return [tries[-1] for tries in _open(trials) if _deaths(tries) > RETRIES]


def requeue(study: optuna.Study, trials: Iterable[FrozenTrial]) -> int:
    """Queue a trial of each slot that is open and that nobody works on; how many these are.

    The new trial tries the same candidate. Only what died counts against `RETRIES`: a trial that
    was stopped is queued again however often.

    Args:
        trials: the study's, as they were when one looked.
    """
    lost = [tries[-1] for tries in _open(trials) if _deaths(tries) <= RETRIES]
    for trial in lost:
        fixed = {_FIXED: trial.system_attrs[_FIXED]} if _FIXED in trial.system_attrs else {}
        study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={SLOT: trial.user_attrs[SLOT]},
                system_attrs=fixed,
            )
        )
    return len(lost)


def _open(trials: Iterable[FrozenTrial]) -> list[list[FrozenTrial]]:
    """The trials of each slot that is open and that nobody works on, the latest last."""
    tries: dict[int, list[FrozenTrial]] = {}
    for trial in with_slot(trials):
        tries.setdefault(trial.user_attrs[SLOT], []).append(trial)
    return [same for same in tries.values() if all(map(left_open, same))]


def _deaths(tries: Iterable[FrozenTrial]) -> int:
    return sum(trial.user_attrs.get(REASON) != STOPPED for trial in tries)
