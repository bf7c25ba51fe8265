"""A network whose layers lose channels, each its own share: what it costs, and how good it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from course_utils.compress import (
    NothingToRemove,
    multiply_adds,
    plan_widths,
    prune,
    recalibrate,
    require_no_masks,
    share_for_cost,
)
from course_utils.conv import ChannelGroup, channel_groups, unwrapped
from course_utils.core import CourseError, check_network, device_of, whole_number
from course_utils.data import Dataset
from course_utils.metrics import Interval, check_kinds, evaluate, wilson_interval

_POINTS = (0.25, 0.5, 0.75, 0.99)  # shares of a curve, as far as the layer can have them

Shares = Mapping[str, float]


@dataclass(frozen=True)
class Measured:
    """The accuracy of a network, and its cost.

    Attributes:
        correct, total: Right answers, and pictures.
        multiply_adds: Of one picture.
        parameters: Their number.
    """

    correct: int
    total: int
    multiply_adds: int
    parameters: int

    @property
    def accuracy(self) -> float:
        """Share of right answers, in [0, 1]."""
        return self.correct / self.total

    @property
    def interval(self) -> Interval:
        """Wilson's interval of the accuracy, 95 %."""
        return wilson_interval(self.correct, self.total)


@dataclass(frozen=True)
class Tuned:
    """A pruned network after fine-tuning.

    Attributes:
        shares: That were removed, without those of 0.
        epochs: That were asked for.
        complete: False if the training was stopped.
        measured: Its accuracy and cost.
        model: The network.
    """

    shares: Shares
    epochs: int
    complete: bool
    measured: Measured
    model: nn.Module = field(repr=False)


@dataclass(frozen=True)
class Pruned:
    """A network with shares of its channels removed, as the panel shows it.

    Attributes:
        groups: That can lose channels; the first layer of each stands for it.
        shares: First layer -> share of its channels that is removed; all groups.
        left: First layer -> channels that are left.
        whole, now: Before and after.
        curves: First layer -> share -> accuracy when this group alone loses that share; the points
            that are known so far.
        tuned: The fine-tuned network, if there is one with just these shares.
    """

    groups: tuple[ChannelGroup, ...]
    shares: Shares
    left: Mapping[str, int]
    whole: Measured
    now: Measured
    curves: Mapping[str, Mapping[float, float]]
    tuned: Tuned | None

    @property
    def removed(self) -> dict[str, float]:
        """The shares without those of 0."""
        return {layer: share for layer, share in self.shares.items() if share}

    @property
    def cost(self) -> float:
        """Multiply-adds, as a part of those of the whole network."""
        return self.now.multiply_adds / self.whole.multiply_adds


class LayerPruner:
    """Prunes a network by one share for each group of layers, and remembers what it measured.

    Args:
        model: It does not change. Of a network inside `torch.compile` or `DataParallel` it is the
            network itself.
        data: The validation pictures are used.
        pictures: How many of them, the same number of each class; fewer if there are not so many.
        divisible_by, floor: As for `prune`.
        recalibrate_on: Training pictures with which BatchNorm's statistics are computed again after
            a cut (see `recalibrate`); 0 for none. A network without BatchNorm needs none.

    Raises:
        CourseError: If there are no validation pictures, model and data do not fit together, the
            model has masks, or no layer can lose channels.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Dataset,
        *,
        pictures: int = 500,
        divisible_by: int = 8,
        floor: int = 8,
        recalibrate_on: int = 300,
    ):
        check_network(model)
        self.model, _ = unwrapped(model)
        require_no_masks(self.model)
        check_kinds(self.model, data)
        if not len(data.validation):
            raise CourseError(f"{data.title} has no validation pictures to measure on.")
        self.few = data.validation.few(
            min(whole_number("pictures", pictures, 1), len(data.validation)), seed=0
        )
        self.data, self.rounding = data, {"divisible_by": divisible_by, "floor": floor}
        count = min(whole_number("recalibrate_on", recalibrate_on, 0), len(data.train))
        norms = (m for m in self.model.modules() if isinstance(m, _BatchNorm))
        has_statistics = any(norm.running_mean is not None for norm in norms)
        self.recalibrate_on = count if has_statistics and count > 1 else 0
        """Training pictures that are really used; 0 if nothing is recalibrated."""
        self._statistics_of = data.normalise(data.train.few(max(count, 1)).images)
        self.example = data.normalise(data.train.images[:1]).to(device_of(self.model))
        groups = channel_groups(self.model, example_input=self.example)
        plan_widths(groups, 0.99, **self.rounding)  # raises if no layer can lose channels
        possible = {group.name: self._possible(group) for group in groups}
        self.groups = tuple(group for group in groups if possible[group.name])
        self.options = {group.name: (0.0, *possible[group.name]) for group in self.groups}
        """First layer -> the shares that it can lose, rising."""
        self._known: dict[tuple[tuple[str, float], ...], Measured] = {}
        self._stuck: set[str] = set()  # layers that cannot shrink although they look as if
        # The curves' thread, a slider and fine-tuning must not trace the network at the same time.
        self._lock = threading.RLock()

    def rounded(self, shares: float | Shares) -> dict[str, float]:
        """Return the shares that `prune` really removes, of each group with a slider.

        Raises:
            CourseError: If a share is not possible, or belongs to no such layer.
        """
        try:
            widths = plan_widths(list(self.groups), shares, **self.rounding)
        except NothingToRemove:
            widths = {}
        return {g.name: _share(g, widths.get(g.name, g.channels)) for g in self.groups}

    def shares_for(self, cost: float) -> dict[str, float]:
        """Return equal shares that bring the multiply-adds to a part, rounded as `prune` does.

        Raises:
            CourseError: If no share reaches this.
        """
        with self._lock:
            settings = {"example_input": self.example} | self.rounding
            return self.rounded(share_for_cost(self.model, cost, **settings))

    def network(self, shares: Shares) -> nn.Module:
        """Return the pruned network, recalibrated; or the network itself if no share is above 0.

        Raises:
            CourseError: If a layer cannot shrink. `nearest` of the error sets its share to 0.
        """
        removed = {layer: share for layer, share in shares.items() if share}
        if not removed:
            return self.model
        settings = {"example_input": self.example, "return_report": True} | self.rounding
        try:
            with self._lock:
                network, report = prune(self.model, removed, **settings)
            problems = dict(report.untouched)
        except NothingToRemove as error:
            network, problems = None, dict.fromkeys(removed, str(error))
        if problems:
            refused = CourseError(next(iter(problems.values())))
            refused.nearest = dict.fromkeys(problems, 0.0)
            raise refused
        return recalibrate(network, self._statistics_of) if self.recalibrate_on else network

    def pruned(self, shares: Shares, tuned: Tuned | None = None) -> Pruned:
        """Return what these shares, one for each group with a slider, do to the network."""
        now = self._measured_for(shares)
        removed = {layer: share for layer, share in shares.items() if share}
        return Pruned(
            groups=self.groups,
            shares=dict(shares),
            left={g.name: round((1 - shares[g.name]) * g.channels) for g in self.groups},
            whole=self._measured_for({}),
            now=now,
            curves={layer: self._curve(layer) for layer in self.options},
            tuned=tuned if tuned and tuned.shares == removed else None,
        )

    def measure(self, network: nn.Module) -> Measured:
        """Measure a network on the pictures of the panel."""
        result = evaluate(network, self.few, mean=self.data.mean, std=self.data.std)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        work = multiply_adds(network, self.example)
        return Measured(result.correct, result.total, work, parameters)

    def complete(self) -> Iterator[str]:
        """Measure the points of the curves that are missing, one for each step."""
        for layer in self.options:
            for share in self._points(layer):
                if (layer, share) not in self._done() and layer not in self._stuck:
                    try:
                        self._measured_for({layer: share})
                    except CourseError:  # its slider says why
                        self._stuck.add(layer)
                    yield layer

    @property
    def is_complete(self) -> bool:
        """True when all points of the curves are known."""
        done = self._done()
        return all((name, s) in done for name in self.options for s in self._points(name))

    def _done(self) -> set[tuple[str, float]]:
        return {key[0] for key in list(self._known) if len(key) == 1}

    def _points(self, layer: str) -> tuple[float, ...]:
        """Return the shares of a layer's curve, without 0."""
        possible = self.options[layer][1:]
        if layer in self._stuck:
            return ()
        near = {min(possible, key=lambda one, s=share: abs(one - s)) for share in _POINTS}
        return tuple(sorted(near))

    def _curve(self, layer: str) -> dict[float, float]:
        points = {0.0: self._measured_for({}).accuracy}
        for share in self._points(layer):
            if (known := self._known.get(((layer, share),))) is not None:
                points[share] = known.accuracy
        return points

    def _measured_for(self, shares: Shares) -> Measured:
        key = tuple(sorted((layer, share) for layer, share in shares.items() if share))
        with self._lock:
            if key not in self._known:
                self._known[key] = self.measure(self.network(shares))
            return self._known[key]

    def _possible(self, group: ChannelGroup) -> tuple[float, ...]:
        """Return the shares above 0 that a group can lose, rising; a hundred at most."""
        found = set()
        for percent in range(1, 100):
            try:
                widths = plan_widths([group], percent / 100, **self.rounding)
            except NothingToRemove:
                continue
            found.add(_share(group, widths[group.name]))
        return tuple(sorted(found))


def _share(group: ChannelGroup, width: int) -> float:
    """Return the share that leaves `width` channels, with so few digits that code is short."""
    return round(1 - width / group.channels, 4)
