from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.core import CourseError
from course_utils.training.surface import START, descend


@settings(max_examples=25)
@given(st.floats(1e-4, 0.5), st.integers(1, 40))
def test_plain_descent_multiplies_each_parameter(rate, steps):
    walk = descend(torch.optim.SGD, rate, steps=steps)
    flat, steep = walk.curvatures
    for k, (a, b) in enumerate(walk.path):
        assert a == pytest.approx(START[0] * (1 - rate * flat) ** k, rel=1e-6, abs=1e-9)
        assert b == pytest.approx(START[1] * (1 - rate * steep) ** k, rel=1e-6, abs=1e-9)
    assert len(walk.path) == len(walk.losses) == steps + 1


@pytest.mark.parametrize(("factor", "falls"), [(0.99, True), (1.01, False)])
def test_two_over_the_curvature_is_the_limit(factor, falls):
    walk = descend(torch.optim.SGD, factor * 2 / 20, steps=400)
    assert (walk.losses[-1] < walk.losses[0]) == falls


def test_any_optimizer_walks_and_an_overflow_ends_the_walk():
    assert descend(partial(torch.optim.SGD, momentum=0.9), 0.05, steps=200).losses[-1] < 1e-3
    assert descend(torch.optim.Adam, 0.1, steps=300).losses[-1] < 1e-3
    walk = descend(torch.optim.SGD, 1e6, steps=500)
    assert 10 < len(walk.path) < 500


def test_gradients_are_switched_on_for_the_walk_alone():
    with torch.no_grad():
        assert descend(torch.optim.SGD, 0.05).losses[-1] < descend(torch.optim.SGD, 0.05).losses[0]
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"learning_rate": 0.1, "steps": 0}, "steps=0"),
    ],
)
def test_what_is_no_descent(arguments, text):
    with pytest.raises(CourseError, match=text):
        descend(torch.optim.SGD, **arguments)
