from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.core import CourseError
from course_utils.metrics import Mistake, confusion

NAMES = ("cat", "dog", "owl")
pairs = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)


@given(pairs)
def test_every_picture_is_in_one_cell(pairs):
    labels, predictions = np.array(pairs).T
    matrix = confusion(labels, predictions, NAMES)
    found = [matrix.pictures(i, j) for i in range(3) for j in range(3)]
    assert [len(one) for one in found] == matrix.counts.ravel().tolist()
    assert sorted(np.concatenate(found).tolist()) == list(range(len(pairs)))
    assert matrix.accuracy == pytest.approx((labels == predictions).mean())
    for rates, axis in ((matrix.rates, 1), (matrix.rates_of_predicted, 0)):
        sums, there = rates.sum(axis), matrix.counts.sum(axis) > 0
        assert np.isnan(sums[~there]).all()
        np.testing.assert_allclose(sums[there], 1)


def test_the_most_frequent_mistakes():
    matrix = confusion([0] * 10 + [1] * 4, [0] * 4 + [1] * 3 + [2] * 3 + [1, 0, 0, 1], NAMES)
    expected = [Mistake("cat", "dog", 3, 0.3), Mistake("cat", "owl", 3, 0.3)]
    assert matrix.mistakes(2) == expected
    assert matrix.mistakes(9) == [*expected, Mistake("dog", "cat", 2, 0.5)]
    assert confusion([0, 1], [0, 1], NAMES).mistakes() == []
    assert matrix.pictures("dog", "cat").tolist() == [11, 12]


def test_cells_that_are_not_there():
    matrix = confusion([0], [1], NAMES)
    for wrong in ("cow", 3, -1, 0.5, None):
        with pytest.raises(CourseError, match=r"cow|class="):
            matrix.pictures(wrong, 0)
    with pytest.raises(CourseError, match="count"):
        matrix.mistakes(0)
