"""The error for settings that no layer can have, and the search for the nearest settings that work.

A layer's rules are written as a generator: it yields one `Broken` for each rule that the settings
break, in the order in which the rules build on each other, and yields nothing if the layer exists.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from course_utils.core import CourseError

Settings = dict[str, Any]

# Where two changes are equally small, the argument named first is the one to change.
PREFERENCE = (
    "kernel_size",
    "padding",
    "dilation",
    "stride",
    "groups",
    "out_channels",
    "in_channels",
    "padding_mode",
)


class ImpossibleSetting(CourseError):
    """Arguments that no layer can have.

    Attributes:
        sentence: what is wrong, in words.
        formula: the rule that is broken, in symbols.
        filled: the same rule with the numbers put in.
        nearest: the smallest change of arguments that works, as `{argument: value}`; empty if
            there is none.

    `str(error)` holds all four.
    """

    def __init__(
        self, sentence: str, formula: str = "", filled: str = "", nearest: Settings | None = None
    ):
        self.sentence, self.formula, self.filled = sentence, formula, filled
        self.nearest = dict(nearest or {})
        lines = [sentence]
        if formula:
            lines += [f"Formula: {formula}", f"Here: {filled}"]
        if self.nearest:
            change = ", ".join(f"{name}={value!r}" for name, value in self.nearest.items())
            lines.append(f"Nearest setting that works: {change}")
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Broken:
    """A rule that the settings break.

    `repairs` are changes of one argument each, the smallest of that argument that keep the rule.
    """

    sentence: str
    formula: str
    filled: str
    repairs: tuple[Settings, ...] = ()


Rules = Callable[[Settings], Iterator[Broken]]


def require(rules: Rules, settings: Settings, fixed: Collection[str] = ()) -> None:
    """Return if `settings` keep all `rules`; those in `fixed` are not the reader's to change.

    Raises:
        ImpossibleSetting: for the first rule that is broken.
    """
    broken = next(rules(settings), None)
    if broken is not None:
        nearest = nearest_settings(rules, settings, fixed)
        raise ImpossibleSetting(broken.sentence, broken.formula, broken.filled, nearest)


def nearest_settings(rules: Rules, settings: Settings, fixed: Collection[str] = ()) -> Settings:
    """The smallest change of `settings` that keeps all `rules`; empty if none is found.

    Smallest means: as few arguments as possible, then the smallest sum of the steps that they move
    (a pair counts both its numbers, a number that stands for both directions counts twice), then
    the order of `PREFERENCE`. An argument that was given as one number stays one number.

    It is a best-first search: take the smallest change known, see which rule it still breaks, and
    put that rule's repairs on top of it. So what is returned has passed every rule.
    """

    def size(changes: Settings) -> tuple:
        steps = sum(_steps(settings[name], value) for name, value in changes.items())
        return len(changes), steps, sorted(PREFERENCE.index(name) for name in changes)

    ticket = itertools.count()  # equal sizes leave the queue in the order they entered it
    queue: list[tuple[tuple, int, Settings]] = [(size({}), next(ticket), {})]
    seen: list[Settings] = []
    while queue:
        _, _, changes = heapq.heappop(queue)
        if changes in seen:
            continue
        seen.append(changes)
        broken = next(rules(settings | changes), None)
        if broken is None:
            return changes
        for repair in broken.repairs:
            if not repair.keys().isdisjoint(fixed):
                continue
            merged = {k: v for k, v in (changes | repair).items() if v != settings[k]}
            heapq.heappush(queue, (size(merged), next(ticket), merged))
    return {}


def _steps(old: Any, new: Any) -> int:
    """How far an argument moves, over both directions; a word such as 'same' moves for nothing."""
    old = 0 if old == "valid" else old
    if isinstance(old, str) or isinstance(new, str):
        return 0
    before, after = (v if isinstance(v, tuple | list) else (v, v) for v in (old, new))
    return sum(abs(a - b) for a, b in zip(before, after, strict=True))
