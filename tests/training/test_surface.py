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


@pytest.mark.parametrize(("factor", "falls"), [(0.99, True), (1.01, False)])
def test_other_curvatures_have_another_limit_and_momentum_moves_it(factor, falls):
    for momentum in (0.0, 0.4, 0.9):
        optimizer = partial(torch.optim.SGD, momentum=momentum)
        limit = 2 * (1 + momentum) / 40
        walk = descend(optimizer, factor * limit, steps=800, curvatures=(1, 40))
        assert (walk.losses[-1] < walk.losses[0]) == falls and walk.curvatures == (1, 40)


def test_noise_leaves_a_loss_that_a_constant_rate_explains():
    """Along each parameter the variance settles at r σ² / (λ (2 − r λ))."""
    noisy = {"noise": 3.0, "steps": 6000}
    walk = descend(torch.optim.SGD, 0.04, **noisy)
    expected = sum(0.04 * 9 / (2 - 0.04 * curvature) / 2 for curvature in walk.curvatures)
    late = walk.losses[1000:]
    assert sum(late) / len(late) == pytest.approx(expected, rel=0.1)
    assert descend(torch.optim.SGD, 0.04, **noisy).path == walk.path
    assert descend(torch.optim.SGD, 0.04, seed=1, **noisy).path != walk.path


def test_a_schedule_changes_the_rate_after_each_step():
    def halving(optimizer, steps):
        assert steps == 3
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    walk = descend(torch.optim.SGD, 0.08, steps=3, scheduler=halving)
    wanted = START[0] * (1 - 0.08) * (1 - 0.04) * (1 - 0.02)
    assert walk.path[-1][0] == pytest.approx(wanted)


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
        ({"learning_rate": 0.1, "curvatures": (1, -20)}, "λ₂=-20"),
        ({"learning_rate": 0.1, "noise": -1}, "noise=-1"),
        ({"learning_rate": 0.1, "scheduler": lambda optimizer, steps: None}, "returns a NoneType"),
    ],
)
def test_what_is_no_descent(arguments, text):
    with pytest.raises(CourseError, match=text):
        descend(torch.optim.SGD, **arguments)
