"""The error for settings that no layer can have, and the search for the nearest possible settings.

The rules of a layer are a generator: it yields one `Broken` for each rule that the settings break,
and nothing if the layer is possible. A later rule may rely on the rules before it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from course_utils.core import CourseError

Settings = dict[str, Any]

# Of two equally small changes, the one whose argument comes first here is taken.
PREFERENCE = (
    *("kernel_size", "padding", "dilation", "stride"),
    *("groups", "out_channels", "in_channels", "padding_mode"),
)


class ImpossibleSetting(CourseError):
    """Arguments that no layer can have.

    Attributes:
        sentence: what is wrong, in words.
        formula: the broken rule in symbols.
        filled: the same rule with numbers in place of the symbols.
        nearest: the smallest change of the arguments that works, as `{argument: value}`; empty if
            there is none.

    `str(error)` contains all four.
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

    Each of the `repairs` changes one argument as little as possible so that the rule is kept.
    """

    sentence: str
    formula: str
    filled: str
    repairs: tuple[Settings, ...] = ()


Rules = Callable[[Settings], Iterator[Broken]]


def require(rules: Rules, settings: Settings, fixed: Collection[str] = ()) -> None:
    """Raise an error if `settings` break one of the `rules`.

    The error does not propose to change the arguments in `fixed`.

    Raises:
        ImpossibleSetting: for the first broken rule.
    """
    broken = next(rules(settings), None)
    if broken is not None:
        nearest = nearest_settings(rules, settings, fixed)
        raise ImpossibleSetting(broken.sentence, broken.formula, broken.filled, nearest)


def nearest_settings(rules: Rules, settings: Settings, fixed: Collection[str] = ()) -> Settings:
    """Return the smallest change of `settings` that keeps all `rules`; empty if none is found.

    The smallest change has the fewest arguments, then the smallest sum of steps (both numbers of a
    pair count; one number for both directions counts twice), then the order of `PREFERENCE`. An
    argument that was given as one number stays one number.

    This is a best-first search: take the smallest change so far, find the first rule that it still
    breaks, and add each repair of that rule to it. So the returned change keeps all rules.
    """

    def size(changes: Settings) -> tuple:
        steps = sum(_steps(settings[name], value) for name, value in changes.items())
        return len(changes), steps, sorted(PREFERENCE.index(name) for name in changes)

    ticket = itertools.count()  # changes of equal size leave the queue in the order of entry
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
    """Return the steps between two values, over both directions; words such as 'same' count 0."""
    old = 0 if old == "valid" else old
    if isinstance(old, str) or isinstance(new, str):
        return 0
    before, after = (v if isinstance(v, tuple | list) else (v, v) for v in (old, new))
    return sum(abs(a - b) for a, b in zip(before, after, strict=True))
