"""The checks of the loops in notebook 03_3: random search, evolution, successive halving."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Wrong, one_line, shown


def counted(count: int, what: str) -> str:
    """Return a number with its noun: '1 epoch', '2 epochs'."""
    return f"{shown(count)} {what}{'' if count == 1 else 's'}"


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
                f"{where}: round {i} should score {names} with {counted(want[0][1], 'epoch')}; "
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


def check_halving(answer: Answer) -> str:
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
            f"{what} ({counted(len(candidates), 'candidate')}, "
            f"{counted(epochs, 'epoch')} first, factor {factor})"
        )
        got, calls = _run_halving(answer, candidates, epochs, factor, where)
        winner, rounds = _halving_rounds(candidates, epochs, factor)
        _compare_rounds(calls, rounds, winner, where)
        if got != winner:
            raise answers.wrong_kind(got, f"the winner, {winner!r}", f"{where}:")
    return "The price: a candidate that starts slowly is lost (Jamieson and Talwalkar 2016)."


Scores = Sequence[float | None]
"""The accuracies of the candidates, in the order in which they are scored; None: impossible."""

_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class _Loop:
    """Candidates named A, B, C, ..., and the planned score of each, asked for once."""

    def __init__(self, scores: Scores, where: str) -> None:
        self.scores, self.where = scores, where
        self.parents: list[str] = []  # of which a mutant was asked, in order
        self.scored: list[str] = []
        self._letters: Iterator[str] = iter(_NAMES)

    def new(self) -> dict[str, str]:
        return {"name": next(self._letters, "Z")}

    def mutant(self, parent: Any) -> dict[str, str]:
        self.parents.append(self._name(parent))
        return self.new()

    def score(self, candidate: Any) -> float | None:
        name = self._name(candidate)
        self.scored.append(name)
        if len(self.scored) > len(self.scores):
            raise Wrong(
                f"{self.where} score was called more than {counted(len(self.scores), 'time')} "
                f"({', '.join(self.scored)}): a training is expensive, so score each candidate "
                "once, and count the impossible ones as trials"
            )
        if (place := _NAMES.index(name)) >= len(self.scores):
            raise self._wrongly_scored()
        return self.scores[place]

    def _wrongly_scored(self) -> Wrong:
        names, said = ", ".join(_NAMES[: len(self.scores)]), ", ".join(self.scored) or "none"
        return Wrong(f"{self.where} {names} should be scored, each once; scored: {said}")

    def _name(self, candidate: Any) -> str:
        if not isinstance(candidate, dict) or set(candidate) != {"name"}:
            raise Wrong(f"{self.where} {answers.a_kind_of(candidate)} is not a candidate")
        return candidate["name"]

    def compare(self, got: Any, best: str | None, highest: float | None) -> None:
        """Compare the scored candidates and the result with what they should be."""
        names = list(_NAMES[: len(self.scores)])
        if self.scored != names:
            raise self._wrongly_scored()
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise answers.wrong_kind(got, "a pair (candidate, accuracy)", self.where)
        want = (None if best is None else {"name": best}, highest)
        if tuple(got) != want:
            accuracies = ", ".join(
                f"{name} {'impossible' if score is None else score}"
                for name, score in zip(names, self.scores, strict=True)
            )
            raise Wrong(f"{self.where} ({accuracies}) your result is {got}, it should be {want}")


def _run(answer: Answer, loop: _Loop, *arguments: Any) -> Any:
    """Call the answer; a `Wrong` of the loop comes out, whatever the answer catches."""
    raised: list[Wrong] = []

    def score(candidate: Any) -> float | None:
        try:
            return loop.score(candidate)
        except Wrong as wrong:
            raised.append(wrong)
            raise _Endless from None

    try:
        got = answer(*arguments, score, len(loop.scores), where=loop.where, copy=False)
    except Wrong:
        if not raised:
            raise
    if raised:
        raise raised[0]
    return got


def check_random_search(answer: Answer) -> str:
    """Check the loop of a random search."""
    cases: list[tuple[Scores, str]] = [
        ((0.5, 0.8, 0.6, 0.7), "four candidates"),
        ((0.9, 0.8, 0.1), "the first is the best"),
        ((0.2, 0.3, 0.8), "the last is the best"),
        ((0.4,), "a single trial"),
        ((0.6, 0.8, 0.8), "two are equally good, and the first of them wins"),
        ((None, 0.3, 0.2), "the first is impossible"),
        ((0.3, None, 0.7), "one in the middle is impossible"),
        ((None, 0.0, None), "an accuracy of 0 is a result"),
        ((None, None), "all are impossible"),
    ]
    for scores, what in cases:
        loop = _Loop(scores, f"{what}:")
        got = _run(answer, loop, loop.new)
        possible = [score for score in scores if score is not None]
        highest = max(possible, default=None)
        best = None if highest is None else _NAMES[scores.index(highest)]
        loop.compare(got, best, highest)
    return "These few lines are the baseline that every cleverer search has to beat."


def check_evolve(answer: Answer) -> str:
    """Check the loop of an evolutionary search with one parent."""
    cases: list[tuple[Scores, str]] = [
        ((0.5, 0.6, 0.7), "each mutant is better"),
        ((0.5, 0.4, 0.3, 0.6), "two mutants are worse than their parent"),
        ((0.5, 0.7, 0.6, 0.65), "better than the mutant before, but not than the best"),
        ((0.5, 0.5, 0.5), "equally good mutants replace their parent"),
        ((0.5, None, 0.6), "a mutant is impossible"),
        ((0.0, None, 0.0), "an accuracy of 0"),
        ((0.4,), "a single trial: only the start"),
    ]
    for scores, what in cases:
        loop = _Loop(scores, f"{what}:")
        got = _run(answer, loop, loop.new(), loop.mutant)
        best, highest, parents = "A", scores[0], []
        for name, score in itertools.islice(zip(_NAMES, scores, strict=False), 1, None):
            parents.append(best)
            if score is not None and score >= highest:
                best, highest = name, score
        if loop.scored[:1] == ["A"] and loop.parents != parents:
            said = ", ".join(loop.parents) or "none"
            raise Wrong(
                f"{loop.where} the parents should be {', '.join(parents) or 'none'}; yours: {said}"
            )
        loop.compare(got, best, highest)
    return "Only small changes of the best: fast where good candidates have good neighbours."
