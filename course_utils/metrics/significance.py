"""Differences between two classifiers: more than chance, or not, and how many pictures show it.

>>> labels, a = [0] * 30, [0] * 20 + [1] * 10
>>> b = [0] * 12 + [1] * 18
>>> test = mcnemar(labels, a, b)
>>> test.only_a, test.only_b, round(test.p_value, 4)
(8, 0, 0.0078)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from course_utils.core import CourseError, is_number
from course_utils.metrics.class_report import draw_counts, tally
from course_utils.metrics.intervals import Estimate, percentile_estimate
from course_utils.metrics.labelled import check_every_class, class_numbers, labels_and_predictions

MOST_SEEDS = 10_000


@dataclass(frozen=True)
class McNemar:
    """The pictures on which two classifiers agree and differ.

    Attributes:
        both: Pictures that both classify correctly.
        only_a, only_b: Pictures that only one of them classifies correctly.
        neither: Pictures that none of them classifies correctly.
    """

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def p_value(self) -> float:
        """The probability of a split at least as uneven if both are equally good, two-sided.

        The pictures on which exactly one is right then go to A or B like coins. This is McNemar's
        test in its exact form (McNemar 1947, "Note on the sampling error of the difference between
        correlated proportions or percentages").
        """
        from scipy.stats import binomtest

        differ = self.only_a + self.only_b
        return float(binomtest(self.only_a, differ).pvalue) if differ else 1.0

    @property
    def difference(self) -> float:
        """Accuracy of A minus accuracy of B."""
        return (self.only_a - self.only_b) / self._total

    @property
    def disagreement(self) -> float:
        """Share of the pictures on which exactly one is right, in [0, 1]."""
        return (self.only_a + self.only_b) / self._total

    @property
    def _total(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither

    def __str__(self) -> str:
        return f"{self.only_a} right by A only, {self.only_b} by B only, p = {self.p_value:.2g}"


def mcnemar(labels: Any, a: Any, b: Any) -> McNemar:
    """Count on which pictures two classifiers are right, for McNemar's test.

    Args:
        labels, a, b: True classes, and the predictions of both for the same pictures: (N,).

    Raises:
        CourseError: If they do not fit each other.
    """
    true, first, second = _three(labels, a, b)
    right_a, right_b = first == true, second == true
    both, only_a = (right_a & right_b).sum(), (right_a & ~right_b).sum()
    only_b, neither = (~right_a & right_b).sum(), (~right_a & ~right_b).sum()
    return McNemar(int(both), int(only_a), int(only_b), int(neither))


def paired_bootstrap(
    labels: Any,
    a: Any,
    b: Any,
    *,
    measure: str = "accuracy",
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Return how much better A is than B, with an interval; without 0 in it, more than chance.

    Each resample draws pictures with replacement and compares both on the *same* pictures: what is
    hard for both does not count as a difference (Efron and Tibshirani 1993, "An introduction to the
    bootstrap").

    Args:
        labels, a, b: As for `mcnemar`.
        measure: "accuracy" or "macro f1".
        resamples: How often pictures are drawn; from 100 up.
        confidence: Level of the interval.
        seed: Of the drawn pictures.

    Raises:
        CourseError: If labels and predictions do not fit each other, a class has no picture
            ("macro f1"), or a setting is not possible.
    """
    if measure not in _MEASURES:
        raise CourseError(f"measure={measure!r}: give one of {', '.join(map(repr, _MEASURES))}.")
    pair = np.stack(_three(labels, a, b))
    numbers, found = np.unique(pair, return_inverse=True)
    found = found.reshape(pair.shape)
    if measure == "macro f1":
        check_every_class(found[0], [f"class {n}" for n in numbers], "the macro F1")
    # A picture counts in one cell (label, answer of A, answer of B); most cells are empty.
    cells, counts = np.unique(found, axis=1, return_counts=True)
    drawn = draw_counts(counts, resamples, seed)
    score, kind = _MEASURES[measure]

    def difference(counts: np.ndarray) -> np.ndarray:
        tallies = (tally(cells[0], answers, counts, len(numbers)) for answers in cells[1:])
        first, second = (one.mean(score, kind) for one in tallies)
        return first - second

    return percentile_estimate(float(difference(counts[None])[0]), difference(drawn), confidence)


_MEASURES = {"accuracy": ("f1", "micro"), "macro f1": ("f1", "macro")}


def pictures_for_width(accuracy: float, half_width: float, *, confidence: float = 0.95) -> int:
    """Return how many test pictures put an accuracy within ± `half_width`, such as 0.01.

    It is z² p (1 − p) / h², rounded up: four times as many pictures for half the width. Near 0 and
    1 the formula is too low, because it is a normal approximation.

    Raises:
        CourseError: If a number is not between 0 and 1.
    """
    _check_shares(accuracy=accuracy, half_width=half_width, confidence=confidence)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return math.ceil(z * z * accuracy * (1 - accuracy) / half_width**2)


def pictures_to_compare(
    difference: float, disagreement: float, *, power: float = 0.8, level: float = 0.05
) -> int:
    """Return how many test pictures McNemar's test needs to see a difference in accuracy.

    The formula is a normal approximation: (z₁ √s + z₂ √(s − d²))² / d² with s the disagreement, d
    the difference, z₁ and z₂ the normal quantiles of 1 − level/2 and of the power (Connor 1987,
    "Sample size for testing differences in proportions for the paired-sample design").

    Args:
        difference: In accuracy, such as 0.01; its sign does not count.
        disagreement: Share of pictures on which exactly one is right; at least the difference.
        power: Probability to see the difference.
        level: Probability to see one where there is none.

    Raises:
        CourseError: If a number is not possible.
    """
    _check_difference(difference)
    _check_shares(power=power, level=level)
    d = abs(difference)
    if not is_number(disagreement) or not d <= disagreement <= 1:
        raise CourseError(
            f"disagreement={disagreement!r}: it is at least the difference, {d:g}, and at most 1."
        )
    z_level, z_power = (NormalDist().inv_cdf(p) for p in (1 - level / 2, power))
    root = z_level * math.sqrt(disagreement) + z_power * math.sqrt(disagreement - d * d)
    return math.ceil((root / d) ** 2)


def seeds_to_compare(
    difference: float, spread: float, *, power: float = 0.8, level: float = 0.05
) -> int:
    """Return how many seeds each of two methods needs, so that a t test sees their difference.

    The power is exact for normally distributed results with equal spread (two-sided t test of two
    independent samples, noncentral t distribution; Cohen 1988, "Statistical power analysis").

    Args:
        difference: Between the two means, such as 0.005 of accuracy; its sign does not count.
        spread: Standard deviation of the result over seeds.
        power, level: As for `pictures_to_compare`.

    Raises:
        CourseError: If a number is not possible, or more than 10,000 seeds are needed.
    """
    if not is_number(difference) or not math.isfinite(difference) or difference == 0:
        raise CourseError(f"difference={difference!r}: give a finite number other than 0.")
    if not is_number(spread) or not 0 < spread < math.inf:
        raise CourseError(f"spread={spread!r}: give a standard deviation above 0.")
    _check_shares(power=power, level=level)
    effect = abs(difference) / spread
    low, high = 1, 2
    while _t_power(effect, high, level) < power:
        low, high = high, 2 * high
        if high > 2 * MOST_SEEDS:
            break
    while high - low > 1:  # the power rises with the number
        middle = (low + high) // 2
        low, high = (low, middle) if _t_power(effect, middle, level) >= power else (middle, high)
    if high > MOST_SEEDS:
        raise CourseError(
            f"A difference of {difference:g} with a spread of {spread:g} needs more than "
            f"{MOST_SEEDS:,} seeds: such a difference cannot be seen this way."
        )
    return high


def _t_power(effect: float, seeds: int, level: float) -> float:
    """Return the probability that a two-sided t test with `seeds` in each group sees an effect."""
    from scipy.stats import nct, t

    freedom, shift = 2 * seeds - 2, effect * math.sqrt(seeds / 2)
    bound = t.ppf(1 - level / 2, freedom)
    if shift > 30:  # certain, and SciPy's tail is not accurate there
        return 1.0
    return float(nct.sf(bound, freedom, shift) + nct.cdf(-bound, freedom, shift))


def _three(labels: Any, a: Any, b: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    true = class_numbers(labels, None)
    first = labels_and_predictions(true, a, None, "predictions of A")[1]
    second = labels_and_predictions(true, b, None, "predictions of B")[1]
    return true, first, second


def _check_difference(difference: Any) -> None:
    if not is_number(difference) or not 0 < abs(difference) <= 1:
        raise CourseError(
            f"difference={difference!r}: give a difference of accuracies from above 0 to 1, such "
            "as 0.01."
        )


def _check_shares(**values: Any) -> None:
    for name, value in values.items():
        if not is_number(value) or not 0 < value < 1:
            raise CourseError(f"{name}={value!r}: give a share between 0 and 1.")
