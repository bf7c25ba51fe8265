"""Right and wrong answers to the exercises of notebook 03_1."""

from __future__ import annotations

import math

import pytest
import torch

from course_utils.training.schedules import Schedule, schedule_curve


def test_largest_rate(solved, rejected):
    solved(
        "03_1.largest_rate",
        lambda curvatures: min(2 / c for c in curvatures),
        lambda curvatures: torch.tensor(2.0) / torch.tensor(curvatures).max(),
    )
    rejected(
        "03_1.largest_rate",
        (lambda c: 1 / max(c), "is 0.05, it should be 0.1"),
        (lambda c: 2 / min(c), "is 2.0, it should be 0.1"),
        (lambda c: 2 / c[-1], "curvatures [20.0, 1.0]"),
        (lambda c: 2 / (max(c) + 1e-3 * (len(c) - 2)), "one parameter"),
        (lambda c: c, "a number"),
    )


def adam(gradients, rate, keep=lambda raw, corrected: raw, begin=1, power=0.5):
    """The right answer, with one mistake if an argument says so."""
    m = v = 0.0
    changes = []
    for t, g in enumerate(gradients, begin):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        mean, square = m / (1 - 0.9 ** max(t, 1)), v / (1 - 0.999 ** max(t, 1))
        changes.append(-rate * mean / square**power)
        m, v = keep(m, mean), keep(v, square)
    return changes


def by_torch(gradients, rate):
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer, places = torch.optim.Adam([weight], lr=rate), [0.0]
    for gradient in gradients:
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        places.append(weight.item())
    return torch.tensor(places).diff()


def test_adam_changes(solved, rejected):
    solved("03_1.adam_changes", adam, by_torch)
    rejected(
        "03_1.adam_changes",
        (lambda g, rate: [-x for x in adam(g, rate)], "step 1 is 0.1, it should be -0.1"),
        (lambda g, rate: adam(g, rate, keep=lambda _, corrected: corrected), "step 2"),
        (lambda g, rate: adam(g, rate, begin=0), "step 2"),
        (lambda g, rate: adam(g, rate, power=1), "(after one step, the corrected m is g"),
        (lambda g, rate: [-rate if x > 0 else rate for x in g], "m shrinks when the signs change"),
        (lambda g, rate: adam(g, rate)[-1:], "has the shape (1,), it should have (3,)"),
    )


def test_fitted_drops(solved, rejected):
    solved(
        "03_1.fitted_drops",
        lambda epochs: [(epochs + 2) // 3, 0.01**0.5],
        lambda epochs: torch.tensor([float(-(-epochs // 3)), 0.1]),
    )
    rejected(
        "03_1.fitted_drops",
        (lambda e: (30, 0.1), "for 6 epochs StepLR(30) drops 0 times"),
        (lambda e: (e // 3, 0.1), "for 7 epochs StepLR(2) drops 3 times"),
        (lambda e: (e // 2, 0.1), "StepLR(3) drops 1 time within"),
        (lambda e: (e / 3, 0.1), "step_size is 2.333"),
        (lambda e: (-(-e // 3), 0.01), "0.0001 of the rate"),
        (lambda e: ((e - 1) // 2, 0.1), "4, 4 and 1 epochs"),
        (lambda e: -(-e // 3), "two numbers"),
        (lambda e: (0, 0.1), "step_size is 0"),
        (lambda e: (-(-e // 3), 10), "gamma is 10"),
        (lambda e: {"step_size": -(-e // 3), "gamma": 0.1}, "a dict"),
    )


def cosine(step, steps, warmup, low):
    if warmup and step < warmup:
        return step / warmup * (1 - low) + low
    return low + (1 - low) * math.cos(math.pi / 2 * (step - warmup) / (steps - warmup)) ** 2


def after_the_rise(share):
    """An answer with the right rise, and then `share` of (step, steps, warmup, low)."""
    return lambda t, n, w, low: cosine(t, n, w, low) if t < w else share(t, n, w, low)


def test_warmup_cosine(solved, rejected):
    solved("03_1.warmup_cosine", cosine, lambda *a: torch.tensor(cosine(*a)))
    rejected(
        "03_1.warmup_cosine",
        (lambda t, n, w, low: cosine(t, n, 0, low), "the first step: for step 0 of 100"),
        (lambda t, n, w, low: cosine(t, n, w, 0.0), "the first step"),
        (lambda t, n, w, low: (t + 1) / w if t < w else 1, "(the rise begins at `low`)"),
        (after_the_rise(lambda t, n, w, low: cosine(t, n, 0, low)), "first step after the rise"),
        (after_the_rise(lambda t, n, w, low: cosine(t, n - 1, w, low)), "step 99 of 100"),
        (after_the_rise(lambda t, n, w, low: cosine(t, n, w, 0.0)), "step 99 of 100"),
        (lambda t, n, w, low: cosine(t, n, w, low) if t != 55 else 0.3, "halfway down"),
        (lambda t, n, w, low: cosine(t, n, w, low) if w else low, "no warm-up: for step 0 of 50"),
        (lambda t, n, w, low: None if t == 99 else cosine(t, n, w, low), "returns nothing"),
    )


@pytest.mark.parametrize(("steps", "warmup"), [(100, 10), (30, 3), (20, 0)])
def test_warmup_cosine_is_the_courses_own_schedule(line, steps, warmup):
    assert "Schedule('cosine', warmup=...)" in line("03_1.warmup_cosine", cosine)
    by_hand = [0.1 * cosine(step, steps, warmup, 0.01) for step in range(steps)]
    named = Schedule("cosine", warmup=warmup / steps)
    assert schedule_curve(named, steps, peak=0.1) == pytest.approx(by_hand)
