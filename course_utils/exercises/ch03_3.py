"""Exercises of notebook 03_3: a grid, a log scale, successive halving, the Pareto front."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Wrong, one_line, shown
from course_utils.exercises.base import exercise


def _as_list(got: Any, where: str, wanted: str) -> list:
    """Return a list or tuple of the reader as a list; raise `Wrong` for anything else."""
    if not isinstance(got, (list, tuple)):
        raise answers.wrong_kind(got, wanted, f"{where}:")
    return list(got)


def _counted(count: int, what: str) -> str:
    """Return a number with its noun: '1 epoch', '2 epochs'."""
    return f"{shown(count)} {what}{'' if count == 1 else 's'}"


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
                f"{where}: your result has {_counted(len(got), 'point')}, it should have "
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
        "itertools.product(*values.values()) yields all combinations of the values.",
        "[dict(zip(values, point)) for point in itertools.product(*values.values())]",
    ),
)
def grid(values: dict[str, list]) -> list[dict]:
    """List every combination of the values, as dicts name -> value.

    values: name -> list of values, such as {"kernel_size": [3, 5], "stride": [1, 2]}. If a name has
    an empty list, there is no combination: the result is an empty list.
    """
    import itertools

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
        "low * (high / low) ** torch.rand(count, generator=generator)",
    ),
)
def log_uniform(low: float, high: float, count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw `count` numbers between low and high whose logarithms are uniform; shape (count,)."""
    return low * (high / low) ** torch.rand(count, generator=generator)


_MOST_CALLS = 1000


class _Endless(BaseException):
    """Ends an answer that never stops scoring. Its own `except Exception` does not catch this."""


def _in_words(calls: list[tuple[str, Any]]) -> str:
    """Return calls in words: 'early, bad with 2'; if epochs differ, 'early with 2, bad with 4'."""
    if not calls:
        return "none"
    last = calls[-1][1]
    if all(epochs == last for _, epochs in calls):
        return f"{', '.join(str(candidate) for candidate, _ in calls)} with {one_line(last, 40)}"
    return ", ".join(f"{candidate} with {one_line(epochs, 40)}" for candidate, epochs in calls)


def _next_round(calls: list[tuple[str, Any]], size: int) -> tuple[list, list]:
    """Return the calls of the next round, which should have `size` calls, and the calls after it.

    Further calls with the same epochs belong to the round, until a candidate is scored again: that
    is the next round of an answer which does not raise the epochs.
    """
    end = min(size, len(calls))
    while 0 < end < len(calls):
        (candidate, epochs), (before, epochs_before) = calls[end], calls[end - 1]
        back = candidate != before and candidate in [c for c, _ in calls[:end]]
        if epochs != epochs_before or back:
            break
        end += 1
    return calls[:end], calls[end:]


def _compare_rounds(
    calls: list[tuple[str, Any]], rounds: list[list[tuple[str, int]]], winner: str, where: str
) -> None:
    """Compare calls with those that each round should make, in any order within the round."""
    for i, want in enumerate(rounds, start=1):
        got, calls = _next_round(calls, len(want))
        if len(got) != len(want) or not all(call in got for call in want):
            names = ", ".join(candidate for candidate, _ in want)
            raise Wrong(
                f"{where}: round {i} should score {names} with {_counted(want[0][1], 'epoch')}; "
                f"you scored {_in_words(got)}"
            )
    if calls:
        left = f"after round {len(rounds)} only {winner} is left" if rounds else "there is only one"
        got, _ = _next_round(calls, 1)
        raise Wrong(f"{where}: {left}, which is not scored; you scored {_in_words(got)}")


_CANDIDATES = ("late", "steady", "early", "fair", "poor", "bad", "worse", "worst")
_FINAL = dict(zip(_CANDIDATES, (0.9, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05), strict=True))


def _score(candidate: str, epochs: int) -> float:
    """Return an accuracy: at first, `late` is worse and `early` better than at the end."""
    if candidate == "late":
        return _FINAL[candidate] if epochs >= 8 else 0.15
    return 0.7 if candidate == "early" and epochs < 4 else _FINAL[candidate]


def _run_halving(
    answer: Answer, candidates: list[str], epochs: int, factor: int, where: str
) -> tuple[Any, list[tuple[str, Any]]]:
    """Return the winner that the answer found, and its calls of score."""
    calls: list[tuple[str, Any]] = []

    def score(candidate: str, epochs: int) -> float:
        calls.append((candidate, epochs))
        if len(calls) >= _MOST_CALLS:
            raise _Endless
        return _score(candidate, epochs)

    try:
        got = answer(list(candidates), score, epochs, factor, where=f"{where}:", copy=False)
    except Wrong:
        if len(calls) < _MOST_CALLS:
            raise
    if len(calls) >= _MOST_CALLS:
        raise Wrong(f"{where}: score was called {_MOST_CALLS:,} times: does your loop end?")
    return got, calls


def _halving_rounds(
    left: list[str], epochs: int, factor: int
) -> tuple[str, list[list[tuple[str, int]]]]:
    """Return the winner of successive halving, and the calls of score in each round."""
    rounds = []
    while len(left) > 1:
        rounds.append([(candidate, epochs) for candidate in left])
        ranked = sorted(left, key=lambda c: _score(c, epochs), reverse=True)
        left = ranked[: max(1, len(left) // factor)]
        epochs *= factor
    return left[0], rounds


def _check_halving(answer: Answer) -> str:
    eight = ["fair", "bad", "late", "early", "poor", "steady", "worst", "worse"]
    cases = [
        (["early", "steady", "bad", "worse"], 1, 2, "four candidates, halved twice"),
        (["worst", "bad", "late", "early", "steady", "worse"], 1, 3, "six, a third of them kept"),
        (["bad", "steady", "early"], 2, 2, "three candidates, an odd number"),
        (["worse", "bad"], 1, 4, "fewer candidates than the factor"),
        (["late"], 1, 2, "a single candidate"),
        (eight, 2, 2, "three rounds, and the best of the first falls behind"),
    ]
    for candidates, epochs, factor, what in cases:
        where = (
            f"{what} ({_counted(len(candidates), 'candidate')}, "
            f"{_counted(epochs, 'epoch')} first, factor {factor})"
        )
        got, calls = _run_halving(answer, candidates, epochs, factor, where)
        winner, rounds = _halving_rounds(candidates, epochs, factor)
        _compare_rounds(calls, rounds, winner, where)
        if got != winner:
            raise answers.wrong_kind(got, f"the winner, {winner!r}", f"{where}:")
    return "The price: a candidate that starts slowly is lost (Jamieson and Talwalkar 2016)."


@exercise(
    "03_3.halving",
    check=_check_halving,
    hints=(
        "Write a loop that runs while there is more than one candidate: score each of them, sort, "
        "keep the best, multiply the epochs.",
        "Of n candidates keep max(1, n // factor). A single candidate needs no score.",
        "ranked = sorted(candidates, key=lambda c: score(c, epochs), reverse=True); "
        "candidates = ranked[: max(1, len(ranked) // factor)]; epochs *= factor",
    ),
)
def halving(candidates: list, score: object, epochs: int, factor: int) -> object:
    """Find the winner of successive halving.

    score(candidate, epochs) trains a candidate for `epochs` epochs and returns its accuracy. Each
    round scores all candidates that are left, keeps the best len // factor of them (at least one),
    and multiplies the epochs by `factor`. It ends when one is left. A single candidate is not
    scored.
    """
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
        "for pair in sorted(points, key=lambda p: (p[0], -p[1])): keep it if it is more accurate "
        "than the last one kept",
    ),
)
def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Find the points (cost, accuracy) that no other point beats, the cheapest first.

    One point beats another if it costs no more and is no less accurate, and is better in one of
    the two. Return equal points only once.
    """
    kept = []
    for cost, accuracy in sorted(points, key=lambda p: (p[0], -p[1])):
        if not kept or accuracy > kept[-1][1]:
            kept.append((cost, accuracy))
    return kept
