"""Structured pruning: remove whole channels, so that every layer really becomes smaller.

A channel is removed at all places at once: the kernels that produce it, its BatchNorm, and the
weights that read it. `course_utils.conv` finds these places; here it is decided which channels go.

>>> from course_utils.models import load_pretrained
>>> model = load_pretrained("small_resnet")
>>> pruned = prune(model, 0.5)
>>> sum(p.numel() for p in model.parameters()), sum(p.numel() for p in pruned.parameters())
(222570, 56250)
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from course_utils.compress.criteria import Importance, importance_of
from course_utils.compress.masks import require_no_masks, require_share
from course_utils.conv import ChannelGroup, channel_groups, narrow, unwrapped
from course_utils.core import CourseError, check_network, device_of, is_number, whole_number
from course_utils.data import Dataset
from course_utils.metrics import check_kinds

if TYPE_CHECKING:
    import pandas

Share = float | Mapping[str, float]
SCOPES = ("layer", "global")


class NothingToRemove(CourseError):
    """No layer would get narrower."""


@dataclass(frozen=True)
class PruningReport:
    """The result of `prune`, layer by layer.

    Attributes:
        groups: The groups of channels that could change, with their scores.
        widths: Layer -> (channels before, channels after), of every convolution.
        untouched: First layer of each group that was to shrink and could not -> why.
    """

    groups: tuple[ChannelGroup, ...] = field(repr=False)
    widths: Mapping[str, tuple[int, int]]
    untouched: Mapping[str, str]

    def as_frame(self) -> pandas.DataFrame:
        """Return a table: a row for each convolution, its channels before and after."""
        import pandas

        rows = [(name, *pair) for name, pair in self.widths.items()]
        return pandas.DataFrame(rows, columns=["layer", "before", "after"])


def prune(
    model: nn.Module,
    share: Share,
    *,
    importance: Importance = "l1",
    data: Dataset | None = None,
    example_input: Any = None,
    scope: str = "layer",
    divisible_by: int = 8,
    floor: int = 8,
    seed: int = 0,
    return_report: bool = False,
) -> nn.Module | tuple[nn.Module, PruningReport]:
    """Return a copy of a network from which the least important channels are removed.

    Channels that layers add up, or that pass through a depthwise layer, go at all places together.
    The layers that make the network's output keep their channels. It works for all networks with
    2D convolutions that `edit_conv` can follow; a group of channels that it cannot follow stays.
    Of a network inside `torch.compile` or `DataParallel` the network itself is pruned and returned.

    Args:
        share: Of the channels, between 0 and 1. Or a share for some layers by name, from 0 to below
            1; all other layers keep their channels, if they are not coupled to one of these.
        importance: A criterion (see `importance_of`): "l1", "l2", "batch_norm", "activation",
            "taylor", "random"; or a function as for `edit_conv`.
        data: Pictures for "activation" and "taylor".
        example_input: What the model runs on, as for `edit_conv`. None takes a picture of `data`,
            or tries the usual sizes.
        scope: "layer" takes the same share of each layer; "global" compares the scores of all
            layers, each divided by the mean of its layer, and takes more from some than from
            others.
        divisible_by: A layer that shrinks keeps a multiple of this number of channels, because
            hardware likes such numbers. One that cannot, keeps all its channels.
        floor: No layer gets fewer channels than this; one that has fewer keeps them.
        seed: For "random", and for the choice of the pictures.
        return_report: Return (model, report).

    Raises:
        NothingToRemove: If no layer would get narrower.
        CourseError: If the share is not possible, the criterion lacks what it needs, or the model
            has masks on (`remove_masks` takes them off).
        EditError: If the model does not run on the input, or has no convolution.
    """
    model, example_input, groups, known = prepared(model, example_input, data, importance, seed)
    widths = plan_widths(groups, share, scope=scope, divisible_by=divisible_by, floor=floor)
    pruned, untouched = narrow(model, widths, importance=known, example_input=example_input)
    if len(untouched) == len(widths):
        raise NothingToRemove(f"No channel can be removed. {next(iter(untouched.values()))}")
    if not return_report:
        return pruned
    after = dict(pruned.named_modules())
    convs = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    found = {name: (conv.out_channels, after[name].out_channels) for name, conv in convs.items()}
    return pruned, PruningReport(tuple(groups), found, untouched)


def plan_widths(
    groups: list[ChannelGroup],
    share: Share,
    *,
    scope: str = "layer",
    divisible_by: int = 8,
    floor: int = 8,
) -> dict[str, int]:
    """Return first layer -> its new number of channels, of all groups that shrink.

    The arguments are those of `prune`.

    Raises:
        NothingToRemove: If no layer would get narrower.
        CourseError: If a setting is not possible.
    """
    if scope not in SCOPES:
        raise CourseError(f"scope={scope!r}: give 'layer' or 'global'.")
    divisible_by = whole_number("divisible_by", divisible_by, 1)
    floor = whole_number("floor", floor, 1)
    choices = {group.name: _choices(group, divisible_by, floor) for group in groups}
    if not isinstance(share, Mapping) and scope == "global":
        widths = _global_widths(groups, choices, require_share(share))
    else:
        if isinstance(share, Mapping):
            shares = _shares_of_groups(groups, share)
        else:
            shares = dict.fromkeys(choices, require_share(share))
        widths = {group.name: group.channels for group in groups}
        for group in groups:
            target = (1 - shares.get(group.name, 0)) * group.channels
            widths[group.name] = min(choices[group.name], key=lambda n, t=target: abs(n - t))
    smaller = {g.name: widths[g.name] for g in groups if widths[g.name] < g.channels}
    if not smaller:
        if not groups:
            raise NothingToRemove(
                "No channel can be removed: the channels of each convolution are the network's "
                "output, or meet something whose size is fixed."
            )
        raise NothingToRemove(
            "No channel can be removed: the widest layer that can change has "
            f"{max(group.channels for group in groups)}, what is left must be a multiple of "
            f"{divisible_by} and at least {floor}, and the share is {share}. Give a larger share, "
            "or smaller divisible_by and floor."
        )
    return smaller


def prepared(
    model: nn.Module, example_input: Any, data: Dataset | None, importance: Importance, seed: int
) -> tuple[nn.Module, Any, list[ChannelGroup], Importance]:
    """Return the network, an example input, its groups of channels with scores, and `importance`.

    The network is the one inside `torch.compile` or `DataParallel`; the importance is what
    `narrow` takes.

    Raises:
        CourseError: If the model has masks, or model, data and criterion do not fit together.
        EditError: If the model does not run on the input, or has no convolution.
    """
    check_network(model)
    model, _ = unwrapped(model)
    require_no_masks(model)
    if data is not None:
        check_kinds(model, data)
        if example_input is None:
            example_input = data.normalise(data.train.images[:2]).to(device_of(model))
    groups = channel_groups(model, example_input=example_input)
    known = importance_of(model, groups, importance, data, seed=seed)
    if known != "l1":
        groups = channel_groups(model, importance=known, example_input=example_input)
    return model, example_input, groups, known


def _choices(group: ChannelGroup, divisible_by: int, floor: int) -> list[int]:
    """Return the numbers of channels that a group can have, the present one first."""
    if not group.step:
        return [group.channels]
    fewest = max(floor, group.kept + 1)
    fewer = range(group.channels - group.step, fewest - 1, -group.step)
    return [group.channels, *(width for width in fewer if width % divisible_by == 0)]


def _shares_of_groups(groups: list[ChannelGroup], shares: Mapping[str, float]) -> dict[str, float]:
    """Return first layer -> share, of the groups that these layers belong to."""
    of_layer = {name: group for group in groups for name in group.layers}
    found: dict[str, float] = {}
    for name, share in shares.items():
        if name not in of_layer:
            known = ", ".join(group.name for group in groups)
            raise CourseError(f"{name!r} has no channels that can go: give a share for {known}.")
        if share != 0 or not is_number(share):
            share = require_share(share, f"the share of {name}")
        first = of_layer[name].name
        if found.setdefault(first, share) != share:
            raise CourseError(
                f"{name} shares its channels with {first}: give the same share for both, or only "
                "one of them."
            )
    return found


def _global_widths(
    groups: list[ChannelGroup], choices: Mapping[str, list[int]], share: float
) -> dict[str, int]:
    """Return the widths when the channels with the lowest scores of all layers go.

    A layer shrinks from one of its possible widths to the next; of all layers the one goes first
    whose next channels have the lowest mean score. A step that would pass the share by more than
    half of its channels is left out.
    """
    left = share * sum(group.channels for group in groups)
    widths = {group.name: group.channels for group in groups}
    rising = {group.name: np.sort(group.scores) for group in groups}
    heap: list[tuple[float, str, int]] = []

    def offer(name: str, place: int) -> None:
        if place < len(choices[name]):
            gone = (choices[name][0] - choices[name][i] for i in (place - 1, place))
            heapq.heappush(heap, (float(rising[name][slice(*gone)].mean()), name, place))

    for group in groups:
        offer(group.name, 1)
    while heap:
        _, name, place = heapq.heappop(heap)
        block = widths[name] - choices[name][place]
        if left >= block / 2:
            widths[name], left = choices[name][place], left - block
            offer(name, place + 1)
    return widths
