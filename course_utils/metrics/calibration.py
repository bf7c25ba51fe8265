"""Calibration: whether a network that is sure to 90 % is right in 90 % of such cases.

>>> logits, labels = [[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 4.0]], [0, 0, 1, 1]
>>> round(fit_temperature(logits, labels), 2)  # 3 of 4 are right, but it is sure to 98 %
3.64
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from course_utils.core import CourseError, whole_number
from course_utils.metrics.intervals import Interval, wilson_interval
from course_utils.metrics.labelled import as_numbers, labels_and_probabilities, labels_and_scores

_FURTHEST = 1e4  # the temperature is searched within this factor of the mean gap of the scores


@dataclass(frozen=True, eq=False)
class Reliability:
    """Pictures grouped by how sure the network is of its answer.

    Attributes:
        edges: Ends of the bins of the confidence, (bins + 1,), from 0 to 1.
        counts: Number of pictures in each bin, (bins,).
        correct: Number of right answers in each bin, (bins,).
        confidence: Mean probability of the answer in each bin; NaN for an empty one.
    """

    edges: np.ndarray = field(repr=False)
    counts: np.ndarray = field(repr=False)
    correct: np.ndarray = field(repr=False)
    confidence: np.ndarray = field(repr=False)

    @property
    def accuracy(self) -> np.ndarray:
        """Share of right answers in each bin; NaN for an empty one."""
        return np.where(self.counts > 0, self.correct / np.maximum(self.counts, 1), np.nan)

    @property
    def error(self) -> float:
        """Expected calibration error, in [0, 1].

        It is the mean over all pictures of |accuracy − confidence| of their bin (Naeini et al.
        2015, "Obtaining well calibrated probabilities using Bayesian binning"; Guo et al. 2017, "On
        calibration of modern neural networks"). With few pictures in a bin it is above 0 even for a
        perfect network, so compare it only between equally many pictures and bins.
        """
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.nansum(self.counts * gaps) / self.counts.sum())

    @property
    def excess(self) -> float:
        """Mean confidence minus accuracy: above 0 the network is too sure, below 0 not enough."""
        sure = np.nansum(self.counts * self.confidence)
        return float((sure - self.correct.sum()) / self.counts.sum())

    def intervals(self, level: float = 0.95) -> list[Interval | None]:
        """Return Wilson's interval for the accuracy of each bin; None for an empty one."""
        pairs = zip(self.correct.tolist(), self.counts.tolist(), strict=True)
        return [wilson_interval(right, n, level) if n else None for right, n in pairs]


def reliability(labels: Any, probabilities: Any, *, bins: int = 15) -> Reliability:
    """Return accuracy by confidence; `.error` of it is the expected calibration error.

    Args:
        labels: Numbers of classes of the whole set, (N,).
        probabilities: (N, classes); each row has the sum 1.
        bins: Equally wide bins of the confidence, from 1 up. Guo et al. (2017) take 15.

    Raises:
        CourseError: If labels and probabilities do not fit each other, or are not such numbers.
    """
    whole_number("bins", bins, 1)
    true, found = labels_and_probabilities(labels, probabilities, _classes_of(probabilities))
    confidence = found.max(1).clip(max=1)
    right = found.argmax(1) == true
    edges = np.linspace(0, 1, bins + 1)
    # A bin contains its upper end, as in Guo et al.
    place = np.searchsorted(edges, confidence, side="left").clip(1, bins) - 1
    counts = np.bincount(place, minlength=bins)
    sums = np.bincount(place, weights=confidence, minlength=bins)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    correct = np.bincount(place[right], minlength=bins)
    return Reliability(edges, counts, correct, means)


def fit_temperature(logits: Any, labels: Any) -> float:
    """Return the temperature T > 0 with which softmax(logits / T) fits the labels best.

    T minimises the cross-entropy; there is one such T, because the cross-entropy is convex in 1/T.
    Above 1 the network was too sure, below 1 not sure enough. The predictions do not change (Guo et
    al. 2017, "On calibration of modern neural networks", temperature scaling). Take logits of
    *validation* pictures: T is fitted, and the test pictures must not decide it.

    Args:
        logits: (N, classes).
        labels: Numbers of classes, (N,).

    Raises:
        CourseError: If logits and labels do not fit each other, or no T is best: all answers are
            right, or they are no better than guesses.
    """
    from scipy.optimize import brentq

    true, scores = labels_and_scores(labels, logits, _classes_of(logits))
    scores = scores - scores.max(1, keepdims=True)  # the softmax does not change
    scale = max(-float(scores.mean()), np.finfo(float).tiny)  # logits may have any unit
    scores = scores / scale
    own = scores[np.arange(len(true)), true]

    def slope(log_sharpness: float) -> float:
        """Return the derivative of the mean cross-entropy by 1/T; it rises with 1/T."""
        weights = np.exp(np.exp(log_sharpness) * scores)
        return float(((weights * scores).sum(1) / weights.sum(1) - own).mean())

    low, high = -np.log(_FURTHEST), np.log(_FURTHEST)
    if slope(low) >= 0:
        raise CourseError(
            "The scores are no better than guesses, so the hotter the better, and no temperature "
            "is the best: check that logits and labels are in the same order."
        )
    if slope(high) <= 0:
        raise CourseError(
            f"The label has the highest of the scores in all {len(true)} pictures, or nearly: the "
            "colder the better, so no temperature is the best. Take pictures that the network was "
            "not trained on, and more of them."
        )
    return scale * float(np.exp(-brentq(slope, low, high, xtol=1e-10)))


def _classes_of(scores: Any) -> int:
    found = as_numbers(scores, "scores")
    if found.ndim != 2 or found.shape[1] < 2:
        raise CourseError(
            f"scores are of shape {found.shape}: give one for each picture and each of at least 2 "
            "classes, (N, classes)."
        )
    return found.shape[1]
