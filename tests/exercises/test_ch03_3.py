"""Right and wrong answers to the exercises of notebook 03_3."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch


def grid(values):
    points = [{}]
    for name, some in values.items():
        points = [point | {name: value} for point in points for value in some]
    return points[::-1]  # any order is right


def in_step(values):
    return [dict(zip(values, p, strict=True)) for p in zip(*values.values(), strict=False)]


def test_grid(solved, rejected):
    solved("03_3.grid", grid)
    rejected(
        "03_3.grid",
        (in_step, "two names"),
        (lambda values: [{n: v} for n, some in values.items() for v in some], "each name"),
        (lambda values: [tuple(values)], "is not a dict"),
        (lambda values: {}, "a list of dicts"),
        (lambda values: grid({n: v for n, v in values.items() if v}), "without a value"),
        (lambda values: [grid(values)[0]] * len(grid(values)), "is missing"),
        (lambda values: grid(values)[:1], "1 point, it should have 6"),
    )


def test_log_uniform(solved, rejected, line):
    def by_exp(low, high, count, generator):
        ends = math.log(low), math.log(high)
        return torch.empty(count).uniform_(*ends, generator=generator).exp()

    def by_ten(low, high, count, generator):
        a, b = np.log10(low), np.log10(high)
        return 10 ** (a + (b - a) * torch.rand(count, generator=generator).numpy())

    def high_above_the_middle(low, high, count, generator):
        values = by_exp(low, high, count, generator)
        return torch.where(values < math.sqrt(low * high), values, torch.tensor(high))

    solved("03_3.log_uniform", by_exp, by_ten)
    rejected(
        "03_3.log_uniform",
        (lambda a, b, n, g: a + (b - a) * torch.rand(n, generator=g), "the middle on a log scale"),
        (lambda a, b, n, g: a * (b / a) ** torch.rand(n), "draw from `generator`"),
        (lambda a, b, n, g: a * (b / a) ** torch.linspace(0, 1, n), "a second call"),
        (lambda a, b, n, g: torch.exp(torch.rand(n, generator=g)), "your numbers go from"),
        (lambda a, b, n, g: a * (b / a) ** torch.rand(1, generator=g), "the shape"),
        (lambda a, b, n, g: a * (b / a) ** (torch.rand(n, generator=g) > 0.5), "lowest quarter"),
        (high_above_the_middle, ": 0 % of your numbers"),
        (lambda a, b, n, g: by_exp(a, b, n, g).log(), "take exp"),
        (lambda a, b, n, g: by_exp(a, b, n, g).log10(), "logarithms to base 10"),
    )
    said = line("03_3.log_uniform", lambda a, b, n, g: by_exp(a, b, n, g) * 2)
    assert said.endswith("between 0.0001 and 0.1"), "these are not logarithms"


def by_max(draw, score, trials):
    """A right answer that keeps all results."""
    tried = [(candidate, score(candidate)) for candidate in (draw() for _ in range(trials))]
    done = [pair for pair in tried if pair[1] is not None]
    return max(done, key=lambda pair: pair[1]) if done else [None, None]


def keeps(better, first=None, again=False):
    """A random search that keeps a candidate if `better(accuracy, highest)`."""

    def answer(draw, score, trials):
        best, highest = None, first
        for _ in range(trials):
            candidate = draw()
            accuracy = score(candidate)
            if better(accuracy, highest):
                best, highest = candidate, score(candidate) if again else accuracy
        return best, highest

    return answer


def is_better(accuracy, highest):
    return accuracy is not None and (highest is None or accuracy > highest)


def until_all_have_results(draw, score, trials):
    results = []
    while len(results) < trials:
        candidate = draw()
        if (accuracy := score(candidate)) is not None:
            results.append((candidate, accuracy))
    return max(results, key=lambda pair: pair[1])


def test_random_search(solved, rejected):
    solved("03_3.random_search", by_max, keeps(is_better))
    rejected(
        "03_3.random_search",
        (keeps(lambda a, h: a is not None and (h is None or a >= h)), "two are equally good"),
        (keeps(lambda a, h: a is not None and a > h, first=0), "an accuracy of 0 is a result"),
        (keeps(lambda a, h: a and (h is None or a > h)), "an accuracy of 0 is a result"),
        (keeps(lambda a, h: h is None or a > h), "impossible: random_search raised TypeError"),
        (keeps(lambda a, h: a is not None), "four candidates: (A 0.5, B 0.8, C 0.6, D 0.7)"),
        (keeps(is_better, again=True), "more than 4 times (A, A, B, B, C)"),
        (until_all_have_results, "count the impossible ones as trials"),
        (lambda d, s, n: by_max(d, s, n)[0], "a pair (candidate, accuracy)"),
        (lambda d, s, n: by_max(d, s, n)[::-1], "it should be ({'name': 'B'}, 0.8)"),
        (lambda d, s, n: by_max(d, s, n - 1), "each once; scored: A, B, C"),
        (lambda d, s, n: s(d), "is not a candidate"),
    )


def evolving(keep=lambda accuracy, highest: accuracy >= highest, parent=lambda best, *_: best):
    """A right answer, or one that keeps other mutants or takes another parent."""

    def answer(start, mutate, score, trials):
        best, highest, last = start, score(start), start
        for _ in range(trials - 1):
            last = mutate(parent(best, start, last))
            accuracy = score(last)
            if accuracy is not None and keep(accuracy, highest):
                best, highest = last, accuracy
        return best, highest

    return answer


def evolve_one_more(start, mutate, score, trials):
    return evolving()(start, mutate, score, trials + 1)


def evolve_without_the_start(start, mutate, score, trials):
    best, highest = start, 0.0
    for _ in range(trials):
        mutant = mutate(best)
        if ((accuracy := score(mutant)) or -1) >= highest:
            best, highest = mutant, accuracy
    return best, highest


def test_evolve(solved, rejected):
    solved("03_3.evolve", evolving(), lambda *arguments: list(evolving()(*arguments)))
    rejected(
        "03_3.evolve",
        (evolving(keep=lambda a, h: a > h), "the parents should be A, B; yours: A, A"),
        (evolving(keep=lambda a, h: True), "two mutants are worse"),
        (evolving(parent=lambda best, start, last: start), "A, B; yours: A, A"),
        (evolving(parent=lambda best, start, last: last), "two mutants are worse"),
        (lambda s, m, score, n: (s, score(s)), "each mutant is better: the parents should be A, B"),
        (evolve_one_more, "more than 3 times (A, B, C, D)"),
        (evolve_without_the_start, "A, B, C should be scored"),
        (lambda s, m, score, n: evolving()(s, m, score, n)[1], "a pair"),
    )


def halving(candidates, score, epochs, factor):
    """A right answer; the score of the epochs as a float, by name."""
    if len(candidates) == 1:
        return candidates[0]
    best_last = sorted(candidates[::-1], key=lambda c: score(c, epochs=float(epochs)))
    kept = best_last[-max(1, len(candidates) // factor) :]
    return halving(kept, score, epochs * factor, factor)


def keep_the_best(ranked, factor):
    return ranked[: max(1, len(ranked) // factor)]


def halving_with(
    keep=keep_the_best, then=lambda now, first, factor: now * factor, once=False, last=False
):
    """A right answer, or one that keeps other candidates or sets other epochs for the next round.

    Args:
        once: rank by the scores of the first round.
        last: also score the last candidate.
    """

    def answer(candidates, score, epochs, factor):
        first, scores = epochs, {}
        while len(candidates) > 1:
            now = {c: score(c, epochs) for c in candidates}
            scores = now | scores if once else now
            candidates = keep(sorted(candidates, key=scores.get, reverse=True), factor)
            epochs = then(epochs, first, factor)
        if last:
            score(candidates[0], epochs)
        return candidates[0]

    return answer


def scoring(change):
    """The right answer with another score: `change(score, candidate, epochs)`."""
    return lambda c, score, e, f: halving_with()(c, lambda *call: change(score, *call), e, f)


def raises_the_epochs_too_soon(candidates, score, epochs, factor):
    return max(candidates, key=lambda c: score(c, epochs * factor ** candidates.index(c)))


def goes_on_whatever_happens(candidates, score, epochs, factor):
    while True:
        try:
            score(candidates[0], epochs)
        except Exception:
            continue


ROUND_2 = "round 2 should score early, steady with 2 epochs; you scored "


def test_halving(solved, rejected):
    solved("03_3.halving", halving, halving_with())
    rejected(
        "03_3.halving",
        (lambda c, s, e, f: max(c, key=lambda one: s(one, 9)), "early, steady, bad, worse with 9"),
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
        (scoring(lambda score, c, epochs: -score(c, epochs)), f"{ROUND_2}worse, bad with 2"),
        (halving_with(last=True), "after round 2 only early is left"),
        (
            lambda c, s, e, f: s(c[0], e) and c[0] if len(c) == 1 else halving(c, s, e, f),
            "only one",
        ),
        (scoring(lambda score, c, n: score(c, n) + score(c, n)), "early, early, steady, steady,"),
        (raises_the_epochs_too_soon, "early with 1, steady with 2"),
        (halving_with(once=True), "the best of the first falls behind"),
        (lambda c, s, e, f: (halving(c, s, e, f), c[-1])[1], "'worse'"),
        (halving_with(lambda ranked, factor: ranked), "1,000 times"),
        (goes_on_whatever_happens, "1,000 times"),
    )


def front(points):
    kept = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)}
    return [list(p) for p in sorted(kept)]


def better_than_the_one_before(points):
    ranked = sorted(points, key=lambda p: (p[0], -p[1]))
    return ranked[:1] + [q for p, q in itertools.pairwise(ranked) if q[1] > p[1]]


def equal_costs_kept(points):
    return [p for p in sorted(points) if not any(q[0] < p[0] and q[1] > p[1] for q in points)]


def test_front(solved, rejected):
    solved("03_3.front", front, lambda points: torch.tensor(front(points)).tolist())  # float32
    rejected(
        "03_3.front",
        (lambda points: sorted(points), "(1, 0.8) beats it"),
        (lambda points: [max(points, key=lambda p: p[1])], "more expensive"),
        (lambda points: front(points)[::-1], "cheapest first"),
        (equal_costs_kept, "two of the same cost"),
        (lambda points: [p for p in sorted(points) if list(p) in front(points)], "point twice"),
        (lambda points: points[0], "a list of pairs"),
        (better_than_the_one_before, "better than the one before"),
        (lambda points: [(a, c) for c, a in front(points)], "(0.5, 1) is not one of the points"),
        (
            lambda points: [(c, 100 * a) for c, a in front(points)],
            "(1, 50.0) is not one of the poi",
        ),
    )
