"""The accuracy of groups of pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from course_utils.core import CourseError
from course_utils.metrics import group_accuracies, wilson_interval


@pytest.mark.parametrize("kind", [list, np.array, pd.Categorical])
def test_each_group_has_its_accuracy_the_lowest_first(kind):
    right = torch.tensor([True, False, True, True, True, False])
    table = group_accuracies(right, kind(["a", "b", "a", "c", "b", "b"]))
    assert table.index.tolist() == ["b", "a", "c"] and table.index.name == "group"
    assert table.correct.tolist() == [1, 2, 1] and table.total.tolist() == [3, 2, 1]
    assert table.accuracy.tolist() == pytest.approx([1 / 3, 1, 1])
    assert tuple(table.loc["b", ["low", "high"]]) == pytest.approx(tuple(wilson_interval(1, 3)))


def test_groups_may_be_numbers():
    table = group_accuracies([True, False], torch.tensor([7, 3]))
    assert table.index.tolist() == [3, 7]


@pytest.mark.parametrize(
    ("right", "groups", "word"),
    [
        ([], [], "shape"),
        ([1, 0], ["a", "b"], "True or False"),
        ([[True]], ["a"], "shape"),
        ([True, False], ["a"], "2 pictures"),
        ([True, False], ["a", None], "no group"),
        ([True, False], [1.0, np.nan], "no group"),
    ],
)
def test_bad_input_is_a_sentence(right, groups, word):
    with pytest.raises(CourseError, match=word):
        group_accuracies(right, groups)
