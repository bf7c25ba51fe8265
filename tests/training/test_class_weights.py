from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from course_utils.core import CourseError
from course_utils.training import WeightedCrossEntropy, balanced_weights
from course_utils.training.own_loss import name_of
from tests.toys import same, stripes, toy_model, weights
from tests.training.toy_fit import quick

PICTURES = stripes(90)


def rare(counts):
    """Return pictures with so many of each class."""
    first = [np.flatnonzero(PICTURES.labels == k)[:n] for k, n in enumerate(counts)]
    return PICTURES.subset(np.concatenate(first))


@given(st.lists(st.integers(1, 30), min_size=3, max_size=3), st.floats(0, 1))
def test_balanced_weights(counts, strength):
    pictures = rare(counts)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=pictures.labels.numpy())
    assert balanced_weights(pictures) == pytest.approx(expected)
    some = np.array(balanced_weights(pictures, strength=strength))
    assert some @ counts == pytest.approx(sum(counts)), "the mean over the pictures is 1"
    ratio = (some[0] / some[1]) * (counts[0] / counts[1]) ** strength
    assert ratio == pytest.approx(1)


def test_the_loss_is_a_mean_over_the_pictures_however_they_are_divided():
    model, images = toy_model(), PICTURES.images[:9].float() / 255
    labels = PICTURES.labels[:9]
    loss = WeightedCrossEntropy((1.0, 4.0, 0.5), label_smoothing=0.1)
    by_hand = F.cross_entropy(model(images), labels, reduction="none", label_smoothing=0.1)
    by_hand = (by_hand * torch.tensor([1.0, 4.0, 0.5])[labels]).mean()
    whole = loss(model, images, labels)
    assert whole.item() == pytest.approx(by_hand.item(), rel=1e-6)
    parts = [loss(model, images[some], labels[some]) for some in (slice(0, 3), slice(3, 9))]
    assert (parts[0] * 3 + parts[1] * 6).item() / 9 == pytest.approx(whole.item(), rel=1e-6)


def test_equal_weights_train_as_no_weights():
    models = toy_model(), toy_model()
    plain = quick(models[0], epochs=2)
    weighted = quick(models[1], epochs=2, loss=WeightedCrossEntropy(torch.ones(3)))
    assert weighted.step_loss == pytest.approx(plain.step_loss, rel=1e-5)
    assert weighted.validation_accuracy == plain.validation_accuracy
    again = toy_model()
    quick(again, epochs=2, loss=WeightedCrossEntropy((0.1, 9.0, 1.0)))
    assert not same(weights(again), weights(models[1]))


def test_a_checkpoint_knows_the_weights():
    names = {name_of(WeightedCrossEntropy(w)) for w in ((1, 2), (1.0, 2.0), (2, 1))}
    assert len(names) == 2


@pytest.mark.parametrize(
    "wrong", [(), (1.0,), (0.0, 0.0), (1.0, -1.0), (1.0, math.nan), "ab", None, (1.0, math.inf), 3]
)
def test_weights_that_are_not_possible(wrong):
    with pytest.raises(CourseError, match="a number from 0 up for each class"):
        WeightedCrossEntropy(wrong)


def test_what_does_not_fit():
    with pytest.raises(CourseError, match=r"2 weights .* give a weight for each class"):
        quick(toy_model(), loss=WeightedCrossEntropy((1.0, 1.0)))
    with pytest.raises(CourseError, match="label_smoothing=1"):
        WeightedCrossEntropy((1.0, 1.0), label_smoothing=1)
    with pytest.raises(CourseError, match="no training picture of 'neither'"):
        balanced_weights(PICTURES.subset(PICTURES.labels < 2))
    with pytest.raises(CourseError, match="strength=2"):
        balanced_weights(PICTURES, strength=2)
