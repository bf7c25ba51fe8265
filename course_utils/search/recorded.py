"""Recorded searches: the best accuracy over the epochs spent, and the study made again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from course_utils.core import CourseError
from course_utils.metrics import Estimate, median_interval
from course_utils.search.space import SearchSpace
from course_utils.search.study import quiet


def best_by_epochs(
    records: Iterable[Mapping[str, Any]], search: str
) -> tuple[list[int], list[Estimate]]:
    """Return the best accuracy of a search over the epochs that it has spent, for all its seeds.

    Args:
        records: one for each candidate, with the keys "search", "seed", "epochs" (spent by the
            search when the candidate ended) and "accuracy" (None if it has none).
        search: name of the search.

    Returns:
        The numbers of epochs at which a candidate of any seed ended, beginning where every seed has
        a result, and the best accuracy until then: median over the seeds, with an interval.

    Raises:
        CourseError: the records have no such search, or fewer than two seeds of it.
    """
    ends: dict[int, list[tuple[int, float]]] = {}
    for record in records:
        if record["search"] == search:
            found = ends.setdefault(record["seed"], [])
            if record["accuracy"] is not None:
                found.append((record["epochs"], record["accuracy"]))
    if not ends:
        raise _unknown(search)
    points, estimates = [], []
    for epochs in sorted({end for found in ends.values() for end, _ in found}):
        best = [[value for end, value in found if end <= epochs] for found in ends.values()]
        if all(best):
            points.append(epochs)
            estimates.append(median_interval([max(values) for values in best]))
    return points, estimates


def study_from_records(
    records: Iterable[Mapping[str, Any]], search: str, space: SearchSpace
) -> optuna.Study:
    """Create a study, in memory, from the recorded candidates of a search, of all its seeds.

    Args:
        records: as for `best_by_epochs`, with "multiply_adds" and a value for each name in `space`.

    Raises:
        CourseError: the records have no such search.
    """
    with quiet():
        study = optuna.create_study(direction="maximize")
    for record in records:
        if record["search"] == search:
            complete = record["accuracy"] is not None
            trial = optuna.trial.create_trial(
                state=TrialState.COMPLETE if complete else TrialState.PRUNED,
                value=record["accuracy"],
                params={name: record[name] for name in space},
                distributions=dict(space),
                user_attrs={"multiply_adds": record["multiply_adds"]},
            )
            study.add_trial(trial)
    if not study.trials:
        raise _unknown(search)
    return study


def _unknown(search: str) -> CourseError:
    return CourseError(f"The records have no search {search!r}.")
