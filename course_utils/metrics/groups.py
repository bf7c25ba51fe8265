"""The accuracy of groups of pictures: a good mean may hide a group that pays for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from course_utils.core import CourseError
from course_utils.metrics.intervals import wilson_interval
from course_utils.metrics.labelled import as_numbers

if TYPE_CHECKING:
    import pandas


def group_accuracies(right: Any, groups: Any) -> pandas.DataFrame:
    """Return the accuracy of each group of pictures, the lowest first.

    >>> group_accuracies([True, False, True, True], ["dark", "dark", "bright", "bright"]).accuracy
    group
    dark      0.5
    bright    1.0
    Name: accuracy, dtype: float64

    Args:
        right: True for each picture that was classified correctly, bool (N,), such as
            `Evaluation.right`.
        groups: Name or number of the group of each picture, (N,); a `Categorical` of pandas, too.

    Returns:
        A row for each group, with the columns correct, total, accuracy, and low and high, the ends
        of Wilson's 95 % interval.

    Raises:
        CourseError: If the two do not have the same length of at least 1, `right` is not bool, or a
            picture has no group.
    """
    import pandas as pd

    marks = as_numbers(right, "right")
    if marks.ndim != 1 or not len(marks) or marks.dtype != bool:
        raise CourseError(
            f"right is {marks.dtype} of shape {marks.shape}: give True or False for each picture, "
            "such as evaluate(...).right."
        )
    names = pd.Series(np.asarray(groups))
    if len(names) != len(marks):
        raise CourseError(f"There are {len(marks)} pictures, but groups of {len(names)} of them.")
    if lost := int(names.isna().sum()):
        raise CourseError(f"{lost} of {len(marks)} pictures have no group: give each picture one.")
    table = pd.Series(marks).groupby(names.to_numpy()).agg(["sum", "count"])
    table.columns = ["correct", "total"]
    table["accuracy"] = table.correct / table.total
    ends = [wilson_interval(int(k), int(n)) for k, n in table.to_numpy()[:, :2]]
    table["low"], table["high"] = zip(*ends, strict=True)
    return table.rename_axis("group").sort_values("accuracy", kind="stable")
