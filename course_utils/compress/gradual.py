"""Pruning with a goal: in several rounds with training between them, or down to a given cost."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from course_utils.compress.criteria import Importance
from course_utils.compress.masks import require_share
from course_utils.compress.pruning import (
    NothingToRemove,
    PruningReport,
    plan_widths,
    prepared,
    prune,
)
from course_utils.conv import layer_table, narrow
from course_utils.core import CourseError, whole_number
from course_utils.data import Dataset
from course_utils.training import fit


def prune_gradually(
    model: nn.Module,
    data: Dataset,
    share: float,
    *,
    rounds: int = 3,
    fine_tune: Mapping[str, Any] | None = None,
    **options: Any,
) -> nn.Module:
    """Return a copy that was pruned in several rounds, and trained after each.

    Each round removes the same part of the channels that are left, so that at the end `share` of
    the first ones is gone. One round is one-shot pruning with fine-tuning.

    Args:
        data: For the training, and for the criteria that look at pictures.
        share: Of the channels, between 0 and 1.
        fine_tune: Arguments of `fit`, for each round; two epochs if it has no `epochs`.
        **options: Of `prune`, except `return_report`.

    Raises:
        NothingToRemove: If no layer would get narrower.
        CourseError: As `prune` and `fit`.
    """
    require_share(share)
    rounds = whole_number("rounds", rounds, 1)
    options = {"data": data} | options
    scope = options.get("scope", "layer")
    seen = options.get("example_input"), data, "l1", 0
    first: dict[str, int] = {}
    narrower = model
    for number in range(1, rounds + 1):
        _, _, groups, _ = prepared(narrower, *seen)
        now = {group.name: group.channels for group in groups}
        first = first or now
        left = (1 - share) ** (number / rounds)
        # Of the first widths, not of the present ones: their rounding does not add up.
        shares = {name: max(0.0, 1 - left * first[name] / count) for name, count in now.items()}
        if scope == "global":
            shares = max(0.0, 1 - left * sum(first.values()) / sum(now.values()))
        # In a round of its own a small share may be less than a step of 8 channels.
        ignored = NothingToRemove if number < rounds or narrower is not model else ()
        with contextlib.suppress(ignored):
            if shares:
                narrower = prune(narrower, shares, **options)
        if narrower is not model:
            fit(narrower, data, **({"epochs": 2} | dict(fine_tune or {})))
    return narrower


def prune_to_cost(
    model: nn.Module, cost: float, *, example_input: Any = None, **options: Any
) -> nn.Module | tuple[nn.Module, PruningReport]:
    """Return a copy with the smallest share removed that brings the multiply-adds to a part.

    Args:
        cost: Multiply-adds of the copy, as a part of those of the model, between 0 and 1.
        example_input: As for `prune`; it may be left out if there is `data`.
        **options: Of `prune`.

    Raises:
        CourseError: If no share reaches this, or as `prune`.
    """
    settings = {name: value for name, value in options.items() if name != "return_report"}
    share = share_for_cost(model, cost, example_input=example_input, **settings)
    return prune(model, share, example_input=example_input, **options)


def share_for_cost(
    model: nn.Module,
    cost: float,
    *,
    importance: Importance = "l1",
    data: Dataset | None = None,
    example_input: Any = None,
    seed: int = 0,
    **settings: Any,
) -> float:
    """Return the smallest share, in whole per cent, with which `prune` reaches a part of the cost.

    Args:
        cost: As for `prune_to_cost`.
        importance, data, example_input, seed: As for `prune`.
        **settings: `scope`, `divisible_by` and `floor` of `prune`.

    Raises:
        CourseError: If no share reaches this, or as `prune`.
    """
    require_share(cost, "cost")
    if example_input is None and data is None:
        raise CourseError("The cost depends on the size of the pictures: give example_input.")
    model, example, groups, known = prepared(model, example_input, data, importance, seed)
    whole = multiply_adds(model, example)

    def part_left(percent: int) -> float:
        try:
            widths = plan_widths(groups, percent / 100, **settings)
        except NothingToRemove:
            return 1.0
        smaller, _ = narrow(model, widths, importance=known, example_input=example, dry_run=True)
        return multiply_adds(smaller, example) / whole

    low, high = 0, 99
    fewest = part_left(high)
    if fewest > cost:
        raise CourseError(
            f"The multiply-adds cannot fall to {cost:.0%}: with the narrowest layers {fewest:.0%} "
            "are left. Give a larger cost, or smaller divisible_by and floor."
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if part_left(middle) <= cost else (middle, high)
    return high / 100


def multiply_adds(model: nn.Module, example_input: Any) -> int:
    """Return the multiply-adds of one picture, of convolutions and matrix products."""
    return sum(row.multiply_adds or 0 for row in layer_table(model, example_input))
