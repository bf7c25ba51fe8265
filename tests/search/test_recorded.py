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
    records = [
        record(0, 3, 0.5),
        record(0, 6, 0.4),
        record(0, 9, 0.8),
        record(1, 2, None),
        record(1, 5, 0.6),
        record(0, 1, 0.99, "grid"),
        record(1, 1, 0.99, "grid"),
    ]
    epochs, best = best_by_epochs(records, "random")
    assert epochs == [5, 6, 9]  # before, the second seed has nothing
    assert [one.middle for one in best] == pytest.approx([0.55, 0.55, 0.7])
    assert (best[-1].low, best[-1].high) == (0.6, 0.8)


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


def test_an_unknown_search_is_said():
    with pytest.raises(CourseError, match="no search 'tpe'"):
        best_by_epochs([record(0, 1, 0.5)], "tpe")


def test_records_become_a_study_again():
    space = SearchSpace({"learning_rate": [0.1, 0.2], "c.depth": [1, 2]})
    records = [
        record(0, 3, 0.5) | {"learning_rate": 0.1, "c.depth": 1, "multiply_adds": 10},
        record(1, 3, 0.9) | {"learning_rate": 0.2, "c.depth": 2, "multiply_adds": 30},
        record(1, 6, None) | {"learning_rate": 0.2, "c.depth": 1, "multiply_adds": None},
        record(1, 9, 0.6) | {"learning_rate": 0.1, "c.depth": 2, "multiply_adds": 40},
    ]
    study = study_from_records(records, "random", space)
    assert study.best_params == {"learning_rate": 0.2, "c.depth": 2}
    assert [t.state.name for t in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    assert [t.value for t in pareto_front(study)] == [0.5, 0.9]
    with pytest.raises(CourseError, match="no search 'grid'"):
        study_from_records(records, "grid", space)
