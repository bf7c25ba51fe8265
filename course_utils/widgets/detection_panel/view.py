"""The boxes of one photograph, and precision and recall over all test photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course_utils.core import CourseError
from course_utils.data import Dataset
from course_utils.metrics import Matches, match, match_all
from course_utils.models import Detections, Detector
from course_utils.training import propose_all

LOWEST = 0.05
"""Boxes of lower scores belong to no curve."""


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one class over all photographs, as the lowest score falls.

    Attributes:
        recall, precision: After each box, the surest first.
        at: The point of the chosen score: (recall, precision).
    """

    recall: list[float]
    precision: list[float]
    at: tuple[float, float]


@dataclass(frozen=True)
class DetectionView:
    """The boxes of a photograph and the curves, as the panel shows them.

    Attributes:
        data: The data set.
        picture: Number of the test photograph.
        found, matches: The boxes in it, and which of them are right.
        curves: By the name of the class; {} while a detector is being trained.
        all: Precision and recall of all classes and photographs; None during a training.
        settings: In words.
    """

    data: Dataset
    picture: int
    found: Detections
    matches: Matches
    curves: dict[str, Curve]
    all: tuple[float, float] | None
    settings: str


class DetectorViewer:
    """Chooses boxes of a detector for all test photographs, by score, overlap and level.

    Args:
        detector: Runs once over all photographs, when the first view is asked for.
        data: Its `test` part is a `BoxSet`.
    """

    def __init__(self, detector: Detector, data: Dataset) -> None:
        self.detector, self.data = detector, data
        self._proposals: list | None = None
        self._chosen: dict[tuple, tuple] = {}

    def view(
        self, picture: int, score: float, overlap: float, levels: Sequence[int]
    ) -> DetectionView:
        """Return the view of these settings.

        Raises:
            CourseError: If no level may propose.
        """
        self._check(levels)
        if self._proposals is None:
            self._proposals = propose_all(self.detector, self.data)
        # A surer box is never dropped for a less sure one, so the score can be applied afterwards.
        every, right = self._all(overlap, tuple(levels))
        found = _above(every[picture], score)
        scores, labels = (
            torch.cat([getattr(one, part) for one in every]) for part in ("scores", "labels")
        )
        curves = {
            name: _curve(scores[labels == k], right[labels == k], count, score)
            for k, (name, count) in enumerate(self.data.test.counts.items())
        }
        sure = scores >= score
        hits, count = float(right[sure].sum()), int(sure.sum())
        objects = max(1, sum(self.data.test.counts.values()))
        total = (hits / objects, hits / count if count else 1.0)
        return self._made(picture, found, curves, total, score, overlap, levels)

    def glance(
        self, picture: int, score: float, overlap: float, levels: Sequence[int]
    ) -> DetectionView:
        """Return the view of one photograph as the detector finds it at this moment."""
        self._check(levels)
        image = self.data.test.images[picture : picture + 1]
        found = propose_all(self.detector, self.data, image)[0].choose(score, overlap, levels)
        return self._made(picture, found, {}, None, score, overlap, levels)

    def _made(self, picture, found, curves, total, score, overlap, levels) -> DetectionView:
        truth = self.data.test
        matches = match(found, truth.boxes[picture], truth.labels[picture])
        strides = ", ".join(str(self.detector.strides[level]) for level in levels)
        settings = f"score at least {score:.2f}, IoU at most {overlap:.2f}, strides {strides}"
        return DetectionView(self.data, picture, found, matches, curves, total, settings)

    def _all(self, overlap: float, levels: tuple[int, ...]) -> tuple[list[Detections], Tensor]:
        """Return all boxes above the lowest score, and which of them are right."""
        key = overlap, levels
        if key not in self._chosen:
            if len(self._chosen) > 200:
                self._chosen.clear()
            every = [one.choose(LOWEST, overlap, levels) for one in self._proposals]
            self._chosen[key] = every, match_all(every, self.data.test).right
        return self._chosen[key]

    @staticmethod
    def _check(levels: Sequence[int]) -> None:
        if not levels:
            raise CourseError("No level may propose a box: switch on at least one stride.")


def _above(found: Detections, score: float) -> Detections:
    sure = found.scores >= score
    return Detections(*(part[sure] for part in vars(found).values()))


def _curve(scores: Tensor, right: Tensor, objects: int, score: float) -> Curve:
    order = scores.argsort(descending=True, stable=True)
    hits = right[order].double().cumsum(0)
    precision = (hits / torch.arange(1, len(hits) + 1)).tolist()
    recall = (hits / max(1, objects)).tolist()
    count = int((scores >= score).sum())
    at = (recall[count - 1], precision[count - 1]) if count else (0.0, 1.0)
    return Curve(recall, precision, at)
