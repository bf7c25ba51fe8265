"""Run a network with silent kernels: what it sees, and the curve as more are taken away."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_utils.conv import SilencedCopy, kernel_order
from course_utils.core import CourseError
from course_utils.metrics import ClassProbability
from course_utils.models import fold_batch_norm
from course_utils.widgets.one_click.held_out import as_input
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from course_utils.widgets.seen import most_probable

POINTS = 33
"""The most points of a curve that are computed."""

_KEPT = 200  # curves
_PICTURES = 32  # at most, for the order "least active"


class Choice(NamedTuple):
    """The settings that a curve depends on."""

    layer: str
    index: int  # of the picture
    order: str
    seed: int
    by_hand: tuple[int, ...]  # kernels that are silent wherever the slider is


@dataclass(frozen=True)
class Silenced:
    """A network with silent kernels, as the panel shows it."""

    network: MeasuredNetwork
    choice: Choice
    order: tuple[int, ...]  # all kernels, in the order in which the slider takes them
    taken: int  # how many of them the slider has taken
    before: tuple[ClassProbability, ...]
    after: tuple[ClassProbability, ...]
    watched: tuple[str, ...]  # classes whose probabilities are added up
    curve: dict[int, float]  # that sum, by the number that the slider takes; the known points

    @property
    def silent(self) -> tuple[int, ...]:
        """Numbers of the silent kernels."""
        return tuple(sorted({*self.order[: self.taken], *self.choice.by_hand}))

    @property
    def complete(self) -> bool:
        """True if the whole curve is known."""
        return all(count in self.curve for count in counts_of(len(self.order)))

    @cached_property
    def maps(self) -> Tensor:
        """Feature maps of the layer before any kernel was silent: float (K, H, W)."""
        return self.network.maps(self.choice.layer, self.choice.index)


def counts_of(kernels: int) -> list[int]:
    """Return the numbers of kernels at which a curve is computed: 0 to all, at most `POINTS`."""
    steps = min(kernels, POINTS - 1)
    return [round(kernels * step / steps) for step in range(steps + 1)]


class KernelSilencer:
    """Runs one network with any kernels of one layer silent; several threads may use it.

    Args:
        network: does not change. A copy with folded BatchNorm, which is faster, runs instead of it.
        classes: names of the classes whose probability the curve shows, added up. Default: the
            class that the network sees first in the picture.

    Raises:
        CourseError: the names of the network's classes are not known, or one of `classes` is not
            one of them.
    """

    def __init__(self, network: MeasuredNetwork, classes: Sequence[str] | None = None):
        if not network.classes:
            raise CourseError(
                "The names of this network's classes are not known: give its card with card=, or"
                " data with as many classes as it has scores."
            )
        chosen = [classes] if isinstance(classes, str) else list(classes or ())
        if unknown := [name for name in chosen if name not in network.classes]:
            raise CourseError(f"The network has no class {unknown[0]!r}; {_some(network.classes)}.")
        self.network, self._classes = network, tuple(chosen)
        self._model = fold_batch_norm(network.model)
        self._lock = threading.Lock()
        self._copy: tuple[str, SilencedCopy] | None = None
        self._orders: dict[tuple, tuple[int, ...]] = {}
        self._curves: dict[Choice, dict[int, float]] = {}

    def silenced(self, choice: Choice, taken: int) -> Silenced:
        """Return the network with `taken` kernels silent, and those by hand."""
        order = self._order(choice)
        whole = self._scores(choice._replace(by_hand=()), 0)
        scores = self._scores(choice, taken)
        classes = self.network.classes
        before, after = (most_probable(one, classes) for one in (whole, scores))
        if not before:
            raise CourseError("The network's scores are not finite: look for NaN in its weights.")
        watched = self._classes or (before[0].name,)
        curve = self._curve(choice)
        curve[taken] = self._probability(scores, watched)
        return Silenced(self.network, choice, order, taken, before, after, watched, dict(curve))

    def complete(self, choice: Choice) -> Iterator[None]:
        """Compute the missing points of a curve, from coarse to fine, one at each step."""
        counts = counts_of(len(self._order(choice)))
        whole = most_probable(self._scores(choice._replace(by_hand=()), 0), self.network.classes)
        watched = self._classes or (whole[0].name,)
        for stride in (8, 4, 2, 1):
            for count in counts[::stride]:
                if count not in self._curve(choice):
                    scores = self._scores(choice, count)
                    self._curve(choice)[count] = self._probability(scores, watched)
                    yield

    def _curve(self, choice: Choice) -> dict[int, float]:
        if choice not in self._curves and len(self._curves) >= _KEPT:
            self._curves.pop(next(iter(self._curves)), None)
        return self._curves.setdefault(choice, {})

    def _probability(self, scores: Tensor, classes: Sequence[str]) -> float:
        """Return the sum of the probabilities of some classes; classes may share a name."""
        chosen = [k for k, name in enumerate(self.network.classes) if name in classes]
        return float(scores.softmax(0)[chosen].sum())

    def _order(self, choice: Choice) -> tuple[int, ...]:
        key = choice.layer, choice.order, choice.seed
        if key not in self._orders:
            model, images = self.network.model, self.network.held_out.images[:_PICTURES]
            # The sizes are those of the weights before BatchNorm is folded into them.
            order = kernel_order(
                model, choice.layer, choice.order, images=as_input(model, images), seed=choice.seed
            )
            self._orders[key] = tuple(order)
        return self._orders[key]

    @torch.no_grad()
    def _scores(self, choice: Choice, taken: int) -> Tensor:
        """Return the scores of the picture with these kernels silent: (classes,)."""
        silent = (*self._order(choice)[:taken], *choice.by_hand)
        with self._lock:
            if self._copy is None or self._copy[0] != choice.layer:
                example = as_input(self._model, self.network.example)
                self._copy = choice.layer, SilencedCopy(self._model, choice.layer, example)
            model = self._copy[1].silence(silent)
            image = self.network.held_out.images[choice.index : choice.index + 1]
            return self.network.first_output(model(as_input(model, image)), 1)[0]

    def model(self, result: Silenced) -> nn.Module:
        """Return a copy of the reader's network in which the kernels of a result are silent."""
        network = self.network
        example = as_input(network.model, network.example)
        return SilencedCopy(network.model, result.choice.layer, example).silence(result.silent)


def _some(classes: Sequence[str]) -> str:
    return f"it has {', '.join(map(repr, classes[:10]))}{' and others' * (len(classes) > 10)}"
