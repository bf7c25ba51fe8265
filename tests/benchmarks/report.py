"""One line of a benchmark's table, with its verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence


def verdict(name: str, figures: str, limits: Sequence[tuple[str, float, float]]) -> int:
    """Print `name`, the figures, and each (what, value, highest allowed value).

    Returns:
        The exit status of the benchmark: 0 if no value is over its limit, otherwise 1.
    """
    over = [what for what, value, limit in limits if value > limit]
    held = ", ".join(f"{what} {value:.3g} (limit {limit:g})" for what, value, limit in limits)
    print(f"{name:<52}{figures}; {held}   {'over limit: ' + ', '.join(over) if over else 'OK'}")
    return int(bool(over))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]
