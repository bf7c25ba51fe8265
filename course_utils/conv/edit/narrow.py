"""Make many layers of a network narrower in one pass, and let the rest follow.

`edit_conv` changes one layer and all that is coupled to it. Here the coupled channels of a whole
network are found first, as groups, and then all groups change at once: the network is traced
three times, however many layers it has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from torch import nn

from course_utils.conv.edit.coupling import scaled_widths, streams
from course_utils.conv.edit.draft import Draft, EditError, first_draft
from course_utils.conv.edit.edit import unwrapped
from course_utils.conv.edit.matching import match
from course_utils.conv.edit.surgery import finished, resize_axes, run_again
from course_utils.conv.edit.trace import Axis, Trace
from course_utils.conv.edit.weights import Importance, class_scores, move_weights
from course_utils.core import (
    CourseError,
    check_network,
    error_line,
    garbage_later,
    is_out_of_memory,
    memory_in_words,
)


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that change together, because layers add them up or compute with them one by one.

    Attributes:
        layers: names of the convolutions that produce them; not of the depthwise ones, which
            follow.
        channels: output channels of the first of these layers.
        step: its output channels can only shrink by a multiple of this number; 0 if not at all.
        scores: importance of each of its channels that may go, (channels,) or fewer.
        norms: of each layer that a BatchNorm follows at once, the name of that BatchNorm.
    """

    layers: tuple[str, ...]
    channels: int
    step: int
    scores: np.ndarray = field(repr=False)
    norms: Mapping[str, str] = field(repr=False)
    _classes: frozenset[int] = field(repr=False)

    @property
    def name(self) -> str:
        """Name of its first layer, which stands for the group."""
        return self.layers[0]

    @property
    def kept(self) -> int:
        """The channels of its first layer that can never go."""
        return self.channels - len(self.scores)


Want = tuple[ChannelGroup, int]


@garbage_later()
@memory_in_words("give a smaller example_input")
def channel_groups(
    model: nn.Module, *, importance: Importance = "l1", example_input: Any = None
) -> list[ChannelGroup]:
    """Return the groups of channels whose number can change, in the order of their layers.

    Convolutions that make the network's output belong to no group.

    Args:
        importance, example_input: as for `edit_conv`. Of a channel that several layers produce the
            score is the mean of theirs.

    Raises:
        EditError: if the model does not run on the input, or has no convolution.
    """
    model = _with_convolution(model)
    return _groups(first_draft(model, example_input), importance)


@garbage_later()
@memory_in_words("give a smaller example_input")
def narrow(
    model: nn.Module,
    widths: Mapping[str, int],
    *,
    importance: Importance = "l1",
    example_input: Any = None,
    dry_run: bool = False,
) -> tuple[nn.Module, dict[str, str]]:
    """Return a copy in which several convolutions have fewer output channels, and what stayed.

    In each group of channels the most important ones stay. A group that the network cannot follow
    stays as it is.

    Args:
        widths: name of a convolution -> its new number of output channels. One name is enough for
            each group; all its layers shrink by the same ratio.
        importance, example_input: as for `edit_conv`.
        dry_run: return the network without numbers, if it runs without them.

    Returns:
        The network, and the first layer of each group that stayed as it is -> why.

    Raises:
        EditError: if there is no such layer, it makes the network's output, its number of channels
            is not possible, or two layers of one group are given different widths.
    """
    model = _with_convolution(model)
    draft = first_draft(model, example_input, dry_run)
    groups = _groups(draft, importance)
    wants = _wanted(groups, widths, model)
    every = np.array([c for group in groups for c in group._classes], dtype=np.int64)
    channels = np.unique(draft.trace.classes[np.isin(draft.trace.width_classes, every)])
    scores = class_scores(draft, channels, importance)
    problems: dict[str, str] = {}
    result = _together(draft, wants, scores, problems)
    return result[0] if result else draft.fresh().filled(), problems


# The groups


def _groups(draft: Draft, importance: Importance) -> list[ChannelGroup]:
    trace = draft.trace
    classes = trace.width_classes
    fixed = trace.fixed_classes(classes)
    rows: dict[str, np.ndarray] = {}  # layer -> width classes of its free rows
    weights: dict[str, str] = {}
    for name, layer in draft.model.named_modules():
        if not isinstance(layer, nn.Conv2d) or "weight" not in layer._parameters:
            continue
        weight = draft.traced_weight(name)
        if not weight or weight in trace.depthwise or weight in weights.values():
            continue
        own = _rows(classes, trace, weight)
        if not fixed[own].all():
            rows[name], weights[name] = own[~fixed[own]], weight
    norms = _norms_after(draft, weights)
    stream_of = streams(trace, list(rows.values()))
    together: dict[int, list[str]] = {}
    for name, own in rows.items():
        together.setdefault(stream_of[own[0]], []).append(name)
    joined = {
        tuple(layers): frozenset(np.flatnonzero(stream_of == number).tolist())
        for number, layers in together.items()
    }
    every = np.array([c for group in joined.values() for c in group], dtype=np.int64)
    scores = np.zeros(0)
    if len(every):
        channels = np.unique(trace.classes[np.isin(classes, every)])
        scores = class_scores(draft, channels, importance, mean=True)
    free = {
        layers: np.isin(_rows(trace.width_classes, trace, weights[layers[0]]), list(group))
        for layers, group in joined.items()
    }
    steps = _steps(trace, list(joined.values()), [int(own.sum()) for own in free.values()])
    groups = []
    for (layers, group), step in zip(joined.items(), steps, strict=True):
        own = free[layers]
        channels = _rows(trace.classes, trace, weights[layers[0]])[own]
        found = {name: norms[name] for name in layers if name in norms}
        groups.append(ChannelGroup(layers, len(own), step, scores[channels], found, group))
    return groups


def _rows(classes: np.ndarray, trace: Trace, weight: str) -> np.ndarray:
    """Return the class of each row of a weight; `classes` is one of the trace's two."""
    return classes[trace.axes[Axis(weight, 0)].numpy().reshape(-1)]


def _steps(trace: Trace, groups: list[frozenset[int]], rows: list[int]) -> list[int]:
    """Return for each group the smallest number of its `rows` that can go; 0 if only all could.

    n of `rows` channels leave times · n / rows of `times` slots, which must be a whole number for
    each group of slots of each axis.
    """
    group_of = np.full(trace.width_classes.max() + 1, len(groups))
    for number, group in enumerate(groups):
        group_of[list(group)] = number
    steps = [1] * len(groups)
    for labels in trace.axes.values():
        slots = group_of[trace.width_classes[labels.numpy().reshape(-1)]]
        times = np.bincount(slots, minlength=len(groups) + 1)
        for number in np.flatnonzero(times[:-1]).tolist():
            whole = Fraction(int(times[number]), rows[number] * len(labels)).denominator
            steps[number] = math.lcm(steps[number], whole)
    return [step if step < count else 0 for step, count in zip(steps, rows, strict=True)]


def _norms_after(draft: Draft, weights: Mapping[str, str]) -> dict[str, str]:
    """Return layer -> the BatchNorm through which just its own channels pass."""
    trace = draft.trace
    labels = {
        trace.axes[Axis(weight, 0)].numpy().tobytes(): name for name, weight in weights.items()
    }
    found: dict[str, str] = {}
    for name, module in draft.model.named_modules():
        if isinstance(module, nn.BatchNorm2d) and module.weight is not None:
            axis = Axis(draft.listed_name(f"{name}.weight"), 0)
            layer = axis in trace.axes and labels.get(trace.axes[axis].numpy().tobytes())
            if layer:
                found.setdefault(layer, name)
    return found


# The change


def _wanted(groups: list[ChannelGroup], widths: Mapping[str, int], model: nn.Module) -> list[Want]:
    """Return each group that shrinks, and the new number of channels of its first layer."""
    by_layer = {name: group for group in groups for name in group.layers}
    convs = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    wants: dict[int, tuple[ChannelGroup, Fraction]] = {}
    for name, width in widths.items():
        if name not in convs:
            raise EditError(f"{name!r} is not a Conv2d of this model.")
        if name not in by_layer:
            raise EditError(
                f"The channels of {name} cannot go: they make the network's output, follow those of"
                " another layer, or meet something whose size is fixed."
            )
        group, own = by_layer[name], convs[name].out_channels
        if not isinstance(width, int | np.integer) or not 0 < width <= own:
            raise EditError(f"{name} has {own} channels: give a whole number from 1 to {own}.")
        want = Fraction(int(width) * group.channels, own)
        known = wants.setdefault(id(group), (group, want))[1]
        if known != want:
            raise EditError(
                f"{name} shares its channels with {_others(group, name)}: give the same for all of"
                " them, or name only one."
            )
        gone = group.channels - want
        if gone and (not group.step or gone % group.step or want <= group.kept):
            possible = f"only multiples of {group.step} of its" if group.step else "none of its"
            raise EditError(f"{name} cannot have {width} channels: {possible} {own} can go.")
    return [(group, int(want)) for group, want in wants.values() if want < group.channels]


def _others(group: ChannelGroup, name: str) -> str:
    return ", ".join(other for other in group.layers if other != name)


def _together(
    draft: Draft, wants: list[Want], scores: np.ndarray, problems: dict[str, str]
) -> tuple[nn.Module, list[Want]] | None:
    """Return the network with as many of the groups narrower as possible, and these groups.

    If it stops with all of them, each half is tried alone, and then what is left of both.
    """
    if not wants:
        return None
    try:
        return _narrowed(draft, wants, scores), wants
    except Exception as error:
        if is_out_of_memory(error):
            raise
        ours = isinstance(error, CourseError)
        problem = str(error) if ours else f"The network's forward stops: {error_line(error)}."
    if len(wants) == 1:
        problems[wants[0][0].name] = problem
        return None
    middle = len(wants) // 2
    first = _together(draft, wants[:middle], scores, problems)
    second = _together(draft, wants[middle:], scores, problems)
    if not (first and second):
        return first or second
    if first[1] + second[1] == wants:  # each half alone, but not both
        problems |= {group.name: problem for group, _ in second[1]}
        return first
    return _together(draft, first[1] + second[1], scores, problems)


def _narrowed(draft: Draft, wants: list[Want], scores: np.ndarray) -> nn.Module:
    draft = draft.fresh()
    old = draft.run()
    ratios: dict[int, Fraction] = {}
    for group, want in wants:
        ratio = Fraction(want - group.kept, len(group.scores))
        ratios |= dict.fromkeys(group._classes, ratio)
    resize_axes(draft, scaled_widths(old, ratios))
    draft.set_sizes(old.depthwise)
    new = run_again(draft, {draft.traced_weight(group.name): want for group, want in wants})
    move_weights(draft, match(old, new, scores))
    draft.set_sizes(new.depthwise)
    return finished(draft, old)


def _with_convolution(model: nn.Module) -> nn.Module:
    check_network(model)
    model, _ = unwrapped(model, "")
    if not any(isinstance(layer, nn.Conv2d) for layer in model.modules()):
        raise EditError("The model has no Conv2d, so it has no channels that could go.")
    return model
