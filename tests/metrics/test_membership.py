"""Membership inference from losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.core import CourseError
from course_utils.metrics import evaluate, membership_attack
from tests.toys import stripes, toy_model

LOSSES = st.lists(st.integers(0, 40).map(lambda n: n / 8), min_size=1, max_size=20)


@given(LOSSES, LOSSES)
def test_it_is_yeoms_attack(seen, unseen):
    found = membership_attack(seen, torch.tensor(unseen))
    threshold = np.mean(seen)
    assert found.threshold == pytest.approx(threshold)
    assert found.found == pytest.approx(np.mean([one <= threshold for one in seen]))
    assert found.false_alarms == pytest.approx(np.mean([one <= threshold for one in unseen]))
    pairs = [(a < b) + (a == b) / 2 for a in seen for b in unseen]
    assert found.auc == pytest.approx(np.mean(pairs))


def test_losses_of_an_evaluation():
    found = evaluate(toy_model(), stripes(20), mean=0.4, std=0.25)
    assert found.losses.shape == (20,)
    assert found.losses.mean().item() == pytest.approx(found.loss, rel=1e-5)
    attack = membership_attack(found.losses, found.losses)
    assert attack.advantage == 0 and attack.auc == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("seen", "word"),
    [([], "at least one"), ([[1.0]], r"\(1, 1\)"), ([np.nan], "finite"), ("ab", "training")],
)
def test_bad_input_is_a_sentence(seen, word):
    with pytest.raises(CourseError, match=word):
        membership_attack(seen, [1.0])
