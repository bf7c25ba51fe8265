"""Right and wrong answers to the exercises of notebook 05_3."""

from __future__ import annotations

import torch

from course_utils.exercises import find
from course_utils.exercises.ch05_3 import REMEDIES
from course_utils.metrics import membership_attack


def test_fgsm_step(solved, rejected):
    def by_where(pixels, gradient, epsilon):
        step = torch.where(gradient > 0, epsilon, torch.where(gradient < 0, -epsilon, 0.0))
        return torch.minimum(torch.ones(()), torch.maximum(pixels + step, torch.zeros(())))

    solved("05_3.fgsm_step", by_where)
    rejected(
        "05_3.fgsm_step",
        (lambda x, g, e: x + e * g, "however long"),
        (lambda x, g, e: x + e * g.sign(), "from 0 to 1"),
        (lambda x, g, e: (x - e * g.sign()).clamp(0, 1), "uphill"),
        (lambda x, g, e: (x + e * g.sign()).clamp(0, 1).sum(), "shape"),
    )


def test_nearest_allowed(solved, rejected):
    def by_clip(changed, pixels, epsilon):
        low, high = (pixels - epsilon).clamp(min=0), (pixels + epsilon).clamp(max=1)
        return changed.clip(low, high)

    solved("05_3.nearest_allowed", by_clip)
    rejected(
        "05_3.nearest_allowed",
        (lambda c, x, e: c.clamp(0, 1), "further than ε"),
        (lambda c, x, e: x + (c - x).clamp(-e, e), "from 0 to 1"),
        (lambda c, x, e: (x + e * (c - x).sign()).clamp(0, 1), "stays as it is"),
    )


def test_worst_group(solved, rejected):
    def by_sums(right, groups):
        known, place = groups.unique(return_inverse=True)
        sums = torch.zeros(len(known)).index_add(0, place, right.float())
        return (sums / place.bincount()).min()

    solved("05_3.worst_group", by_sums)
    rejected(
        "05_3.worst_group",
        (lambda r, g: r.double().mean(), "all images"),
        (lambda r, g: max(r[g == k].double().mean().item() for k in g.unique()), "best group"),
        (lambda r, g: min(r[g == k].double().mean().item() for k in range(9)), "finite"),
    )


def test_advantage(solved, rejected):
    solved("05_3.advantage", lambda a, b: membership_attack(a, b).advantage)
    rejected(
        "05_3.advantage",
        (lambda a, b: (a <= a.mean()).double().mean(), "false alarms"),
        (lambda a, b: membership_attack(b, a).advantage, "an overfitted network"),
        (
            lambda a, b: (a < a.mean()).double().mean() - (b < a.mean()).double().mean(),
            "equal to the threshold",
        ),
    )


def test_remedies(solved, rejected):
    right = find("05_3.remedies").worked()
    solved("05_3.remedies", right)
    rejected(
        "05_3.remedies",
        (right | {"A": right["B"], "B": right["A"]}, "A: 'adversarial training'"),
        (right | {"C": "pray"}, "is not one of"),
        (list(right), "a dict"),
    )
    assert set(right.values()) == set(REMEDIES)
