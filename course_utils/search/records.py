"""What `improve` found: every candidate, the best network, and plain code that makes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from course_utils.conv import simple_settings
from course_utils.search.candidate import ARTICLE, build
from course_utils.search.code import code_of
from course_utils.search.front import front

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Tried:
    """One candidate and what came of it.

    Attributes:
        number: from 1, in the order of trial; 0 is the network as it was given.
        round: 1, 2 or 3; 0 for the network as it was given.
        epochs: of its training.
        params: its values.
        accuracy: on the validation pictures; None if it has none.
        multiply_adds: of one picture; None if it could not be built.
        reason: why it has no accuracy, else "".
        seconds: that its training took.
        at: seconds from the start of the search to its end.
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


@dataclass
class Improvement:
    """What `improve` has found; while it is at work, what it has found so far.

    Attributes:
        original: a copy of the network as it was given, on the CPU.
        image_shape: (C, H, W) of the pictures.
        weights: "keep" or "fresh", with which every training begins.
        seed: of the weights and of the trainings.
        start: the given network's own accuracy and cost.
        best: the candidate to take, see `choice.winner`; `start` if none is better.
        network: as `best` says, trained, in eval mode.
        tried: all candidates, in order.
        now: what is being done, in words; "" at the end.
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
        """The values of the best candidate."""
        return dict(self.best.params)

    @property
    def example_input(self) -> Tensor:
        """Two black pictures."""
        return torch.zeros(2, *self.image_shape)

    def front(self) -> list[Tried]:
        """The candidates that no other beats in accuracy and cost, the cheapest first."""
        return front_of(self.tried)

    def cheapest(self, accuracy: float) -> Tried | None:
        """The cheapest candidate that has at least this accuracy; None if there is none."""
        return next((one for one in self.front() if one.accuracy >= accuracy), None)

    def build(self, one: Tried | None = None) -> nn.Module:
        """The network of a candidate, before its training; by default of the best one."""
        params = (one or self.best).params
        return build(
            self.original, params, self.example_input, weights=self.weights, seed=self.seed
        )

    def layers(self, one: Tried) -> str:
        """What a candidate changes of the layers: "conv1.out_channels 16 → 8", or ""."""
        return ", ".join(
            f"{layer}.{setting} {before} → {value}"
            for layer, settings in layer_changes(self, one).items()
            for setting, (before, value) in settings.items()
            if before != value
        )

    def code(self, one: Tried | None = None) -> str:
        """Plain Python that makes a candidate out of `model` and trains it on `data`."""
        one = one or self.best
        if not one.number:
            return "# model is the network as it was given.\n"
        return code_of(one.params, one.epochs, self.image_shape, self.weights, self.seed)

    def frame(self) -> pandas.DataFrame:
        """One row a candidate, with all its values."""
        import pandas as pd

        names = ("number", "round", "epochs", "accuracy", "multiply_adds", "reason")
        return pd.DataFrame(
            [{name: getattr(one, name) for name in names} | dict(one.params) for one in self.tried]
        )

    def report(self) -> str:
        """What was found, in a few lines."""
        best, start = self.best, self.start
        failed = sum(one.accuracy is None for one in self.tried)
        lines = [
            f"{len(self.tried)} candidates, {failed} without a result"
            + ("; stopped early" if self.stopped else ""),
            f"validation accuracy: {start.accuracy:.1%} as given, {best.accuracy:.1%} now",
        ]
        if best.number:
            lines.append(
                f"multiply-adds: {start.multiply_adds:,} as given, {best.multiply_adds:,} now"
            )
            lines.append(f"candidate {best.number}, {best.epochs} epochs:")
            lines += [f"  {line}" for line in _lines(self, best)]
        else:
            lines.append("no candidate was better than the network as it was given")
        return "\n".join(lines)


def front_of(tried: Iterable[Tried]) -> list[Tried]:
    """Those that no other beats in accuracy and cost (see `front.front`), the cheapest first."""
    complete = [one for one in tried if one.accuracy is not None]
    return front(complete, cost=lambda one: one.multiply_adds, accuracy=lambda one: one.accuracy)


def layer_changes(found: Improvement, one: Tried) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Layer -> setting -> (value of the given network, value of the candidate)."""
    changes: dict[str, dict[str, tuple[Any, Any]]] = {}
    for name, value in one.params.items():
        layer, dot, setting = name.rpartition(".")
        if dot:
            before = own_value(found.original, layer, setting)
            changes.setdefault(layer, {})[setting] = before, value
    return changes


def training_changes(params: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Setting -> (the article's value, the candidate's), of those that were searched."""
    return {name: (ARTICLE[name], value) for name, value in params.items() if name in ARTICLE}


def _lines(found: Improvement, one: Tried) -> list[str]:
    """Each value of a candidate, beside what it was."""
    training = {name: value for name, (_, value) in training_changes(one.params).items()}
    lines = [
        f"{name}: {value:.3g}" if isinstance(value, float) else f"{name}: {value}"
        for name, value in training.items()
    ]
    for layer, settings in layer_changes(found, one).items():
        for setting, (before, value) in settings.items():
            shown = f"{before}, as before" if before == value else f"{before} → {value}"
            lines.append(f"{layer}.{setting}: {shown}")
    return lines


def own_value(model: nn.Module, layer: str, setting: str) -> Any:
    """The value that a layer has already: `simple_settings`, and 1 for its depth."""
    if setting == "depth":
        return 1
    return simple_settings(model.get_submodule(layer))[setting]
