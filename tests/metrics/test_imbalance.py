from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.core import CourseError
from course_utils.metrics import thinned

NAMES = ("a", "b", "c")


@given(st.lists(st.integers(0, 2), max_size=40), st.floats(0.001, 1), st.floats(0.001, 1))
def test_only_one_class_gets_fewer(labels, first, second):
    labels = np.array([1, *labels])
    small, large = (thinned(labels, NAMES, "b", share) for share in sorted((first, second)))
    assert set(small) <= set(large) and (np.diff(small) > 0).all()
    before, after = np.bincount(labels, minlength=3), np.bincount(labels[small], minlength=3)
    assert after[[0, 2]].tolist() == before[[0, 2]].tolist()
    assert after[1] == max(1, round(min(first, second) * before[1]))
    assert len(thinned(torch.tensor(labels), NAMES, "b", 1)) == len(labels)


@pytest.mark.parametrize(
    ("rare", "share", "words"),
    [
        ("d", 0.5, "no class 'd'"),
        ("c", 0.5, "no picture of 'c'"),
        ("a", 0, "share=0"),
        ("a", 1.5, "share=1.5"),
        ("a", None, "share=None"),
    ],
)
def test_what_is_not_possible(rare, share, words):
    with pytest.raises(CourseError, match=words):
        thinned([0, 1, 1], NAMES, rare, share)
