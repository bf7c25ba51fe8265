"""Confidence intervals: for an accuracy, and for the results of several seeds.

One training is like one throw of a die. Two methods differ if their intervals do not overlap. If
they overlap much, the order of the methods may change with a few more seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import NormalDist, fmean, median, stdev
from typing import Any, NamedTuple

import numpy as np

from course_utils.core import CourseError, is_number, whole_number


class Interval(NamedTuple):
    """From `low` to `high`, both in [0, 1]."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.1%} to {self.high:.1%}"


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval for an accuracy when `correct` of `total` answers are right.

    It contains all p for which the measured share is within z standard errors √(p(1 − p)/n) of p
    (Wilson 1927, "Probable inference, the law of succession, and statistical inference"). Unlike
    p̂ ± z·√(p̂(1 − p̂)/n) it stays in [0, 1], and its width is not 0 when all answers are right.

    Raises:
        CourseError: If not 0 <= correct <= total, total is 0, or `confidence` is not in (0, 1).
    """
    if total < 1 or not 0 <= correct <= total:
        raise CourseError(
            f"{correct} right of {total} is impossible: give 0 <= correct <= total and total >= 1."
        )
    _check_confidence(confidence)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + (z / total) ** 2 / 4)
    # With no or all answers right a bound is exactly 0 or 1, which rounding might miss by 1e-17.
    low = 0.0 if correct == 0 else max(0.0, min(centre - half, share))
    high = 1.0 if correct == total else min(1.0, max(centre + half, share))
    return Interval(low, high)


@dataclass(frozen=True)
class Estimate:
    """A median or mean, and an interval around it.

    `str` writes four significant digits; a format string changes this:

    >>> print(Estimate(0.85, 0.84, 0.87, 0.9375))
    0.85 (0.84 to 0.87, level 94%)
    >>> print(f"{Estimate(0.85, 0.84, 0.87, 0.9375):.1%}")
    85.0% (84.0% to 87.0%, level 94%)

    Attributes:
        middle: median or mean.
        low, high: ends of the interval.
        level: share of such experiments whose interval contains the true median or mean.
    """

    middle: float
    low: float
    high: float
    level: float

    @property
    def ends(self) -> tuple[float, float]:
        """(low, high), as `plots.bars` takes them."""
        return self.low, self.high

    def overlaps(self, other: Estimate) -> bool:
        """Return whether the two intervals have a point in common."""
        return self.low <= other.high and other.low <= self.high

    def __format__(self, spec: str) -> str:
        middle, low, high = (format(v, spec or ".4g") for v in (self.middle, self.low, self.high))
        return f"{middle} ({low} to {high}, level {self.level:.0%})"

    def __str__(self) -> str:
        return format(self, "")


def median_interval(values: Iterable[float], *, confidence: float = 0.95) -> Estimate:
    """Return the median, and an interval for it that is valid for every distribution.

    Each value is below the true median with probability 1/2, so their number is binomial. The
    interval from the k-th smallest to the k-th largest of n values therefore contains the median
    with probability 1 − 2 P(B ≤ k − 1), with B binomial (n, 1/2). Example: 5 values and k = 1, the
    whole range: 1 − 2 · 0.5⁵ = 93.75 % (Thompson 1936, "On confidence ranges for the median and
    other expectation distributions for populations of unknown distribution form"). If values
    repeat, this is the least probability.

    Args:
        values: two or more, such as the results of a few seeds.
        confidence: k is the largest with at least this probability; 1 if even the range has less.

    Returns:
        Median, interval, and its true level.

    Raises:
        CourseError: fewer than two values, a value that is not finite, or confidence not in (0, 1).
    """
    found = _sorted_values(values, confidence)
    n = len(found)
    k, outside = 1, 2 * 0.5**n
    while 2 * (k + 1) <= n and 1 - (wider := outside + 2 * math.comb(n, k) * 0.5**n) >= confidence:
        k, outside = k + 1, wider
    return Estimate(median(found), found[k - 1], found[n - k], 1 - outside)


def mean_interval(values: Iterable[float], *, confidence: float = 0.95) -> Estimate:
    """Return the mean, and Student's interval for it, which assumes normally distributed values.

    Half of its width is t · s / √n, where s is the standard deviation and t the quantile of
    Student's distribution with n − 1 degrees of freedom (Student 1908, "The probable error of a
    mean").

    Raises:
        CourseError: fewer than two values, a value that is not finite, or confidence not in (0, 1).
    """
    from scipy.stats import t

    found = _sorted_values(values, confidence)
    n, mean = len(found), fmean(found)
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * stdev(found, mean) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, confidence)


def bootstrap_interval(
    statistic: Callable[..., float],
    *columns: Any,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Return a statistic of all rows, and its percentile interval by the bootstrap.

    Each resample draws as many rows as there are, with replacement, and computes the statistic
    again. The interval contains the middle `confidence` of these values (Efron 1979, "Bootstrap
    methods: another look at the jackknife").

    >>> right = np.array([True] * 90 + [False] * 10)
    >>> print(f"{bootstrap_interval(np.mean, right):.2f}")
    0.90 (0.84 to 0.96, level 95%)

    Args:
        statistic: takes the columns, and returns a number.
        columns: arrays or tensors of N rows that belong together, such as labels and predictions.
        resamples: how often rows are drawn; from 100 up.
        seed: of the drawn rows.

    Raises:
        CourseError: no column, columns of different lengths or without rows, a statistic that is
            not finite, or a setting that is not possible.
    """
    _check_confidence(confidence)
    whole_number("resamples", resamples, 100)
    whole_number("seed", seed, 0)
    arrays = [np.asarray(c.detach().cpu() if hasattr(c, "detach") else c) for c in columns]
    lengths = [len(array) if array.ndim else 0 for array in arrays]
    if not lengths or min(lengths) != max(lengths) or not lengths[0]:
        raise CourseError(
            f"The columns have {', '.join(map(str, lengths)) or 'no'} rows: give columns of the "
            "same length, with at least one row."
        )
    generator = np.random.default_rng(seed)
    rows = (generator.integers(lengths[0], size=lengths[0]) for _ in range(resamples))
    values = [float(statistic(*(array[some] for array in arrays))) for some in rows]
    return percentile_estimate(float(statistic(*arrays)), np.array(values), confidence)


def percentile_estimate(middle: float, values: np.ndarray, confidence: float) -> Estimate:
    """Return `middle` with the interval of the middle `confidence` of bootstrap values.

    Raises:
        CourseError: if a value is not finite.
    """
    _check_confidence(confidence)
    if not (math.isfinite(middle) and np.isfinite(values).all()):
        raise CourseError(
            "The statistic is not finite for some resamples, so there is no interval: take more "
            "rows, or a statistic that is defined for all of them."
        )
    outside = (1 - confidence) / 2
    low, high = np.quantile(values, [outside, 1 - outside])
    return Estimate(middle, float(low), float(high), confidence)


def _sorted_values(values: Iterable[float], confidence: float) -> list[float]:
    found = sorted(float(value) for value in values)
    if len(found) < 2:
        raise CourseError(
            f"{len(found)} value{'s' * (len(found) != 1)} cannot show a spread: give at least 2, "
            "of different seeds; 5 are a good start."
        )
    if not all(map(math.isfinite, found)):
        raise CourseError(
            "A value is nan or infinite, so there is no interval: leave out the runs that failed "
            "and report their number."
        )
    _check_confidence(confidence)
    return found


def _check_confidence(confidence: float) -> None:
    if not is_number(confidence) or not 0 < confidence < 1:
        raise CourseError(
            f"confidence={confidence!r}: give a share between 0 and 1; 0.95 is usual."
        )
