"""Budgets: how they are written."""

from __future__ import annotations

import numpy as np
import pytest

from course_utils.core.errors import CourseError
from course_utils.search import Budget


def test_what_is_not_a_budget_is_refused():
    for budget in (0, -1, True, None, [1], "", "soon", "0 trials", "1.5 trials", "1.2.3 s"):
        with pytest.raises(CourseError, match="budget="):
            Budget.of(budget)


def test_budgets_may_be_written():
    written = {
        "2 min": Budget(seconds=120),
        "24 trials": Budget(trials=24),
        "1 trial": Budget(trials=1),
        "90s": Budget(seconds=90),
        0.5: Budget(seconds=0.5),
        np.int64(120): Budget(seconds=120),
    }
    for value, budget in written.items():
        assert Budget.of(value) == budget and Budget.of(budget) is budget
