"""Alternatives and typical wrong answers of notebook 03_3's exercises."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch


def grid_by_loop(values):
    points = [{}]
    for name, some in values.items():
        points = [point | {name: value} for point in points for value in some]
    return points[::-1]  # any order will do


def test_grid_another_way(line):
    assert line("03_3.grid", grid_by_loop).startswith("✔")


@pytest.mark.parametrize(
    ("answer", "edge"),
    [
        (
            lambda values: [
                dict(zip(values, p, strict=True)) for p in zip(*values.values(), strict=False)
            ],
            "two names",
        ),
        (lambda values: [{n: v} for n, some in values.items() for v in some], "each name"),
        (lambda values: [tuple(values)], "no dict"),
        (lambda values: {}, "a list of dicts is wanted"),
        (lambda values: grid_by_loop({n: v for n, v in values.items() if v}), "without a value"),
        (lambda values: [grid_by_loop(values)[0]] * len(grid_by_loop(values)), "is missing"),
        (lambda values: grid_by_loop(values)[:1], "you gave 1 point, there are 6"),
    ],
)
def test_grid_typical_mistakes(rejected, answer, edge):
    rejected("03_3.grid", answer, edge)


def by_exp(low, high, count, generator):
    ends = math.log(low), math.log(high)
    return torch.empty(count).uniform_(*ends, generator=generator).exp()


def by_ten(low, high, count, generator):
    a, b = np.log10(low), np.log10(high)
    return 10 ** (a + (b - a) * torch.rand(count, generator=generator).numpy())


def right_below_the_middle(low, high, count, generator):
    values = by_exp(low, high, count, generator)
    return torch.where(values < math.sqrt(low * high), values, torch.tensor(high))


@pytest.mark.parametrize("answer", [by_exp, by_ten])
def test_log_uniform_other_ways(line, answer):
    assert line("03_3.log_uniform", answer).startswith("✔")


@pytest.mark.parametrize(
    ("answer", "edge"),
    [
        (lambda a, b, n, g: a + (b - a) * torch.rand(n, generator=g), "the middle on a log scale"),
        (lambda a, b, n, g: a * (b / a) ** torch.rand(n), "draw from `generator`"),
        (lambda a, b, n, g: a * (b / a) ** torch.linspace(0, 1, n), "a second call"),
        (lambda a, b, n, g: torch.exp(torch.rand(n, generator=g)), "your numbers go from"),
        (lambda a, b, n, g: a * (b / a) ** torch.rand(1, generator=g), "the shape"),
        (
            lambda a, b, n, g: a * (b / a) ** torch.randint(0, 2, (n,), generator=g),
            "0.0005623, the lowest quarter on a log scale; about 25 % should",
        ),
        (
            right_below_the_middle,
            ": 0 % of your numbers lie between 0.003162 and 0.01778, the third",
        ),
        (
            lambda a, b, n, g: by_exp(a, b, n, g).log(),
            "-2.304; they should lie between 0.0001 and 0.1 (these are the logarithms: take exp)",
        ),
        (lambda a, b, n, g: by_exp(a, b, n, g).log10(), "logarithms to base 10"),
    ],
)
def test_log_uniform_typical_mistakes(rejected, answer, edge):
    rejected("03_3.log_uniform", answer, edge)


def test_numbers_out_of_range_that_are_no_logarithms_are_not_called_so(line):
    said = line("03_3.log_uniform", lambda a, b, n, g: by_exp(a, b, n, g) * 2)
    assert said.endswith("they should lie between 0.0001 and 0.1")


def halving_by_recursion(candidates, score, epochs, factor):
    if len(candidates) == 1:
        return candidates[0]
    scores = {c: score(c, epochs) for c in candidates}
    kept = sorted(scores, key=scores.get)[-max(1, len(candidates) // factor) :]
    return halving_by_recursion(kept, score, epochs * factor, factor)


def test_halving_another_way(line):
    assert line("03_3.halving", halving_by_recursion).startswith("✔")


def keeps_none(candidates, score, epochs, factor):
    while len(candidates) > 1:
        ranked = sorted(candidates, key=lambda c: score(c, epochs), reverse=True)
        candidates = ranked[: len(ranked) // factor]
        epochs *= factor
    return candidates[0]


def same_epochs(candidates, score, epochs, factor):
    while len(candidates) > 1:
        ranked = sorted(candidates, key=lambda c: score(c, epochs), reverse=True)
        candidates = ranked[: max(1, len(ranked) // factor)]
    return candidates[0]


def keeps_the_worst(candidates, score, epochs, factor):
    return halving_by_recursion(candidates, lambda c, n: -score(c, n), epochs, factor)


def scores_the_last(candidates, score, epochs, factor):
    winner = halving_by_recursion(candidates, score, epochs, factor)
    score(winner, epochs)
    return winner


@pytest.mark.parametrize(
    ("answer", "edge"),
    [
        (lambda c, s, e, f: max(c, key=lambda one: s(one, 100)), "the winner is"),
        (lambda c, s, e, f: max(c, key=lambda one: s(one, e)), "four candidates"),
        (keeps_none, "IndexError"),
        (same_epochs, "the winner is"),
        (keeps_the_worst, "the winner is"),
        (scores_the_last, "you spent"),
    ],
)
def test_halving_typical_mistakes(rejected, answer, edge):
    rejected("03_3.halving", answer, edge)


def front_by_comparison(points):
    kept = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)}
    return [list(p) for p in sorted(kept)]


def test_front_another_way(line):
    assert line("03_3.front", front_by_comparison).startswith("✔")


@pytest.mark.parametrize(
    ("answer", "edge"),
    [
        (lambda points: sorted(points), "one is dearer and worse"),
        (lambda points: [max(points, key=lambda p: p[1])], "each dearer one is better"),
        (lambda points: front_by_comparison(points)[::-1], "cheapest first"),
        (
            lambda points: sorted(
                p for p in points if not any(q[0] < p[0] and q[1] > p[1] for q in points)
            ),
            "two of the same cost",
        ),
        (
            lambda points: sorted(p for p in points if front_by_comparison(points).count(list(p))),
            "the same one twice",
        ),
        (lambda points: points[0], "a list of pairs"),
    ],
)
def test_front_typical_mistakes(rejected, answer, edge):
    rejected("03_3.front", answer, edge)
