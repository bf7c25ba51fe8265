"""Exercises of notebook 03_3: search loops, a grid, a log scale, halving, the Pareto front."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Wrong, shown
from course_utils.exercises.base import exercise
from course_utils.exercises.search_checks import (
    check_evolve,
    check_halving,
    check_random_search,
    counted,
)


def _as_list(got: Any, where: str, wanted: str) -> list:
    """Return a list or tuple of the reader as a list; raise `Wrong` for anything else."""
    if not isinstance(got, (list, tuple)):
        raise answers.wrong_kind(got, wanted, f"{where}:")
    return list(got)


@exercise(
    "03_3.random_search",
    check=check_random_search,
    hints=(
        "Remember two things while you loop: the best candidate so far, and its accuracy. What are "
        "they before the first trial?",
        "In each trial draw one candidate, score it once, and keep the number in a variable. Then "
        "ask two questions in this order: has it a score at all, and is it better?",
        "Before the first score there is nothing to compare with, and None cannot be compared with "
        "a number: so a candidate is also kept when the best accuracy is still None.",
    ),
)
def random_search(draw: Callable, score: Callable, trials: int) -> tuple[dict | None, float | None]:
    """Try `trials` random candidates; return the best one and its accuracy, as a pair.

    draw() returns a new candidate. score(candidate) trains it and returns its accuracy, or None if
    it is impossible, which uses up a trial as well. Of equally good candidates the first one wins.
    If all are impossible, return (None, None).
    """
    best, highest = None, None
    for _ in range(trials):
        candidate = draw()
        accuracy = score(candidate)  # once: this is the expensive line
        # `is not None`, because an accuracy of 0 is a result, too. A later candidate that is only
        # equally good changes nothing, so ">" and not ">=".
        if accuracy is not None and (highest is None or accuracy > highest):
            best, highest = candidate, accuracy
    return best, highest


def _check_grid(answer: Answer) -> str:
    cases = [
        ({"kernel_size": [3, 5], "stride": [1, 2, 4]}, "two names"),
        ({"kernel_size": [3, 5]}, "one name"),
        ({"a": [1, 2], "b": [3], "c": [4, 5]}, "three names, one of them with one value"),
        ({"schedule": ["cosine"], "kernel_size": [3, 5]}, "words as values"),
        ({"kernel_size": [3, 5], "stride": []}, "a name without a value"),
    ]
    for values, what in cases:
        where = f"{what} ({values})"
        got = _as_list(answer(dict(values), where=f"{where}:"), where, "a list of dicts")
        names = list(values)
        want = [dict(zip(names, p, strict=True)) for p in itertools.product(*values.values())]
        for point in got:
            if not isinstance(point, dict) or set(point) != set(names):
                raise Wrong(f"{where}: {point!r} is not a dict with a value for each name")
        if len(got) != len(want):
            because = " (a name without values allows no combination)" if not want else ""
            raise Wrong(
                f"{where}: your result has {counted(len(got), 'point')}, it should have "
                f"{len(want)}{because}"
            )
        missing = [point for point in want if point not in got]
        if missing:
            raise Wrong(f"{where}: the point {missing[0]} is missing")
    return "The sizes multiply: a name with 3 values makes the grid 3 times as large."


@exercise(
    "03_3.grid",
    check=_check_grid,
    hints=(
        "Begin with a list of one empty dict, [{}]. For each name, replace every dict in the list "
        "by several dicts, one for each value of the name.",
        "Or let the standard library do it: itertools.product(a, b) yields every pair of a value "
        "of a and a value of b. It takes any number of lists: product(*lists).",
        "The lists are values.values(). Each combination that product yields has one value for "
        "each name, in the order of the names: zip joins the two.",
    ),
)
def grid(values: dict[str, list]) -> list[dict]:
    """List every combination of the values, as dicts name -> value.

    values: name -> list of values, such as {"kernel_size": [3, 5], "stride": [1, 2]}. If a name has
    an empty list, there is no combination: the result is an empty list.
    """
    import itertools

    # product(*lists) yields one tuple for each combination. Without a value for one of the names it
    # yields none, which is right: then no candidate can be complete.
    return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]


def _out_of_range(least: float, most: float, low: float, high: float) -> str:
    """Return the sentence for numbers from `least` to `most` that should be in low to high."""
    said = (
        f"your numbers go from {shown(least)} to {shown(most)}; "
        f"they should be between {low:g} and {high:g}"
    )
    for log, tip in (
        (math.log, "the logarithms: take exp"),
        (math.log10, "the logarithms to base 10: take the powers of 10"),
    ):
        if log(low) - 1e-3 < least and most < log(high) + 1e-3:
            return f"{said} (these are {tip})"
    return said


def _check_log_uniform(answer: Answer) -> str:
    for low, high, what in (
        (1e-4, 1e-1, "three decades"),
        (1.0, 100.0, "from 1 to 100"),
        (0.5, 0.5, "only one possible value"),
    ):
        where = f"{what} ({low:g} to {high:g})"
        random = torch.Generator().manual_seed(0)
        got = answer(low, high, 4000, random, where=f"{where}:", copy=False)
        values = answers.tensor(got, f"{where}:", (4000,), "a tensor of numbers")
        if low == high:
            if bool((values - low).abs().max() > 1e-6 * low):
                raise Wrong(f"{where}: all numbers should be {low:g}")
            continue
        least, most = float(values.min()), float(values.max())
        if least < low * (1 - 1e-5) or most > high * (1 + 1e-5):
            raise Wrong(f"{where}: {_out_of_range(least, most, low, high)}")
        middle = (low * high) ** 0.5
        below = float((values < middle).double().mean())
        if abs(below - 0.5) > 0.05:
            raise Wrong(
                f"{where}: {100 * below:.0f} % of your numbers are below {shown(middle)}, the "
                "middle on a log scale; it should be about half"
            )
        edges = [low * (high / low) ** (i / 4) for i in range(5)]
        quarters = torch.bucketize(values, torch.tensor(edges[1:-1], dtype=values.dtype))
        for i, quarter in enumerate(("lowest", "second", "third", "highest")):
            share = float((quarters == i).double().mean())
            if abs(share - 0.25) > 0.05:
                raise Wrong(
                    f"{where}: {100 * share:.0f} % of your numbers are between {shown(edges[i])} "
                    f"and {shown(edges[i + 1])}, the {quarter} quarter on a log scale; "
                    "it should be about 25 %"
                )
        again, further = (
            answers.tensor(answer(low, high, 4000, g, where=where, copy=False), where, (4000,))
            for g in (torch.Generator().manual_seed(0), random)
        )
        if not torch.equal(again, values):
            raise Wrong(
                f"{where}: the same generator leads to other numbers: draw from `generator`"
            )
        if torch.equal(further, values):
            raise Wrong(f"{where}: a second call returns the same numbers: draw from `generator`")
    return "There are as many rates between 0.0001 and 0.001 as between 0.01 and 0.1."


@exercise(
    "03_3.log_uniform",
    check=_check_log_uniform,
    hints=(
        "The logarithm of the number should be uniform, not the number itself.",
        "torch.rand(count, generator=generator) is uniform between 0 and 1: scale it to the "
        "range from log(low) to log(high), then take exp.",
        "exp(log(low) + u · (log(high) − log(low))) can be written without a logarithm: what is it "
        "for u = 0, for u = 1, and for u = 1/2?",
    ),
)
def log_uniform(low: float, high: float, count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw `count` numbers between low and high whose logarithms are uniform; shape (count,)."""
    # log(low) + u * (log(high) - log(low)) is uniform if u is. Its exponential is low at u = 0,
    # high at u = 1, and sqrt(low * high) in the middle: equal factors get equal shares.
    return low * (high / low) ** torch.rand(count, generator=generator)


@exercise(
    "03_3.evolve",
    check=check_evolve,
    hints=(
        "The loop is that of the random search, except for where a candidate comes from. What is "
        "the best candidate before the first mutant, and what does it cost to know its accuracy?",
        "The start is the first trial, so there are trials − 1 mutants. Each is a mutant of the "
        "best candidate at that moment: not of the start, and not of the last mutant.",
        "An equally good mutant replaces its parent, an impossible one never does: which of the "
        "two questions must be asked first?",
    ),
)
def evolve(start: dict, mutate: Callable, score: Callable, trials: int) -> tuple[dict, float]:
    """Improve a candidate by small random changes; return the best one and its accuracy.

    mutate(candidate) returns a copy with a small random change. The first trial is `start`, which
    is possible. Each further trial is a mutant of the best candidate so far, and replaces it if it
    is at least as accurate. score(candidate) returns the accuracy, or None if it is impossible.
    """
    best, highest = start, score(start)
    for _ in range(trials - 1):
        mutant = mutate(best)
        accuracy = score(mutant)
        # ">=", so that the search can move on among candidates that are equally good.
        if accuracy is not None and accuracy >= highest:
            best, highest = mutant, accuracy
    return best, highest


@exercise(
    "03_3.halving",
    check=check_halving,
    hints=(
        "Write a loop that runs while there is more than one candidate: score each of them, sort, "
        "keep the best, multiply the epochs.",
        "Of n candidates keep max(1, n // factor). A single candidate needs no score.",
        "sorted(candidates, key=..., reverse=True) calls the key once for each candidate, so the "
        "key may train it. A slice of the sorted list is what is left.",
    ),
)
def halving(candidates: list, score: Callable, epochs: int, factor: int) -> object:
    """Find the winner of successive halving.

    score(candidate, epochs) trains a candidate for `epochs` epochs and returns its accuracy. Each
    round scores all candidates that are left, keeps the best len // factor of them (at least one),
    and multiplies the epochs by `factor`. It ends when one is left. A single candidate is not
    scored.
    """
    # With n candidates and the factor 2, a round costs n * epochs: each of the later rounds costs
    # the same, because half as many candidates are trained for twice as long.
    while len(candidates) > 1:
        ranked = sorted(candidates, key=lambda c: score(c, epochs), reverse=True)
        candidates = ranked[: max(1, len(ranked) // factor)]
        epochs *= factor
    return candidates[0]


def _point(pair: Any, points: list[tuple[float, float]], where: str) -> tuple[float, float]:
    """Return the one of `points` that a pair of the answer stands for."""
    both = _as_list(pair, where, "a list of pairs (cost, accuracy)")
    if len(both) != 2:
        raise Wrong(f"{where}: {pair!r} is not a pair (cost, accuracy)")
    read = answers.number(both[0], f"{where}:"), answers.number(both[1], f"{where}:")
    # Not by ==: an answer that works with float32 tensors returns 0.89999998 for 0.9.
    for point in points:
        if answers.same(read[0], point[0]) and answers.same(read[1], point[1]):
            return point
    raise Wrong(
        f"{where}: {read} is not one of the points: return the pairs (cost, accuracy) unchanged"
    )


def _check_front(answer: Answer) -> str:
    cases = [
        ([(3, 0.9), (1, 0.5), (2, 0.7)], "each more expensive one is better"),
        ([(1, 0.8), (2, 0.7), (3, 0.9)], "one is more expensive and worse"),
        ([(1, 0.8), (1, 0.9), (2, 0.95)], "two of the same cost"),
        ([(1, 0.8), (2, 0.8), (3, 0.9)], "two of the same accuracy"),
        ([(2, 0.5)], "a single point"),
        ([(1, 0.9), (2, 0.8), (3, 0.7)], "the cheapest is the best"),
        ([(1, 0.5), (1, 0.5), (2, 0.4)], "the same point twice"),
        ([(1, 0.9), (2, 0.6), (3, 0.8)], "better than the one before, but not than the cheapest"),
    ]
    for points, what in cases:
        where = f"{what} ({points})"
        got = answer(list(points), where=f"{where}:", copy=False)
        pairs = [_point(p, points, where) for p in _as_list(got, where, "a list of pairs")]
        want = []
        for cost, accuracy in sorted(points, key=lambda p: (p[0], -p[1])):
            if not want or accuracy > want[-1][1]:
                want.append((cost, accuracy))
        for pair in pairs:
            if pair not in want:
                better = next(p for p in want if p[0] <= pair[0] and p[1] >= pair[1])
                raise Wrong(f"{where}: {pair} is not on the front: {better} beats it")
        if pairs != want:
            raise Wrong(
                f"{where}: your result is {pairs}, it should be {want}: cheapest first, each once"
            )
    return "No other point beats a point on the front. Which of them is best is your choice."


@exercise(
    "03_3.front",
    check=_check_front,
    hints=(
        "Sort by cost, and points of equal cost by accuracy, the best first. Then loop over them.",
        "A point on the front is more accurate than all cheaper points. So remember the best "
        "accuracy so far.",
        "The points that you keep get more and more accurate. So the best accuracy so far is that "
        "of the last point kept, and the first point is always kept.",
    ),
)
def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Find the points (cost, accuracy) that no other point beats, the cheapest first.

    One point beats another if it costs no more and is no less accurate, and is better in one of
    the two. Return equal points only once.
    """
    # All points before this one in the sorted list are no more expensive. So it is beaten exactly
    # if one of them is at least as accurate.
    kept = []
    for cost, accuracy in sorted(points, key=lambda p: (p[0], -p[1])):
        if not kept or accuracy > kept[-1][1]:
            kept.append((cost, accuracy))
    return kept
