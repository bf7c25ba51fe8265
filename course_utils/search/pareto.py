"""The Pareto front of accuracy and cost, for anything that has both."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def not_dominated(
    some: Iterable[T], *, cost: Callable[[T], float], accuracy: Callable[[T], float]
) -> list[T]:
    """Return those that no other one dominates, the cheapest first.

    One dominates another if it costs no more and is no less accurate, and is better in one of the
    two. Of equal ones the first is kept.
    """
    kept: list[T] = []
    for one in sorted(some, key=lambda one: (cost(one), -accuracy(one))):
        if not kept or accuracy(one) > accuracy(kept[-1]):
            kept.append(one)
    return kept
