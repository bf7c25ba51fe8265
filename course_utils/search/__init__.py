"""Search over the convolutions of a network and over its training, on one machine or on many."""

from __future__ import annotations

from course_utils.search.candidate import ARTICLE, Settings, build, multiply_adds
from course_utils.search.methods import METHODS, PRUNERS
from course_utils.search.objective import Objective
from course_utils.search.plan import Plan
from course_utils.search.space import SearchSpace
from course_utils.search.storage import StorageGone, open_storage
from course_utils.search.studies import (
    best_so_far,
    cost_of,
    create_study,
    importances,
    open_study,
    pareto_front,
    plan_of,
    trial_table,
)
from course_utils.search.worker import work

__all__ = [
    "ARTICLE",
    "METHODS",
    "PRUNERS",
    "Objective",
    "Plan",
    "SearchSpace",
    "Settings",
    "StorageGone",
    "best_so_far",
    "build",
    "cost_of",
    "create_study",
    "importances",
    "multiply_adds",
    "open_storage",
    "open_study",
    "pareto_front",
    "plan_of",
    "trial_table",
    "work",
]
