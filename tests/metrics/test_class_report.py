from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from course_utils.core import CourseError
from course_utils.metrics import MEANS, MEASURES, bootstrap_interval, class_report
from course_utils.metrics.class_report import draw_counts, tally

NAMES = ("a", "b", "c", "d")


@st.composite
def answers(draw):
    """Labels in which every class occurs, and any predictions."""
    labels = [*range(4), *draw(st.lists(st.integers(0, 3), max_size=20))]
    size = {"min_size": len(labels), "max_size": len(labels)}
    return np.array(labels), np.array(draw(st.lists(st.integers(0, 3), **size)))


@settings(max_examples=60)
@given(answers())
def test_the_measures_of_the_resamples_are_those_of_scikit_learn(pair):
    """So that the number and its interval are of the same thing."""
    cells, counts = np.unique(np.stack(pair), axis=1, return_counts=True)
    found = tally(*cells, counts[None], 4)
    for kind in (None, *MEANS):
        expected = precision_recall_fscore_support(*pair, average=kind, zero_division=0)
        for name, values in zip(MEASURES, expected[:3], strict=True):
            own = found.by_class(name) if kind is None else found.mean(name, kind)
            np.testing.assert_allclose(own[0], values)


def test_a_report():
    labels = np.repeat([0, 1, 2, 3], [200, 100, 60, 40])
    wrong = np.random.default_rng(1).random(400) < 0.2
    predictions = np.where(wrong, (labels + 1) % 4, labels)
    report = class_report(labels, predictions, NAMES, seed=3)
    assert report.support == (200, 100, 60, 40)
    assert report.accuracy.middle == pytest.approx(1 - wrong.mean())
    assert report.micro.f1 == report.micro.recall == report.accuracy
    assert report.weighted.recall.middle == pytest.approx(report.accuracy.middle)
    for one in (*report.precision, *report.recall, *report.f1, *report.macro, *report.weighted):
        assert 0 <= one.low < one.middle < one.high <= 1 and one.level == 0.95
    widths = [one.high - one.low for one in report.recall]
    assert widths[0] < widths[3], "fewer pictures, wider interval"
    assert report == class_report(labels, predictions, NAMES, seed=3)
    assert report != class_report(labels, predictions, NAMES, seed=4)
    frame = report.as_frame()
    assert list(frame.index) == [*NAMES, "macro mean", "micro mean", "weighted mean"]
    assert frame.loc["a", "recall"].startswith(f"{report.recall[0].middle:.1%} (")
    assert frame.loc["macro mean", "pictures"] == 400


def test_the_interval_is_that_of_the_bootstrap_over_pictures():
    """Drawing counts is drawing pictures: the quantiles agree but for the noise of the draws."""
    right = np.arange(200) % 10 > 1
    report = class_report([0, 1] * 100, np.where(right, [0, 1] * 100, [1, 0] * 100), ["x", "y"])
    slow = bootstrap_interval(np.mean, right)
    assert report.accuracy.middle == slow.middle == 0.8
    assert report.accuracy.ends == pytest.approx(slow.ends, abs=0.015)
    assert draw_counts(np.array([3, 5]), 100, 0).sum(1).tolist() == [8] * 100


def test_a_class_that_is_never_predicted_has_precision_zero():
    report = class_report([0, 0, 0, 1], [0, 0, 0, 0], ("many", "few"))
    assert report.precision[1].middle == report.recall[1].middle == report.f1[1].middle == 0
    assert report.accuracy.middle == 0.75 and report.macro.f1.middle < 0.45


def test_settings_that_are_not_possible():
    for wrong in ({"resamples": 5}, {"confidence": 1.0}):
        with pytest.raises(CourseError):
            class_report([0, 1], [0, 1], ("a", "b"), **wrong)
    for columns in ((), ([1, 2], [1]), ([],), (3,)):
        with pytest.raises(CourseError, match="rows"):
            bootstrap_interval(np.mean, *columns)
    with pytest.raises(CourseError, match="not finite"):
        bootstrap_interval(lambda x: np.nan, [1, 2])
