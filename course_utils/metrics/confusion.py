"""The confusion matrix: how often each class was taken for each other one, and for which pictures.

>>> matrix = confusion([0, 0, 0, 1], [0, 1, 1, 1], ("cat", "dog"))
>>> matrix.counts.tolist()
[[1, 2], [0, 1]]
>>> matrix.pictures("cat", "dog").tolist()
[1, 2]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from course_utils.core import CourseError, whole_number
from course_utils.metrics.labelled import class_names, labels_and_predictions


class Mistake(NamedTuple):
    """A kind of mistake: pictures of the class `true` that were taken for `predicted`.

    `share` is their share of all pictures of the class `true`.
    """

    true: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True, eq=False)
class Confusion:
    """A confusion matrix, with the pictures behind it.

    Attributes:
        classes: Names of the rows and columns.
        labels, predictions: Of each picture, int64 (N,).
    """

    classes: tuple[str, ...]
    labels: np.ndarray = field(repr=False)
    predictions: np.ndarray = field(repr=False)

    @cached_property
    def counts(self) -> np.ndarray:
        """Number of pictures for each true class (row) and predicted class (column): int64."""
        from sklearn.metrics import confusion_matrix

        every = np.arange(len(self.classes))
        return confusion_matrix(self.labels, self.predictions, labels=every).astype(np.int64)

    @property
    def rates(self) -> np.ndarray:
        """Counts as shares of the pictures of each true class; the diagonal is the recall.

        float64; each row has the sum 1. A row of a class without pictures is NaN.
        """
        return _shares(self.counts, axis=1)

    @property
    def rates_of_predicted(self) -> np.ndarray:
        """Counts as shares of the pictures with each answer; the diagonal is the precision.

        float64; each column has the sum 1. A column of a class that was never predicted is NaN.
        """
        return _shares(self.counts, axis=0)

    @property
    def accuracy(self) -> float:
        """Share of pictures on the diagonal, in [0, 1]."""
        return float(np.trace(self.counts) / len(self.labels))

    def pictures(self, true: int | str, predicted: int | str) -> np.ndarray:
        """Return the positions of the pictures in one cell, in the order of the set: int64.

        Args:
            true, predicted: Names or numbers of classes.

        Raises:
            CourseError: If there is no such class.
        """
        row, column = self._number(true), self._number(predicted)
        return np.flatnonzero((self.labels == row) & (self.predictions == column))

    def mistakes(self, count: int = 5) -> list[Mistake]:
        """Return the most frequent kinds of mistakes, the first one first; none with 0 pictures.

        Raises:
            CourseError: If `count` is below 1.
        """
        whole_number("count", count, 1)
        wrong = self.counts * (1 - np.eye(len(self.classes), dtype=np.int64))
        # Stable, so that equal numbers stand in the order of the classes.
        first = np.argsort(-wrong, axis=None, kind="stable")[:count]
        cells = np.stack(np.unravel_index(first, wrong.shape), 1).tolist()
        return [
            Mistake(self.classes[i], self.classes[j], int(wrong[i, j]), float(self.rates[i, j]))
            for i, j in cells
            if wrong[i, j]
        ]

    def _number(self, given: int | str) -> int:
        if isinstance(given, str):
            if given not in self.classes:
                known = ", ".join(map(repr, self.classes))
                raise CourseError(f"There is no class {given!r}; there are {known}.")
            return self.classes.index(given)
        return whole_number("class", given, 0, len(self.classes) - 1)


def confusion(labels: Any, predictions: Any, classes: Sequence[str]) -> Confusion:
    """Return the confusion matrix of predictions on a whole set.

    A class without pictures has a row of zeros.

    Args:
        labels, predictions: Numbers of classes, (N,), such as those of `evaluate(...)`.
        classes: Names of the classes.

    Raises:
        CourseError: If they do not fit each other.
    """
    names = class_names(classes)
    return Confusion(names, *labels_and_predictions(labels, predictions, len(names)))


def _shares(counts: np.ndarray, axis: int) -> np.ndarray:
    total = counts.sum(axis, keepdims=True).astype(float)
    return np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
