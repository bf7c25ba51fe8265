"""The edit of one convolution, and its result as the one-click lab shows it.

>>> from course_utils.data.load import load_dataset
>>> from course_utils.models.simple import SimpleCNN
>>> network = MeasuredNetwork.for_data(SimpleCNN(), load_dataset("fashion-mnist"))
>>> result = EditResult(network, "conv1", edit_network(network, "conv1", {"out_channels": 24}))
>>> result.before.parameters, result.after.parameters, result.same_function
(20490, 22874, True)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from torch import Tensor, nn

from course_utils.conv import (
    CHANGEABLE,
    ROUNDING,
    EditReport,
    edit_conv,
    relative_change,
    scale_width,
    simple_settings,
)
from course_utils.metrics import ClassProbability
from course_utils.widgets.one_click.geometry import ONCE
from course_utils.widgets.one_click.held_out import LEAST, MOST
from course_utils.widgets.one_click.measured_network import MeasuredNetwork

FOLLOWS = "as it follows"
"""The padding that `edit_conv` chooses: the output keeps its size where that is possible."""

SIDES = "before", "after"
ALL_MAPS, NO_CLASS = "all", -1
"""No map is shown large; no class has its Grad-CAM shown."""

_FEWEST = 4  # images on which two functions are compared
_MOST_COST = 2e9  # multiply-adds of all compared images; about a tenth of a second


def requested_changes(conv: nn.Conv2d, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `wanted` settings that differ from those of the layer, for `edit_conv`.

    Beside another change, a padding equal to the layer's own one is a change, too: without it
    `edit_conv` would adapt the padding.
    """
    own = simple_settings(conv)
    differ = {name for name in CHANGEABLE if wanted[name] != own[name]}
    if wanted["padding"] == FOLLOWS:
        differ -= {"padding"}
    elif differ:
        differ |= {"padding"}
    return {name: wanted[name] for name in CHANGEABLE if name in differ}


class Edit(NamedTuple):
    """An edit as a key of a dictionary."""

    layer: str
    changes: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class EditedNetwork:
    """The network that an edit made, and the report of that edit."""

    network: MeasuredNetwork
    report: EditReport

    @property
    def edit(self) -> Edit:
        return Edit(self.report.name, tuple(self.report.changes.items()))


def edit_network(network: MeasuredNetwork, layer: str, changes: Mapping[str, Any]) -> EditedNetwork:
    """Return an edited copy of a network; the network itself stays unchanged.

    Raises:
        ImpossibleSetting: no layer can have such settings.
        EditError: the other layers cannot follow, or the layer's channels are the outputs.
    """
    options = {"example_input": network.example, "return_report": True}
    model, report = edit_conv(network.model, layer, **options, **changes)
    return EditedNetwork(network.edited(model), report)


def scale_network(network: MeasuredNetwork, multiplier: float) -> EditedNetwork:
    """Return a copy of a network with `multiplier` times the width, as `scale_width` makes it.

    Raises:
        EditError: no width can change.
    """
    options = {"example_input": network.example, "return_report": True}
    model, report = scale_width(network.model, multiplier, **options)
    return EditedNetwork(network.edited(model), report)


@dataclass(frozen=True)
class EditResult:
    """A network before and after the edit of one layer, as the panel shows it."""

    before: MeasuredNetwork
    layer: str  # name of the edited layer
    edited: EditedNetwork | None = None  # None if nothing is changed
    index: int = 0  # of the held-out image whose maps are shown
    original: MeasuredNetwork | None = None  # before all applied edits; None if that is `before`
    # Accuracies of briefly trained copies of `before` and `after`, None without such a copy.
    trained: tuple[float | None, float | None] = (None, None)
    drawing: str = ONCE  # of the network: one of `drawings`
    map: str = ALL_MAPS  # or "before 3", "after 3": the map that is shown large
    grad_cam: int = NO_CLASS  # index of the class whose Grad-CAM is shown

    @property
    def after(self) -> MeasuredNetwork:
        return self.edited.network if self.edited else self.before

    @property
    def report(self) -> EditReport | None:
        return self.edited.report if self.edited else None

    @cached_property
    def touched(self) -> frozenset[str]:
        """Names of all layers that the edit changed."""
        return frozenset(self.report.touched if self.report else ())

    @property
    def image(self) -> Tensor:
        """The image whose maps are shown: float (C, H, W)."""
        return self.before.held_out.images[self.index]

    @property
    def label(self) -> str:
        """The class of that image, or the name of that photograph."""
        return self.before.held_out.label(self.index)

    @cached_property
    def seen(self) -> tuple[tuple[ClassProbability, ...], tuple[ClassProbability, ...]]:
        """The most probable classes of that image, before and after; () if not known."""
        if self.edited and self.index < self.count:
            _ = self.difference  # all images at once, and this one is among them
        return tuple(network.seen(self.index) for network in (self.before, self.after))

    @cached_property
    def maps(self) -> tuple[Tensor, Tensor]:
        """Feature maps of the layer, before and after: float (K, H, W) each."""
        return tuple(network.maps(self.layer, self.index) for network in (self.before, self.after))

    @property
    def large_map(self) -> tuple[int, int] | None:
        """The map that is shown large: (0 before or 1 after, number); None for all maps."""
        side, _, number = self.map.partition(" ")
        if side not in SIDES or int(number) >= len(self.maps[SIDES.index(side)]):
            return None
        return SIDES.index(side), int(number)

    @cached_property
    def grad_cams(self) -> tuple[Tensor, Tensor] | None:
        """Grad-CAM of the chosen class, before and after: (h, w) each; None if none is chosen.

        It is taken behind the layer's normalisation and activation, as the paper does.
        """
        if not 0 <= self.grad_cam < len(self.before.classes):
            return None
        chosen = self.before.activated(self.layer), self.index, self.grad_cam
        return tuple(network.grad_cam(*chosen) for network in (self.before, self.after))

    @cached_property
    def count(self) -> int:
        """The number of held-out images that are classified: fewer for a costly network."""
        networks = [one for one in (self.original, self.before, self.after) if one]
        cost = max(network.multiply_adds for network in networks)
        # An accuracy needs more images than the comparison of two functions.
        count, least = (_FEWEST, _FEWEST) if self.before.why_no_accuracy else (MOST, LEAST)
        while count > least and count * cost > _MOST_COST:
            count //= 2
        return min(count, len(self.before.held_out))

    @cached_property
    def difference(self) -> float:
        """max |y' − y| / max |y| over the outputs y before and y' after, of `count` images."""
        if self.edited is None:
            return 0.0
        before, after = (network.outputs(self.count) for network in (self.before, self.after))
        return relative_change(before, after)

    @property
    def same_function(self) -> bool:
        """True if the outputs differ by rounding only."""
        return self.difference < ROUNDING

    @cached_property
    def accuracies(self) -> tuple[float | None, float | None]:
        """Accuracies without training, before and after, on `count` images; None if undefined."""
        return tuple(network.accuracy(self.count) for network in (self.before, self.after))
