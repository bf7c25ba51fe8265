from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from course_utils.core import CourseError
from course_utils.metrics import Estimate, mean_interval, median_interval, wilson_interval

value = st.floats(-1e6, 1e6)
values = st.lists(value, min_size=2, max_size=20)
levels = st.floats(0.01, 0.99)
BOTH = (median_interval, mean_interval)
shares = st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=100)
@given(shares, st.floats(0.01, 0.9999))
def test_wilsons_interval(share, confidence):
    correct, total = share
    low, high = wilson_interval(correct, total, confidence)
    assert 0 <= low <= correct / total <= high <= 1 and low < high
    expected = stats.binomtest(correct, total).proportion_ci(confidence, method="wilson")
    assert (low, high) == pytest.approx(tuple(expected), abs=1e-9)
    # At each bound p the measured share is just z standard errors √(p(1 − p)/n) away from p.
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    for p in (low, high):
        if 0 < p < 1:
            gap = (correct / total - p) ** 2
            assert gap == pytest.approx(z * z * p * (1 - p) / total, rel=1e-5, abs=1e-13)
    mirrored = wilson_interval(total - correct, total, confidence)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-12)


def test_wilson_known_values():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    for correct, total, low, high in (
        *((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)),
        *((0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)),
    ):
        assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_what_is_impossible():
    for wrong in ((1, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)):
        with pytest.raises(CourseError):
            wilson_interval(*wrong)


def test_the_range_of_five_values():
    interval = median_interval([0.9, 0.86, 0.88, 0.87, 0.89])
    assert interval == Estimate(0.88, 0.86, 0.9, 1 - 2 * 0.5**5)
    assert interval.ends == (0.86, 0.9)
    assert str(interval) == "0.88 (0.86 to 0.9, level 94%)"
    assert f"{interval:.1%}" == "88.0% (86.0% to 90.0%, level 94%)"


@settings(max_examples=40)
@given(st.integers(2, 60), levels)
def test_the_level_is_the_binomial_one_and_the_interval_the_narrowest(n, level):
    interval = median_interval(range(n), confidence=level)
    k = int(interval.low) + 1
    assert interval.middle == (n - 1) / 2

    def reached(k: int) -> float:
        return 1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2**n

    assert interval.high == n - k
    assert interval.level == pytest.approx(reached(k))
    assert interval.level >= level or k == 1
    assert 2 * (k + 1) > n or reached(k + 1) < level


@settings(max_examples=40)
@given(values, st.floats(-1e3, 1e3), st.randoms())
def test_intervals_move_with_the_values_and_forget_their_order(numbers, shift, random):
    shuffled = random.sample(numbers, len(numbers))
    for make in BOTH:
        assert make(shuffled) == make(numbers)
        one, moved = make(numbers), make([v + shift for v in numbers])
        for name in ("middle", "low", "high"):
            assert getattr(moved, name) == pytest.approx(
                getattr(one, name) + shift, abs=1e-6, rel=1e-6
            )


def test_students_interval_by_its_formula():
    numbers = [0.81, 0.85, 0.84, 0.9]
    interval = mean_interval(numbers)
    want = stats.t.interval(0.95, 3, np.mean(numbers), stats.sem(numbers))
    assert interval.ends == pytest.approx(want) and interval.middle == pytest.approx(0.85)
    assert interval.level == 0.95
    assert mean_interval([2, 2, 2]) == Estimate(2, 2, 2, 0.95)


DRAWS = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("make", "level", "draws", "truth"),
    [
        (median_interval, 0.9375, DRAWS.normal(3.0, 2.0, (4000, 5)), 3.0),
        (median_interval, 0.9375, DRAWS.exponential(1.0, (4000, 5)), math.log(2)),
        (mean_interval, 0.95, DRAWS.normal(3.0, 2.0, (4000, 5)), 3.0),
    ],
)
def test_the_interval_contains_the_truth_as_often_as_it_says(make, level, draws, truth):
    hits = [(i := make(row)).low <= truth <= i.high for row in draws]
    assert abs(np.mean(hits) - level) < 0.015


def test_overlap():
    one = Estimate(1, 0, 2, 0.9)
    assert one.overlaps(Estimate(3, 2, 4, 0.9)) and Estimate(3, 2, 4, 0.9).overlaps(one)
    assert not one.overlaps(Estimate(3, 2.1, 4, 0.9))
    assert not Estimate(3, 2.1, 4, 0.9).overlaps(one)


def test_what_has_no_interval():
    for make in BOTH:
        for numbers, level, text in (
            ([], 0.9, "0 values cannot"),
            ([1.0], 0.9, "1 value cannot"),
            ([1.0, math.nan], 0.9, "nan or infinite"),
            ([1.0, 2.0], 1.0, "confidence=1.0"),
            ([1.0, 2.0], 0.0, "confidence=0.0"),
        ):
            with pytest.raises(CourseError, match=text):
                make(numbers, confidence=level)
