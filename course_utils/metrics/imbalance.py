"""Pictures of which one class has few, to see what that does to a measure.

>>> thinned([0, 0, 0, 0, 1, 1], ("a", "b"), "a", 0.5).tolist()
[0, 1, 4, 5]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from course_utils.core import CourseError, is_number
from course_utils.metrics.labelled import class_names, class_numbers


def thinned(labels: Any, classes: Sequence[str], rare: str, share: float) -> np.ndarray:
    """Return the positions of the pictures that stay if only a share of one class is kept.

    The first pictures of the class are kept, at least one. All other classes are complete.

    Args:
        labels: Numbers of classes, (N,).
        classes: Names of the classes.
        rare: Name of the class that becomes rare.
        share: Above 0, up to 1.

    Returns:
        int64, rising.

    Raises:
        CourseError: If there is no such class, no picture of it, or the share is not possible.
    """
    names = class_names(classes)
    true = class_numbers(labels, len(names))
    if rare not in names:
        known = ", ".join(map(repr, names))
        raise CourseError(f"There is no class {rare!r}; there are {known}.")
    if not is_number(share) or not 0 < share <= 1:
        raise CourseError(f"share={share!r}: give a share above 0 and up to 1.")
    mine = np.flatnonzero(true == names.index(rare))
    if not len(mine):
        raise CourseError(f"There is no picture of {rare!r} among {len(true)} to keep a share of.")
    return np.delete(np.arange(len(true)), mine[max(1, round(share * len(mine))) :])
