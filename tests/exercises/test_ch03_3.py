"""Alternatives and typical wrong answers of notebook 03_3's exercises."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch


def grid_by_loop(values):
    points = [{}]
    for name, some in values.items():
        points = [point | {name: value} for point in points for value in some]
    return points[::-1]  # any order is right


def test_grid_another_way(solved):
    solved("03_3.grid", grid_by_loop)


def test_grid_rejects(rejected):
    rejected(
        "03_3.grid",
        (
            lambda values: [
                dict(zip(values, p, strict=True)) for p in zip(*values.values(), strict=False)
            ],
            "two names",
        ),
        (lambda values: [{n: v} for n, some in values.items() for v in some], "each name"),
        (lambda values: [tuple(values)], "is not a dict"),
        (lambda values: {}, "a list of dicts"),
        (lambda values: grid_by_loop({n: v for n, v in values.items() if v}), "without a value"),
        (lambda values: [grid_by_loop(values)[0]] * len(grid_by_loop(values)), "is missing"),
        (lambda values: grid_by_loop(values)[:1], "1 point, it should have 6"),
    )


def by_exp(low, high, count, generator):
    ends = math.log(low), math.log(high)
    return torch.empty(count).uniform_(*ends, generator=generator).exp()


def by_ten(low, high, count, generator):
    a, b = np.log10(low), np.log10(high)
    return 10 ** (a + (b - a) * torch.rand(count, generator=generator).numpy())


def right_below_the_middle(low, high, count, generator):
    values = by_exp(low, high, count, generator)
    return torch.where(values < math.sqrt(low * high), values, torch.tensor(high))


def test_log_uniform_other_ways(solved):
    solved("03_3.log_uniform", by_exp, by_ten)


def test_log_uniform_rejects(rejected):
    rejected(
        "03_3.log_uniform",
        (lambda a, b, n, g: a + (b - a) * torch.rand(n, generator=g), "the middle on a log scale"),
        (lambda a, b, n, g: a * (b / a) ** torch.rand(n), "draw from `generator`"),
        (lambda a, b, n, g: a * (b / a) ** torch.linspace(0, 1, n), "a second call"),
        (lambda a, b, n, g: torch.exp(torch.rand(n, generator=g)), "your numbers go from"),
        (lambda a, b, n, g: a * (b / a) ** torch.rand(1, generator=g), "the shape"),
        (
            lambda a, b, n, g: a * (b / a) ** torch.randint(0, 2, (n,), generator=g),
            "the lowest quarter",
        ),
        (right_below_the_middle, ": 0 % of your numbers"),
        (lambda a, b, n, g: by_exp(a, b, n, g).log(), "take exp"),
        (lambda a, b, n, g: by_exp(a, b, n, g).log10(), "logarithms to base 10"),
    )


def test_numbers_out_of_range_that_are_no_logarithms_are_not_called_so(line):
    said = line("03_3.log_uniform", lambda a, b, n, g: by_exp(a, b, n, g) * 2)
    assert said.endswith("between 0.0001 and 0.1")


def halving_by_recursion(candidates, score, epochs, factor):
    if len(candidates) == 1:
        return candidates[0]
    scores = {c: score(c, epochs) for c in candidates}
    kept = sorted(scores, key=scores.get)[-max(1, len(candidates) // factor) :]
    return halving_by_recursion(kept, score, epochs * factor, factor)


def halving_backwards(candidates, score, epochs, factor):
    """Also right: another order within a round, epochs by name and as a float."""
    if len(candidates) == 1:
        return candidates[0]
    best_last = sorted(candidates[::-1], key=lambda c: score(c, epochs=float(epochs)))
    kept = best_last[-max(1, len(candidates) // factor) :]
    return halving_backwards(kept, score, epochs * factor, factor)


def test_halving_other_ways(solved):
    solved("03_3.halving", halving_by_recursion, halving_backwards)


def keep_the_best(ranked, factor):
    return ranked[: max(1, len(ranked) // factor)]


def halving_with(keep=keep_the_best, then=lambda now, first, factor: now * factor):
    """An answer that keeps other candidates, or sets other epochs for the next round."""

    def answer(candidates, score, epochs, factor):
        first = epochs
        while len(candidates) > 1:
            ranked = sorted(candidates, key=lambda c: score(c, epochs), reverse=True)
            candidates = keep(ranked, factor)
            epochs = then(epochs, first, factor)
        return candidates[0]

    return answer


def keeps_the_worst(candidates, score, epochs, factor):
    return halving_by_recursion(candidates, lambda c, n: -score(c, n), epochs, factor)


def scores_the_last(candidates, score, epochs, factor):
    winner = halving_by_recursion(candidates, score, epochs, factor)
    score(winner, epochs)
    return winner


def ranks_by_the_first_round(candidates, score, epochs, factor):
    scores = {}
    while len(candidates) > 1:
        scores = {c: score(c, epochs) for c in candidates} | scores
        ranked = sorted(candidates, key=scores.get, reverse=True)
        candidates = ranked[: max(1, len(ranked) // factor)]
        epochs *= factor
    return candidates[0]


def scores_each_twice(candidates, score, epochs, factor):
    def mean(candidate, epochs):
        return (score(candidate, epochs) + score(candidate, epochs)) / 2

    return halving_by_recursion(candidates, mean, epochs, factor)


def raises_the_epochs_too_soon(candidates, score, epochs, factor):
    scores = {}
    for candidate in candidates:
        scores[candidate] = score(candidate, epochs)
        epochs *= factor
    return max(scores, key=scores.get)


def scores_a_single_one(candidates, score, epochs, factor):
    if len(candidates) == 1:
        score(candidates[0], epochs)
    return halving_by_recursion(candidates, score, epochs, factor)


def goes_on_whatever_happens(candidates, score, epochs, factor):
    while True:
        try:
            score(candidates[0], epochs)
        except Exception:
            continue


ROUND_2 = "round 2 should score early, steady with 2 epochs; you scored "


def test_halving_rejects(rejected):
    rejected(
        "03_3.halving",
        (
            lambda c, s, e, f: max(c, key=lambda one: s(one, 100)),
            "early, steady, bad, worse with 100",
        ),
        (lambda c, s, e, f: max(c, key=lambda one: s(one, e)), f"{ROUND_2}none"),
        (halving_with(lambda ranked, factor: ranked[: len(ranked) // factor]), "IndexError"),
        (halving_with(lambda ranked, factor: ranked[::factor]), f"{ROUND_2}early, bad with 2"),
        (halving_with(lambda ranked, factor: ranked[:-1]), f"{ROUND_2}early, steady, bad with 2"),
        (
            halving_with(lambda ranked, factor: ranked[: math.ceil(len(ranked) / factor)]),
            "after round 1 only early is left",
        ),
        (halving_with(then=lambda now, first, factor: now), f"{ROUND_2}early, steady with 1"),
        (halving_with(then=lambda now, first, factor: factor), "with 4 epochs; you scored early, "),
        (halving_with(then=lambda now, first, factor: first * factor), "round 3"),
        (keeps_the_worst, f"{ROUND_2}bad, worse with 2"),
        (scores_the_last, "after round 2 only early is left"),
        (scores_a_single_one, "there is only one"),
        (scores_each_twice, "early, early, steady, steady,"),
        (raises_the_epochs_too_soon, "early with 1, steady with 2"),
        (ranks_by_the_first_round, "the best of the first falls behind"),
        (lambda c, s, e, f: (halving_by_recursion(c, s, e, f), c[-1])[1], "'worse'"),
    )


def test_halving_that_never_ends_is_stopped(rejected):
    endless = halving_with(lambda ranked, factor: ranked), goes_on_whatever_happens
    rejected("03_3.halving", *((answer, "1,000 times") for answer in endless))


def front_by_comparison(points):
    kept = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)}
    return [list(p) for p in sorted(kept)]


def front_in_float32(points):
    return torch.tensor(front_by_comparison(points)).tolist()


def test_front_other_ways(solved):
    solved("03_3.front", front_by_comparison, front_in_float32)


def better_than_the_one_before(points):
    ranked = sorted(points, key=lambda p: (p[0], -p[1]))
    return ranked[:1] + [q for p, q in itertools.pairwise(ranked) if q[1] > p[1]]


def test_front_rejects(rejected):
    rejected(
        "03_3.front",
        (lambda points: sorted(points), "(1, 0.8) beats it"),
        (lambda points: [max(points, key=lambda p: p[1])], "more expensive"),
        (lambda points: front_by_comparison(points)[::-1], "cheapest first"),
        (
            lambda points: sorted(
                p for p in points if not any(q[0] < p[0] and q[1] > p[1] for q in points)
            ),
            "two of the same cost",
        ),
        (
            lambda points: sorted(p for p in points if front_by_comparison(points).count(list(p))),
            "the same point twice",
        ),
        (lambda points: points[0], "a list of pairs"),
        (better_than_the_one_before, "better than the one before"),
        (
            lambda points: [(a, c) for c, a in front_by_comparison(points)],
            "(0.5, 1) is not one of the points",
        ),
        (
            lambda points: [(c, 100 * a) for c, a in front_by_comparison(points)],
            "(1, 50.0) is not one of the points",
        ),
    )
