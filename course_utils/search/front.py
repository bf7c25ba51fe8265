"""The Pareto front of accuracy and cost, of whatever has both."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def front(
    some: Iterable[T], *, cost: Callable[[T], float], accuracy: Callable[[T], float]
) -> list[T]:
    """Those that no other one beats, the cheapest first.

    One beats another if it costs no more and is no less accurate, and is better in one of the two.
    Of equal ones the first is taken.
    """
    kept: list[T] = []
    for one in sorted(some, key=lambda one: (cost(one), -accuracy(one))):
        if not kept or accuracy(one) > accuracy(kept[-1]):
            kept.append(one)
    return kept
