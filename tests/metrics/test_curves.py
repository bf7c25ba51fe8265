from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from course_utils.core import CourseError
from course_utils.metrics import precision_recall_curves, roc_curves

NAMES = ("a", "b", "c")


def sample(seed: int, n: int = 60):
    draw = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(3), draw.integers(0, 3, n - 3)])
    scores = draw.random((n, 3)).round(1) + 0.01 + 0.5 * (labels[:, None] == np.arange(3))
    return labels, scores / scores.sum(1, keepdims=True)


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_the_areas_are_scikit_learns_and_a_probability(seed):
    labels, scores = sample(seed)
    roc = roc_curves(labels, scores, NAMES)
    assert roc.macro.area == pytest.approx(roc_auc_score(labels, scores, multi_class="ovr"))
    every = np.eye(3)[labels]
    assert roc.micro.area == pytest.approx(roc_auc_score(every, scores, average="micro"))
    for k, name in enumerate(NAMES):
        mine, others = scores[labels == k, k], scores[labels != k, k]
        above = (mine[:, None] > others).mean() + (mine[:, None] == others).mean() / 2
        assert roc[name].area == pytest.approx(above)
    found = precision_recall_curves(labels, scores, NAMES)
    for kind in ("macro", "micro"):
        expected = average_precision_score(every, scores, average=kind)
        assert getattr(found, kind).area == pytest.approx(expected)
    for curve in (*roc.by_class.values(), roc.macro, roc.micro):
        assert (np.diff(curve.x) >= 0).all() and (np.diff(curve.y) >= 0).all()
        assert curve.y.min() >= 0 and curve.y.max() == curve.x.max() == 1
    assert np.trapezoid(roc.macro.y, roc.macro.x) == pytest.approx(roc.macro.area, abs=0.02)


def test_chance_and_perfection():
    labels = np.array([0] * 70 + [1] * 20 + [2] * 10)
    perfect, guess = np.eye(3)[labels], np.full((100, 3), 1 / 3)
    assert set(roc_curves(labels, perfect, NAMES).areas.values()) == {1.0}
    for make, chance in (
        (roc_curves, {"a": 0.5, "b": 0.5, "c": 0.5}),
        (precision_recall_curves, {"a": 0.7, "b": 0.2, "c": 0.1}),
    ):
        curves = make(labels, guess, NAMES)
        assert curves.chance == pytest.approx(chance)
        assert {name: curves[name].area for name in NAMES} == pytest.approx(chance)
    assert list(curves.areas) == [*NAMES, "macro", "micro"]
    with pytest.raises(CourseError, match="no curve of 'd', but of 'a'"):
        curves["d"]


def test_two_classes_are_fine():
    curves = roc_curves([0, 1, 1], [[0.8, 0.2], [0.3, 0.7], [0.9, 0.1]], ("a", "b"))
    assert curves["a"].area == curves["b"].area == 0.5
