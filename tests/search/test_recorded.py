"""Recorded searches: the best accuracy so far, and the study again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.core.errors import CourseError
from course_utils.search import SearchSpace, pareto_front
from course_utils.search.recorded import best_by_epochs, study_from_records


def record(seed, epochs, accuracy, search="random"):
    return {"search": search, "seed": seed, "epochs": epochs, "accuracy": accuracy}


def test_the_best_until_then_of_each_seed():
    rows = [(0, 3, 0.5), (0, 6, 0.4), (0, 9, 0.8), (1, 2, None), (1, 5, 0.6), (1, 1, 0.99, "grid")]
    records = [record(*row) for row in rows]
    epochs, best = best_by_epochs(records, "random")
    assert epochs == [5, 6, 9]  # before, the second seed has nothing
    assert [one.middle for one in best] == pytest.approx([0.55, 0.55, 0.7])
    assert (best[-1].low, best[-1].high) == (0.6, 0.8)
    with pytest.raises(CourseError, match="no search 'tpe'"):
        best_by_epochs(records, "tpe")


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(1, 50), st.none() | st.floats(0, 1)), min_size=1
    )
)
def test_curves_never_fall(rows):
    records = [record(*row) for row in rows] + [record(s, 60, 0.1) for s in range(5)]
    epochs, best = best_by_epochs(records, "random")
    assert epochs == sorted(set(epochs)) and epochs[-1] == 60
    for part in ("low", "middle", "high"):
        values = [getattr(one, part) for one in best]
        assert values == sorted(values)


def test_records_become_a_study_again():
    space = SearchSpace({"learning_rate": [0.1, 0.2], "c.depth": [1, 2]})
    rows = [(0.5, 0.1, 1, 10), (0.9, 0.2, 2, 30), (None, 0.2, 1, None), (0.6, 0.1, 2, 40)]
    records = [
        record(0, 3, accuracy) | {"learning_rate": rate, "c.depth": depth, "multiply_adds": cost}
        for accuracy, rate, depth, cost in rows
    ]
    study = study_from_records(records, "random", space)
    assert study.best_params == {"learning_rate": 0.2, "c.depth": 2}
    assert [t.state.name for t in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    assert [t.value for t in pareto_front(study)] == [0.5, 0.9]
    with pytest.raises(CourseError, match="no search 'grid'"):
        study_from_records(records, "grid", space)
