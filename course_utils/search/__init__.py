"""Search over the convolutions of a network and over its training, on one machine or on many."""

from __future__ import annotations

from course_utils.search.candidate import ARTICLE, Settings, build, multiply_adds
from course_utils.search.improvement import Improvement, Tried
from course_utils.search.methods import METHODS, PRUNERS
from course_utils.search.objective import Objective
from course_utils.search.plan import Plan
from course_utils.search.presets import first_cnn_space, space_for
from course_utils.search.rounds import improve
from course_utils.search.side_by_side import SideBySide
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
    "Improvement",
    "Objective",
    "Plan",
    "SearchSpace",
    "Settings",
    "SideBySide",
    "StorageGone",
    "Tried",
    "best_so_far",
    "build",
    "cost_of",
    "create_study",
    "first_cnn_space",
    "importances",
    "improve",
    "multiply_adds",
    "open_storage",
    "open_study",
    "pareto_front",
    "plan_of",
    "space_for",
    "trial_table",
    "work",
]
