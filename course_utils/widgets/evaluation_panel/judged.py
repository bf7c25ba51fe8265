"""Look at the answers of a network: one cell of the confusion matrix, and a class made rare."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from course_utils.core import CourseError
from course_utils.metrics import (
    ClassReport,
    Confusion,
    Estimate,
    Evaluation,
    class_report,
    confusion,
    thinned,
)

MOST_CLASSES = 40
_RESAMPLES = 300


@dataclass(frozen=True, eq=False)
class Judged:
    """The answers of a network on a set of pictures, as the panel shows them.

    Attributes:
        name: Of the network.
        images: All pictures, uint8 (N, C, H, W).
        matrix: Confusion matrix of the pictures that are counted.
        cell: (true class, predicted class) that is looked at.
        shown: Positions in `images` of the pictures in this cell.
        rare: Name of the class that is made rare.
        share: Share of its pictures that is counted.
        report: Measures of the network.
        lazy: Measures of the same network if it could not answer with the rare class.
    """

    name: str
    images: Tensor
    matrix: Confusion
    cell: tuple[str, str]
    shown: np.ndarray
    rare: str
    share: float
    report: ClassReport
    lazy: ClassReport

    def bars(self) -> list[tuple[str, Estimate, Estimate]]:
        """Return what is compared: (name, of the network, of the one that never says the class)."""
        k = self.matrix.classes.index(self.rare)
        both = self.report, self.lazy
        return [
            ("accuracy", *(one.accuracy for one in both)),
            ("macro F1", *(one.macro.f1 for one in both)),
            ("precision", *(one.precision[k] for one in both)),
            ("recall", *(one.recall[k] for one in both)),
            ("F1", *(one.f1[k] for one in both)),
        ]


def judge(
    name: str, found: Evaluation, images: Tensor, cell: tuple[str, str], rare: str, share: float
) -> Judged:
    """Return what the panel shows of an evaluation.

    Args:
        name: Of the network.
        found: Its answers on `images`.
        images: uint8 (N, C, H, W).
        cell: Names of the true and of the predicted class to look at.
        rare: Name of the class that is made rare.
        share: Share of its pictures that is counted.

    Raises:
        CourseError: If there are more than 40 classes, or a class has no picture.
    """
    classes = found.classes
    if len(classes) > MOST_CLASSES:
        raise CourseError(
            f"There are {len(classes)} classes, but the panel has room for {MOST_CLASSES}: "
            "confusion(...).mistakes() lists the most frequent mistakes of any number."
        )
    kept = thinned(found.labels, classes, rare, share)
    labels, predictions = found.labels.numpy()[kept], found.predictions.numpy()[kept]
    matrix = confusion(labels, predictions, classes)
    scores = found.logits.numpy()[kept]
    others = np.where(np.arange(len(classes)) == classes.index(rare), -np.inf, scores)
    reports = [
        class_report(labels, answers, classes, resamples=_RESAMPLES)
        for answers in (predictions, others.argmax(1))
    ]
    shown = kept[matrix.pictures(*cell)]
    return Judged(name, images, matrix, cell, shown, rare, share, *reports)
