"""Accuracy, precision, recall and F1 of each class and their means, with bootstrap intervals.

>>> report = class_report([0, 0, 0, 1, 1], [0, 0, 1, 1, 1], ("cat", "dog"))
>>> [round(one.middle, 2) for one in report.recall]
[0.67, 1.0]
>>> round(report.macro.f1.middle, 2)
0.8
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from course_utils.core import whole_number
from course_utils.metrics.confusion import confusion
from course_utils.metrics.intervals import Estimate, percentile_estimate
from course_utils.metrics.labelled import check_every_class

if TYPE_CHECKING:
    import pandas

MEASURES = ("precision", "recall", "f1")
MEANS = ("macro", "micro", "weighted")


class Mean(NamedTuple):
    """Precision, recall and F1 as a mean over the classes."""

    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class ClassReport:
    """Accuracy, precision, recall and F1, for each class and as means; each with an interval.

    Attributes:
        classes: Names.
        support: Number of pictures of each class.
        accuracy: Share of right answers.
        precision: For each class: of the pictures that were given this class, the share that are of
            it. 0 if there are none, as in scikit-learn.
        recall: For each class: of its pictures, the share that were found.
        f1: For each class: harmonic mean of precision and recall.
        macro: Means over the classes, each of which counts the same.
        micro: Over all pictures. If each picture has one class and gets one, all three are the
            accuracy.
        weighted: Means over the classes, weighted with their numbers of pictures.
    """

    classes: tuple[str, ...]
    support: tuple[int, ...]
    accuracy: Estimate
    precision: tuple[Estimate, ...]
    recall: tuple[Estimate, ...]
    f1: tuple[Estimate, ...]
    macro: Mean
    micro: Mean
    weighted: Mean

    def as_frame(self) -> pandas.DataFrame:
        """Return a table of texts: a row for each class and each mean."""
        import pandas as pd

        measures = zip(self.precision, self.recall, self.f1, strict=True)
        rows = dict(zip(self.classes, measures, strict=True))
        rows |= {f"{name} mean": getattr(self, name) for name in MEANS}
        columns = list(zip(*rows.values(), strict=True))
        table = {name: map(_percent, some) for name, some in zip(MEASURES, columns, strict=True)}
        table["pictures"] = [*self.support, *[sum(self.support)] * len(MEANS)]
        return pd.DataFrame(table, index=list(rows))

    def _repr_html_(self) -> str:
        return self.as_frame().to_html()

    def __str__(self) -> str:
        return self.as_frame().to_string()


def class_report(
    labels: Any,
    predictions: Any,
    classes: Sequence[str],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> ClassReport:
    """Return accuracy, and precision, recall and F1 of each class and as means, with intervals.

    The numbers are those of scikit-learn. The intervals are percentiles of a bootstrap over the
    pictures (Efron 1979). A resample without a picture of some class leaves this class out.

    Args:
        labels, predictions: Numbers of classes of the *whole* set, (N,), such as those of
            `evaluate(...)`.
        classes: Names of the classes.
        resamples: How often pictures are drawn; from 100 up.
        confidence: Level of the intervals.
        seed: Of the drawn pictures.

    Raises:
        CourseError: If labels and predictions do not fit each other or the classes, a class has no
            picture, or a setting is not possible.
    """
    from sklearn.metrics import precision_recall_fscore_support as measure

    matrix = confusion(labels, predictions, classes)
    check_every_class(matrix.labels, matrix.classes, "the recall of every class")
    pair = matrix.labels, matrix.predictions
    every = len(matrix.classes)
    cells, counts = np.unique(np.stack(pair), axis=1, return_counts=True)
    drawn = tally(*cells, draw_counts(counts, resamples, seed), every)
    settings = {"labels": range(every), "zero_division": 0}

    def estimates(values: np.ndarray, resampled: np.ndarray) -> tuple[Estimate, ...]:
        columns = zip(values, resampled.T, strict=True)
        return tuple(
            percentile_estimate(float(one), column[~np.isnan(column)], confidence)
            for one, column in columns
        )

    each = [
        estimates(values, drawn.by_class(name))
        for name, values in zip(MEASURES, measure(*pair, **settings)[:3], strict=True)
    ]
    means = {}
    for kind in MEANS:
        values = np.array(measure(*pair, **settings, average=kind)[:3])
        resampled = np.stack([drawn.mean(name, kind) for name in MEASURES], 1)
        means[kind] = Mean(*estimates(values, resampled))
    accuracy = percentile_estimate(matrix.accuracy, drawn.mean("f1", "micro"), confidence)
    support = tuple(matrix.counts.sum(1).tolist())
    return ClassReport(matrix.classes, support, accuracy, *each, **means)


class Tally(NamedTuple):
    """Numbers of pictures by class, (R, K), of R sets of pictures; all measures follow from them.

    Attributes:
        right: Pictures of the class that were given it.
        support: Pictures of the class.
        predicted: Pictures that were given the class.
    """

    right: np.ndarray
    support: np.ndarray
    predicted: np.ndarray

    def by_class(self, measure: str) -> np.ndarray:
        """Return a measure by class, (R, K).

        A class without pictures is NaN; the precision of a class that was never predicted is 0.
        """
        factor, below = {
            "precision": (1, self.predicted),
            "recall": (1, self.support),
            "f1": (2, self.support + self.predicted),
        }[measure]
        return np.where(self.support > 0, factor * self.right / np.maximum(below, 1), np.nan)

    def mean(self, measure: str, kind: str) -> np.ndarray:
        """Return the mean over the classes, (R,), of one of `MEANS`."""
        total = self.support.sum(1)
        if kind == "micro":
            return self.right.sum(1) / total
        values = self.by_class(measure)
        if kind == "macro":
            return np.nanmean(values, axis=1)
        return np.where(self.support > 0, values * self.support, 0).sum(1) / total


def tally(true: np.ndarray, predicted: np.ndarray, counts: np.ndarray, classes: int) -> Tally:
    """Return the numbers of pictures by class.

    Args:
        true, predicted: Class and answer of each cell of the confusion matrix, int64 (M,).
        counts: Number of pictures in each cell, in each of R sets: (R, M).
        classes: Number of classes, K.
    """
    rows, columns = (np.eye(classes)[numbers] for numbers in (true, predicted))
    return Tally(counts @ (rows * columns), counts @ rows, counts @ columns)


def draw_counts(counts: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return the counts of bootstrap resamples, int64 (resamples, M), of counts (M,).

    Each resample draws as many pictures as there are, with replacement, and counts them again.

    Raises:
        CourseError: If `resamples` is below 100, or `seed` negative.
    """
    whole_number("resamples", resamples, 100)
    whole_number("seed", seed, 0)
    generator = np.random.default_rng(seed)
    # One picture after the other: NumPy's own multinomial returns other numbers in each version.
    total, until = int(counts.sum()), counts.cumsum() / counts.sum()
    drawn = (np.searchsorted(until, generator.random(total), "right") for _ in range(resamples))
    return np.stack([np.bincount(cells, minlength=len(counts)) for cells in drawn])


def _percent(one: Estimate) -> str:
    return f"{one.middle:.1%} ({one.low:.1%} to {one.high:.1%})"
