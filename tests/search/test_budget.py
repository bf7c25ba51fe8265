"""Budgets: how they are written."""

from __future__ import annotations

import numpy as np
import pytest

from course_utils.core.errors import CourseError
from course_utils.search import Budget


@pytest.mark.parametrize(
    "budget",
    [
        *(0, -1, True, None, [1], 0.5, 1.5, float("inf"), float("nan"), "", "soon", "12"),
        *("0 trials", "1.5 trials", "1.2.3 s", ". s", "0 s", "2 min, 90 s", "12 trials,", ", 5 s"),
        *("3 trials, 4 candidates", "3 trials 5 s", "-1 trials"),
    ],
)
def test_what_is_not_a_budget_is_refused(budget):
    with pytest.raises(CourseError, match=r"budget=.* such as 12"):
        Budget.of(budget)


@pytest.mark.parametrize(
    ("value", "budget", "written"),
    [
        (24, Budget(trials=24), "24 candidates"),
        (3.0, Budget(trials=3), "3 candidates"),
        (np.int64(120), Budget(trials=120), "120 candidates"),
        ("24 trials", Budget(trials=24), "24 candidates"),
        ("1 candidate", Budget(trials=1), "1 candidate"),
        ("2 min", Budget(seconds=120), "120 s"),
        ("0.5 s", Budget(seconds=0.5), "0.5 s"),
        (" 90s ", Budget(seconds=90), "90 s"),
        ("12 candidates, 2 min", Budget(trials=12, seconds=120), "12 candidates, 120 s"),
        ("2 minutes , 1 trial", Budget(trials=1, seconds=120), "1 candidate, 120 s"),
    ],
)
def test_budgets_may_be_written(value, budget, written):
    assert Budget.of(value) == budget and Budget.of(budget) is budget
    assert str(budget) == written and Budget.of(written) == budget


def test_with_candidates_the_seconds_are_only_a_limit():
    assert Budget(trials=10, seconds=1).used(seconds=100, trials=5) == 0.5
    assert Budget(seconds=200).used(seconds=100, trials=5) == 0.5
