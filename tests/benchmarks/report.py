"""One line of a benchmark's table, and its verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence


def verdict(name: str, figures: str, limits: Sequence[tuple[str, float, float]]) -> int:
    """Print `name`, the figures, and each (what, value, highest allowed value).

    Returns:
        0 if every value keeps to its limit, otherwise 1: the exit status of the benchmark.
    """
    over = [what for what, value, limit in limits if value > limit]
    held = ", ".join(f"{what} {value:.3g} (limit {limit:g})" for what, value, limit in limits)
    print(f"{name:<52}{figures}; {held}   {'over limit: ' + ', '.join(over) if over else 'OK'}")
    return int(bool(over))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]
