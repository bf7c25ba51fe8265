from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from course_utils.core import CourseError
from course_utils.metrics import fit_temperature, reliability


def sample(seed: int, n: int = 200, sharpness: float = 1.0):
    """Return logits, and labels drawn from softmax(logits · sharpness)."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, 5, generator=generator, dtype=torch.float64)
    drawn = torch.multinomial((logits * sharpness).softmax(1), 1, generator=generator)
    return logits, drawn[:, 0]


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_the_error_is_the_weighted_gap_of_the_bins(seed, bins):
    logits, labels = sample(seed)
    probabilities = logits.softmax(1)
    found = reliability(labels, probabilities, bins=bins)
    sure, answer = probabilities.max(1)
    right = (answer == labels).double()
    gap = 0.0
    for k in range(bins):  # the definition of Guo et al., word by word
        inside = (sure > k / bins) & (sure <= (k + 1) / bins)
        if inside.any():
            gap += abs(right[inside].mean() - sure[inside].mean()) * inside.sum() / len(sure)
    assert found.error == pytest.approx(float(gap), abs=1e-9)
    assert found.counts.sum() == 200 and found.correct.sum() == right.sum()
    assert found.excess == pytest.approx(float((sure - right).mean()))
    accuracy, confidence = calibration_curve(right, sure, n_bins=bins)
    there = found.counts > 0
    np.testing.assert_allclose(found.accuracy[there], accuracy)
    np.testing.assert_allclose(found.confidence[there], confidence)
    for some, share in zip(found.intervals(), found.accuracy, strict=True):
        assert (some is None) == np.isnan(share)
        assert some is None or some.low <= share <= some.high


def test_sure_and_right_has_no_error():
    assert reliability([0, 1], [[1.0, 0.0], [0.0, 1.0]]).error == 0
    assert reliability([1, 0], [[1.0, 0.0], [0.0, 1.0]]).error == 1
    half = reliability([0, 1, 0, 1], [[0.5, 0.5]] * 4)
    assert half.error == 0 and half.counts.tolist() == [0] * 7 + [4] + [0] * 7
    with pytest.raises(CourseError, match="bins"):
        reliability([0], [[1.0, 0.0]], bins=0)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(-6, 6))
def test_the_temperature_is_the_best_one_in_any_unit(seed, exponent):
    logits, labels = sample(seed)
    best = fit_temperature(logits, labels)
    loss = {t: F.cross_entropy(logits / t, labels).item() for t in (best, best * 1.01, best / 1.01)}
    assert min(loss, key=loss.get) == best
    unit = 10.0**exponent
    assert fit_temperature(logits * unit, labels) == pytest.approx(best * unit, rel=1e-6)
    assert fit_temperature(logits + 7, labels) == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("sharpness", [0.25, 1.0, 2.0])
def test_the_temperature_repairs_what_was_too_sure_or_not_enough(sharpness):
    logits, labels = sample(1, 20_000, sharpness)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(1 / sharpness, rel=0.05)
    before = reliability(labels, logits.softmax(1))
    after = reliability(labels, (logits / found).softmax(1))
    assert after.error < 0.015
    assert (before.error > 0.05) == (sharpness != 1)
    if sharpness != 1:
        assert (before.excess > 0) == (sharpness < 1)


def test_no_temperature_is_the_best():
    logits = torch.eye(4) * 3
    with pytest.raises(CourseError, match="all 4 pictures"):
        fit_temperature(logits, range(4))
    for wrong in (logits, torch.zeros(4, 4)):
        with pytest.raises(CourseError, match="no better than guesses"):
            fit_temperature(wrong, [1, 2, 3, 0])
