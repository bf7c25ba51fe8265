"""The result of `improve`: every candidate, the best network, and the code that makes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from course_utils.conv import simple_settings
from course_utils.search.candidate import ARTICLE, build
from course_utils.search.code import candidate_code
from course_utils.search.pareto import not_dominated

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Tried:
    """One candidate that was tried, and its result.

    Attributes:
        number: from 1, in the order of trial; 0 is the given network.
        round: 1, 2 or 3; 0 for the given network.
        epochs: of its training.
        params: its values.
        accuracy: on the validation pictures; None if it has none.
        multiply_adds: for one picture; None if it could not be built.
        reason: why it has no accuracy, else "".
        seconds: of its training.
        at: seconds from the start of the search to the end of its training.
    """

    number: int
    round: int
    epochs: int
    params: Mapping[str, Any]
    accuracy: float | None
    multiply_adds: int | None
    reason: str = ""
    seconds: float = 0.0
    at: float = 0.0

    @property
    def seconds_per_epoch(self) -> float:
        """Seconds of its training for each epoch."""
        return self.seconds / self.epochs


@dataclass
class Improvement:
    """The result of `improve`; while it runs, the result so far.

    Attributes:
        original: a copy of the given network, on the CPU.
        image_shape: (C, H, W) of the pictures.
        weights: "keep" or "fresh": the weights with which every training begins.
        seed: of the weights and of the trainings.
        start: the given network's own accuracy and cost.
        best: the candidate to take, see `selection.winner`; `start` if none is better.
        network: the network of `best`, trained, in eval mode.
        tried: all candidates, in order.
        now: what the search is doing, in words; "" at the end.
        stopped: whether it was stopped before the budget was spent.
    """

    original: nn.Module = field(repr=False)
    image_shape: tuple[int, ...]
    weights: str
    seed: int
    start: Tried
    best: Tried
    network: nn.Module = field(repr=False)
    tried: list[Tried] = field(default_factory=list)
    now: str = ""
    stopped: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """The values of the best candidate's settings."""
        return dict(self.best.params)

    def pareto_front(self) -> list[Tried]:
        """Return the Pareto front of accuracy and cost, see `not_dominated`, the cheapest first."""
        complete = [one for one in self.tried if one.accuracy is not None]
        return not_dominated(
            complete, cost=lambda one: one.multiply_adds, accuracy=lambda one: one.accuracy
        )

    def cheapest(self, accuracy: float) -> Tried | None:
        """Return the cheapest candidate with at least this accuracy; None if there is none."""
        return next((one for one in self.pareto_front() if one.accuracy >= accuracy), None)

    def build(self, one: Tried | None = None) -> nn.Module:
        """Return the network of a candidate, by default of the best one, before its training."""
        params, example = (one or self.best).params, torch.zeros(2, *self.image_shape)
        return build(self.original, params, example, weights=self.weights, seed=self.seed)

    def layers(self, one: Tried) -> str:
        """Return the changes of a candidate's layers, as "conv1.out_channels 16 → 8", or ""."""
        return ", ".join(
            f"{layer}.{setting} {before} → {value}"
            for layer, settings in layer_changes(self, one).items()
            for setting, (before, value) in settings.items()
            if before != value
        )

    def code(self, one: Tried | None = None) -> str:
        """Return Python code that makes a candidate from `model` and trains it on `data`."""
        one = one or self.best
        if not one.number:
            return "# model is the network as it was given.\n"
        return candidate_code(one.params, one.epochs, self.image_shape, self.weights, self.seed)

    def frame(self) -> pandas.DataFrame:
        """Return a table with one row for each candidate, with all its values."""
        import pandas as pd

        names = ("number", "round", "epochs", "accuracy", "multiply_adds", "reason")
        return pd.DataFrame(
            [{name: getattr(one, name) for name in names} | dict(one.params) for one in self.tried]
        )

    def why_no_result(self) -> str:
        """Return why no candidate has a result, the most frequent reasons; "" if one has one."""
        if any(one.accuracy is not None for one in self.tried):
            return ""
        if not self.tried:
            return "No candidate was finished in time."
        reasons = Counter(one.reason for one in self.tried).most_common(3)
        lines = [f"  {count} of {len(self.tried)}: {reason}" for reason, count in reasons]
        return "\n".join(["No candidate has a result:", *lines])

    def report(self) -> str:
        """Return a summary of a few lines."""
        best, start = self.best, self.start
        failed = sum(one.accuracy is None for one in self.tried)
        early = "; stopped early" if self.stopped else ""
        lines = [
            f"{len(self.tried)} candidates, {failed} without a result{early}",
            f"validation accuracy: {start.accuracy:.1%} as given, {best.accuracy:.1%} now",
            f"multiply-adds: {start.multiply_adds:,} as given, {best.multiply_adds:,} now",
            f"candidate {best.number}, {best.epochs} epochs:",
            *(f"  {line}" for line in _lines(self, best)),
        ]
        if not best.number:
            unchanged = "no candidate was better than the network as it was given"
            lines[2:] = [self.why_no_result() or unchanged]
        return "\n".join(lines)


def layer_changes(found: Improvement, one: Tried) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Return layer -> setting -> (value of the given network, value of the candidate)."""
    changes: dict[str, dict[str, tuple[Any, Any]]] = {}
    for name, value in one.params.items():
        layer, dot, setting = name.rpartition(".")
        if dot:
            before = own_value(found.original, layer, setting)
            changes.setdefault(layer, {})[setting] = before, value
    return changes


def training_changes(params: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return setting -> (the article's value, the candidate's), of the settings searched."""
    return {name: (ARTICLE[name], value) for name, value in params.items() if name in ARTICLE}


def _lines(found: Improvement, one: Tried) -> list[str]:
    """Return a line for each value of a candidate, with the given network's own value."""
    lines = [
        f"{name}: {value:.3g}" if isinstance(value, float) else f"{name}: {value}"
        for name, (_, value) in training_changes(one.params).items()
    ]
    for layer, settings in layer_changes(found, one).items():
        for setting, (before, value) in settings.items():
            shown = f"{before}, as before" if before == value else f"{before} → {value}"
            lines.append(f"{layer}.{setting}: {shown}")
    return lines


def own_value(model: nn.Module, layer: str, setting: str) -> Any:
    """Return the value that a layer has now, as `simple_settings` does; 1 for its depth."""
    return 1 if setting == "depth" else simple_settings(model.get_submodule(layer))[setting]
