"""ROC and precision-recall curves of a classifier with several classes, one class against the rest.

>>> curves = roc_curves([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], ("a", "b"))
>>> curves["b"].area
1.0
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from course_utils.core import CourseError
from course_utils.metrics.labelled import check_every_class, class_names, labels_and_scores

GRID = np.linspace(0, 1, 1001)
"""Where the macro curve is the mean of the curves of the classes."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve over all thresholds.

    Attributes:
        x: False positive rate (ROC) or recall, rising, in [0, 1].
        y: True positive rate (ROC) or precision, in [0, 1].
        area: Area under the ROC curve, or average precision.
    """

    x: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    area: float


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of all classes.

    Attributes:
        kind: "ROC" or "precision-recall".
        by_class: Curve of each class against the rest, by name.
        macro: Mean of the classes' curves; its area is the mean of their areas.
        micro: One curve over all pairs of a picture and a class.
        chance: Area of a classifier that guesses, by class: 0.5 for ROC; for precision-recall the
            share of pictures of the class.
    """

    kind: str
    by_class: Mapping[str, Curve]
    macro: Curve
    micro: Curve
    chance: Mapping[str, float]

    def __getitem__(self, name: str) -> Curve:
        if name not in self.by_class:
            known = ", ".join(map(repr, self.by_class))
            raise CourseError(f"There is no curve of {name!r}, but of {known}.")
        return self.by_class[name]

    @property
    def areas(self) -> dict[str, float]:
        """Area by class, and of "macro" and "micro"."""
        areas = {name: curve.area for name, curve in self.by_class.items()}
        return areas | {"macro": self.macro.area, "micro": self.micro.area}


def roc_curves(labels: Any, scores: Any, classes: Sequence[str]) -> Curves:
    """Return the receiver operating characteristic of each class against the rest, and means.

    The area is the probability that a picture of the class has a higher score than one of another
    class; equal scores count half (Fawcett 2006, "An introduction to ROC analysis").

    Args:
        labels: Numbers of classes of the whole set, (N,).
        scores: (N, classes). Probabilities: a curve compares scores of different pictures, and
            logits of different pictures have no common zero.
        classes: Names of the classes.

    Raises:
        CourseError: If they do not fit each other, a score is not finite, or a class has no
            picture, because then its curve is not defined.
    """
    from sklearn.metrics import auc, roc_curve

    def draw(true: np.ndarray, score: np.ndarray) -> Curve:
        x, y, _ = roc_curve(true, score, drop_intermediate=True)
        return Curve(x, y, float(auc(x, y)))

    return _curves("ROC", draw, labels, scores, classes)


def precision_recall_curves(labels: Any, scores: Any, classes: Sequence[str]) -> Curves:
    """Return precision against recall for each class against the rest, and means.

    The area is the average precision, the mean of the precision over the steps of the recall. For a
    rare class it says more than ROC (Davis and Goadrich 2006, "The relationship between
    precision-recall and ROC curves").

    Arguments and errors are those of `roc_curves`.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    def draw(true: np.ndarray, score: np.ndarray) -> Curve:
        precision, recall, _ = precision_recall_curve(true, score)
        area = float(average_precision_score(true, score))
        return Curve(recall[::-1], precision[::-1], area)

    return _curves("precision-recall", draw, labels, scores, classes)


def _curves(
    kind: str,
    draw: Callable[[np.ndarray, np.ndarray], Curve],
    labels: Any,
    scores: Any,
    classes: Sequence[str],
) -> Curves:
    names = class_names(classes)
    true, found = labels_and_scores(labels, scores, len(names))
    check_every_class(true, names, "its curve against the rest")
    is_class = true[:, None] == np.arange(len(names))
    pairs = zip(names, is_class.T, found.T, strict=True)
    by_class = {name: draw(mine, score) for name, mine, score in pairs}
    at = [partial(np.interp, xp=curve.x, fp=curve.y)(GRID) for curve in by_class.values()]
    area = float(np.mean([curve.area for curve in by_class.values()]))
    chance = is_class.mean(0) if kind != "ROC" else np.full(len(names), 0.5)
    return Curves(
        kind,
        by_class,
        Curve(GRID, np.mean(at, 0), area),
        draw(is_class.ravel(), found.ravel()),
        dict(zip(names, chance.tolist(), strict=True)),
    )
