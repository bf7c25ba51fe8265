"""How far the results of several seeds lie apart: a middle, and an interval around it.

One training is one throw of the dice. Two methods differ if their intervals lie apart; if these
overlap much, a few seeds more may turn the order round.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from course_utils.core import CourseError


@dataclass(frozen=True)
class Estimate:
    """A middle and an interval around it.

    `str` writes it with four significant digits, a format string as it says:

    >>> print(Estimate(0.85, 0.84, 0.87, 0.9375))
    0.85 (0.84 to 0.87, level 94%)
    >>> print(f"{Estimate(0.85, 0.84, 0.87, 0.9375):.1%}")
    85.0% (84.0% to 87.0%, level 94%)

    Attributes:
        middle: median or mean.
        low, high: ends of the interval.
        level: share of experiments of this kind whose interval contains the true middle.
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
        """Whether the two intervals have a point in common."""
        return self.low <= other.high and other.low <= self.high

    def __format__(self, spec: str) -> str:
        middle, low, high = (format(v, spec or ".4g") for v in (self.middle, self.low, self.high))
        return f"{middle} ({low} to {high}, level {self.level:.0%})"

    def __str__(self) -> str:
        return format(self, "")


def median_interval(values: Iterable[float], *, confidence: float = 0.95) -> Estimate:
    """The median, and an interval for it that holds whatever the distribution is.

    Each value lies below the true median with probability one half, so how many do is binomial.
    Hence the interval from the k-th smallest to the k-th largest of n values contains the median
    with probability 1 − 2 P(B ≤ k − 1), B binomial (n, 1/2): with 5 values and k = 1, the whole
    range, 1 − 2 · 0.5⁵ = 93.75 % (Thompson 1936, "On confidence ranges for the median and other
    expectation distributions for populations of unknown distribution form"). For values that
    repeat, the probability is at least that.

    Args:
        values: two or more; of a few seeds, say.
        confidence: k is the largest with at least this probability; 1 if even the range has less.

    Returns:
        Median, interval, and the level that it really has.

    Raises:
        CourseError: fewer than two values, one that is not finite, or confidence outside 0 to 1.
    """
    found = _read(values, confidence)
    n, middle = len(found), len(found) // 2
    median = found[middle] if n % 2 else (found[middle - 1] + found[middle]) / 2
    k, outside = 1, 2 * 0.5**n
    while 2 * (k + 1) <= n and 1 - (wider := outside + 2 * math.comb(n, k) * 0.5**n) >= confidence:
        k, outside = k + 1, wider
    return Estimate(median, found[k - 1], found[n - k], 1 - outside)


def mean_interval(values: Iterable[float], *, confidence: float = 0.95) -> Estimate:
    """The mean, and Student's interval for it, as right as the values are normally distributed.

    Half of its width is t · s / √n, with s the standard deviation and t the quantile of Student's
    distribution with n − 1 degrees of freedom (Student 1908, "The probable error of a mean").

    Raises:
        CourseError: fewer than two values, one that is not finite, or confidence outside 0 to 1.
    """
    from scipy.stats import t

    found = _read(values, confidence)
    n = len(found)
    mean = math.fsum(found) / n
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in found) / (n - 1))
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * deviation / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, confidence)


def _read(values: Iterable[float], confidence: float) -> list[float]:
    """The values in order."""
    found = sorted(float(value) for value in values)
    if len(found) < 2:
        raise CourseError(
            f"{len(found)} value{'s' * (len(found) != 1)} cannot show a spread: give at least 2, "
            "of different seeds; 5 are a good beginning."
        )
    if not all(map(math.isfinite, found)):
        raise CourseError(
            "A value is nan or infinite, so there is no interval: count the runs that failed apart."
        )
    if not 0 < confidence < 1:
        raise CourseError(f"confidence={confidence}: give a share between 0 and 1; 0.95 is usual.")
    return found
