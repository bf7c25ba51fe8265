from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from course_utils.core import CourseError
from course_utils.metrics import (
    McNemar,
    bootstrap_interval,
    mcnemar,
    paired_bootstrap,
    pictures_for_width,
    pictures_to_compare,
    seeds_to_compare,
    wilson_interval,
)

trios = st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=60)


@given(trios)
def test_mcnemar_counts_and_is_symmetric(trio):
    labels, a, b = np.array(trio).T
    test, turned = mcnemar(labels, a, b), mcnemar(labels, b, a)
    assert test.both + test.only_a + test.only_b + test.neither == len(trio)
    accuracies = (a == labels).mean(), (b == labels).mean()
    assert test.difference == pytest.approx(accuracies[0] - accuracies[1])
    assert abs(test.difference) <= test.disagreement + 1e-12
    assert (turned.only_a, turned.only_b) == (test.only_b, test.only_a)
    assert test.p_value == pytest.approx(turned.p_value)
    smaller, n = min(test.only_a, test.only_b), test.only_a + test.only_b
    by_hand = min(1.0, 2 * stats.binom.cdf(smaller, n, 0.5)) if n else 1.0
    assert test.p_value == pytest.approx(by_hand)
    assert mcnemar(labels, a, a).p_value == 1.0


def two(n: int, only_a: int, only_b: int):
    """Return labels and predictions of two classifiers that differ on some pictures."""
    labels = np.arange(n) % 3
    a, b = labels.copy(), labels.copy()
    b[:only_a] = (b[:only_a] + 1) % 3
    a[only_a : only_a + only_b] = (a[only_a : only_a + only_b] + 1) % 3
    return labels, a, b


def test_the_paired_bootstrap():
    labels, a, b = two(600, 60, 20)
    found = paired_bootstrap(labels, a, b, seed=1)
    assert found.middle == pytest.approx(40 / 600) and found.low > 0.03
    # The pairs' differences are +1, −1 and 0: their standard error is known.
    half = 1.96 * np.sqrt(80 / 600 - (40 / 600) ** 2) / np.sqrt(600)
    assert found.ends == pytest.approx((found.middle - half, found.middle + half), abs=0.004)
    turned = paired_bootstrap(labels, b, a, seed=2)
    assert turned.middle == -found.middle and turned.high < -0.03
    assert found == paired_bootstrap(labels, a, b, seed=1)
    even = paired_bootstrap(*two(600, 40, 41))
    assert even.low < 0 < even.high and mcnemar(*two(600, 40, 41)).p_value > 0.5
    same = paired_bootstrap(labels, a, a)
    assert same.middle == same.low == same.high == 0


@settings(max_examples=25)
@given(trios)
def test_macro_f1_is_scikit_learns(trio):
    labels, a, b = np.array([*trio, (0, 0, 0), (1, 1, 1), (2, 2, 2)]).T
    expected = f1_score(labels, a, average="macro") - f1_score(labels, b, average="macro")
    found = paired_bootstrap(labels * 7, a * 7, b * 7, measure="macro f1", resamples=100)
    assert found.middle == pytest.approx(expected)


def power_of_mcnemar(n: int, difference: float, disagreement: float, level: float) -> float:
    """Return the exact power: over every number of pictures that can differ."""
    share = (disagreement + difference) / 2 / disagreement
    power = 0.0
    for differ in range(n + 1):
        chance = stats.binom.pmf(differ, n, disagreement)
        if chance > 1e-9:
            # The exact test rejects if the smaller side is at most `bound`.
            bound = stats.binom.ppf(level / 2, differ, 0.5) - 1
            bound += 2 * stats.binom.cdf(bound + 1, differ, 0.5) <= level
            ends = stats.binom.cdf(bound, differ, share) + stats.binom.cdf(bound, differ, 1 - share)
            power += chance * ends
    return float(power)


@pytest.mark.parametrize(("difference", "disagreement"), [(0.05, 0.1), (-0.1, 0.15), (0.08, 0.3)])
def test_so_many_pictures_see_the_difference(difference, disagreement):
    n = pictures_to_compare(difference, disagreement)
    # The exact test is a little more careful than the formula.
    assert 0.72 < power_of_mcnemar(n, difference, disagreement, 0.05) < 0.83
    assert pictures_to_compare(difference, disagreement, power=0.9) > n
    assert pictures_to_compare(difference / 2, disagreement) > 3 * n


@given(st.floats(0.15, 0.85), st.floats(0.01, 0.03))
def test_pictures_for_a_width(accuracy, half):
    n = pictures_for_width(accuracy, half)
    low, high = wilson_interval(round(accuracy * n), n)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)


@pytest.mark.parametrize(("difference", "spread"), [(0.01, 0.01), (-0.02, 0.01), (0.004, 0.01)])
def test_so_many_seeds_see_the_difference(difference, spread):
    n = seeds_to_compare(difference, spread)
    draw = np.random.default_rng(0).normal(0, spread, (2, 4000, n))
    seen = stats.ttest_ind(draw[0] + difference, draw[1], axis=1).pvalue < 0.05
    assert 0.78 < seen.mean() < 0.92
    assert seeds_to_compare(2 * difference, 2 * spread) == n
    assert seeds_to_compare(difference, spread, power=0.95) > n


def test_known_numbers_of_seeds():
    # Cohen 1988, table 2.4.1: an effect of 0.5 needs 64 in each group, one of 0.8 needs 26.
    assert (seeds_to_compare(0.5, 1), seeds_to_compare(0.8, 1)) == (64, 26)
    assert seeds_to_compare(100, 1) == 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pictures_for_width(1.0, 0.01), "accuracy=1.0"),
        (lambda: pictures_for_width(0.9, 0), "half_width=0"),
        (lambda: pictures_to_compare(0, 0.1), "difference=0"),
        (lambda: pictures_to_compare(0.1, 0.05), "at least the difference, 0.1"),
        (lambda: pictures_to_compare(0.1, 0.2, power=1), "power=1"),
        (lambda: seeds_to_compare(0, 1), "other than 0"),
        (lambda: seeds_to_compare(0.1, 0), "spread=0"),
        (lambda: seeds_to_compare(1e-6, 1), "more than 10,000 seeds"),
        (lambda: paired_bootstrap([0], [0], [0], measure="f1"), "'accuracy', 'macro f1'"),
        (lambda: paired_bootstrap([0], [0], [0], resamples=9), "resamples=9"),
        (lambda: paired_bootstrap([0], [0], [0], seed=-1), "seed=-1"),
        (lambda: paired_bootstrap([0], [0], [0], confidence="much"), "confidence='much'"),
        (lambda: bootstrap_interval(np.mean, [1, 2], seed=0.5), "seed=0.5"),
        (lambda: seeds_to_compare(float("inf"), 1), "finite number other than 0"),
        (lambda: mcnemar([0, 1], [0, -1], [0, 1]), "A begin at -1: classes are counted from 0"),
        (lambda: mcnemar([0, 1], [0, 0.5], [0, 1]), "A are float64: give whole numbers"),
    ],
)
def test_what_is_not_possible(call, words):
    with pytest.raises(CourseError, match=words):
        call()


def test_the_words_of_a_test():
    assert str(McNemar(80, 12, 3, 5)) == "12 right by A only, 3 by B only, p = 0.035"
