"""Match the channels of a changed network with those of the old one that they continue.

The problem. A layer has got more or fewer channels, and the layers around it followed. Which old
numbers belong into which slot of each new weight? Between two layers the channels may have been
concatenated, shuffled, split and added, so slot 5 of the old reader and slot 5 of the new one may
have nothing to do with each other.

The idea. An edit changes how many channels there are, but not how the network is wired. So compare
two traces of the same network, one before and one after its widths changed. A *class* is one
channel at all places where it occurs (see `trace`). Its *signature* is the set of these places:
the parameter axes whose slots hold it (and which group of a grouped layer), and the parts of splits
and slices in which it is. The invariant is:

    a channel and what continues it have the same signature.

Because all that treats channels differently is a parameter, or stands behind a split, channels of
one signature pass through the same layers in the same way and are interchangeable. So the new
classes of a signature may continue the old ones of the same signature in any way, if all axes agree
on it, and they do: each axis only looks up which class its slot holds. Here they keep their order;
with more places than old channels these are copied, with fewer the most important ones stay.

An example. The convolutions a and b have 2 channels each; these are concatenated, shuffled in two
groups, and read by a convolution c. Then a gets 4 channels, so 6 are shuffled, in two groups of 3:

    axis            old slots      new slots
    a, output       A0 A1          a0 a1 a2 a3
    b, output       B0 B1          b0 b1
    c, input        A0 B0 A1 B1    a0 a3 a1 b0 a2 b1

The signature {a's output, c's input} has A0 and A1 before, and a0 to a3 after: four places for
two channels, so a0 and a1 continue A0, a2 and a3 continue A1. With {b's output, c's input}, b0
continues B0 and b1 continues B1. The slots of c then continue A0 A1 A0 B0 A1 B1, whose weights are
in the old slots 0 2 0 1 2 3. The two copies of A0 get half of its weight each, so their sum is the
same as before, and so is what c computes. The shuffle needs no rule: the new trace shows where each
class arrives.

Where it fails. If a network splits at a fixed place, a wider layer sends some channels another way:
their signature is new. These continue old channels of the same layers as far as there are any that
found no place of their own (`_by_producer`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from course_utils.conv.edit.coupling import copy_counts
from course_utils.conv.edit.labels import rank
from course_utils.conv.edit.trace import Axis, Trace
from course_utils.core import CourseError, splitmix64

Grid = tuple[int, int] | None  # height and width of maps that were flattened


@dataclass(frozen=True)
class Sources:
    """Where the new slots of one parameter axis take their numbers from.

    Attributes:
        slot: (groups, n) the old slot in the same group; −1 for a channel that is new here.
        share: (groups, n) factor of a weight that sums over the channels. Copies of a channel share
            its weight, so their sum is the same as before; for a channel that is new here it is 0.
        old_width: number of old slots in each group.
    """

    slot: np.ndarray
    share: np.ndarray
    old_width: int

    def rows(self) -> np.ndarray:
        """Return the old slots, counted over all groups, (groups · n,)."""
        first = np.arange(len(self.slot))[:, None] * self.old_width
        return (np.maximum(self.slot, 0) + first).reshape(-1)

    def use_all(self) -> bool:
        """Check whether every old slot is used."""
        return all(len(np.unique(slot[slot >= 0])) == self.old_width for slot in self.slot)


@dataclass(frozen=True)
class Matching:
    """Two traces, and for each class of the new one the class of the old one that it continues."""

    old: Trace
    new: Trace
    continued: np.ndarray
    _known: dict[tuple, Sources | None] = field(default_factory=dict, repr=False)

    def sources(self, axis: Axis) -> Sources | None:
        """Return where the slots of an axis take their numbers from; None if nothing changes."""
        if axis not in self.new.axes:
            raise CourseError(f"With the new channels, none would reach {axis.parameter} any more.")
        grids = self.old.grids.get(axis), self.new.grids.get(axis)
        slots = id(self.old.axes[axis]), id(self.new.axes[axis]), *grids
        if slots not in self._known:
            classes = self.old.axis_classes(axis), self.new.axis_classes(axis)
            self._known[slots] = self._sources(*classes, *grids)
        return self._known[slots]

    def _sources(
        self, old: np.ndarray, new: np.ndarray, old_grid: Grid, new_grid: Grid
    ) -> Sources | None:
        if old.shape == new.shape and (old == self.continued[new]).all():
            return None
        if len(old) != len(new):  # grouped in one trace only
            old, new = old.reshape(1, -1), new.reshape(1, -1)
        pairs = zip(old, self.continued[new], new, strict=True)
        groups = [_group_sources(*group, old_grid, new_grid) for group in pairs]
        slot, share = (np.stack(arrays) for arrays in zip(*groups, strict=True))
        return Sources(slot, share, old.shape[1])

    def keeps_every_channel(self) -> bool:
        """Check whether all that read a channel read what continues it, as often as before.

        That is each weight with which a layer consumed it, and each part of a split. Where maps of
        another size are flattened, pixels come and go: that does not count.
        """
        grids, old_grids = self.new.grids, self.old.grids
        for axis in self.old.consumers:
            if old_grids.get(axis) == grids.get(axis) and (sources := self.sources(axis)):
                before, after = self._times(self.old.axes[axis], self.new.axes[axis])
                if not sources.use_all() or (after != before)[(after > 0) & (before > 0)].any():
                    return False
        parts = map(self._times, self.old.parts, self.new.parts)
        return not any(((after > 0) & (after != before)).any() for before, after in parts)

    def _times(self, old: Tensor, new: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return how often what each new class continues comes in some places, and it itself."""
        old, new = (labels.numpy().reshape(-1) for labels in (old, new))
        before = np.bincount(self.old.classes[old], minlength=self.old.classes.max() + 1)
        after = np.bincount(self.new.classes[new], minlength=len(self.continued))
        free = ~self.new.fixed_classes(self.new.classes)
        return before[self.continued] * free, after * free


def match(old: Trace, new: Trace, scores: np.ndarray) -> Matching:
    """Match the classes of two traces of one network; `scores`: importance of every old class."""
    numbers = {axis: number for number, axis in enumerate(old.axes)}
    before, after = _by_signature(old, numbers), _by_signature(new, numbers)
    continued = np.zeros(new.classes.max() + 1, dtype=np.int64)
    for signature, classes in after.items():
        if signature in before:
            there = before[signature]
            if len(there) != len(classes):
                there = np.repeat(there, copy_counts(scores[there], len(classes)))
            continued[classes] = there
    unmatched = _without_partner(after, before)
    if unmatched:
        for c, source in _by_producer(old, new, _without_partner(before, after), unmatched):
            continued[c] = source
    return Matching(old, new, continued)


# Signatures


def _by_signature(trace: Trace, numbers: dict[Axis, int]) -> dict[int, np.ndarray]:
    """Return signature -> its classes, in the order of their first labels."""
    classes = trace.classes
    first = np.full(classes.max() + 1, len(classes))
    np.minimum.at(first, classes, np.arange(len(classes)))
    signatures = _signatures(trace, numbers)
    order = np.lexsort((first, signatures))
    ordered = signatures[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return dict(zip(ordered[starts].tolist(), np.split(order, starts[1:]), strict=True))


def _signatures(trace: Trace, numbers: dict[Axis, int]) -> np.ndarray:
    """Return for every class a number that stands for the set of places where it occurs."""
    classes = trace.classes
    # The sum of one random number for each place: equal sums, equal sets of places.
    signatures = np.zeros(classes.max() + 1, dtype=np.uint64)

    places = [(numbers.get(axis, len(numbers)), labels) for axis, labels in trace.axes.items()]
    places += enumerate((part[None] for part in trace.parts), start=len(numbers) + 1)
    codes = splitmix64(np.arange(len(numbers) + 1 + len(trace.parts), dtype=np.uint64))
    alike: dict[int, tuple[Tensor, list[int]]] = {}  # the places that have the same slots
    for number, labels in places:
        alike.setdefault(id(labels), (labels, []))[1].append(number)
    for labels, numbers_of in alike.values():
        here, several = classes[labels.numpy()], codes[numbers_of]
        sums = [several.sum()]
        for group in range(1, len(here)):  # each group of a grouped layer is a place of its own
            sums.append(splitmix64(several + np.uint64(group)).sum())
        for group, one in zip(here, sums, strict=True):
            signatures[group] += one  # NumPy adds it only once to a class that comes several times
    signatures[trace.fixed_classes(classes)] += np.uint64(1)  # these continue themselves
    return signatures


# Channels whose signature is new


def _without_partner(classes: dict[int, np.ndarray], others: dict[int, np.ndarray]) -> list[int]:
    return [c for s, found in classes.items() if s not in others for c in found.tolist()]


def _by_producer(
    old: Trace, new: Trace, unused: list[int], unmatched: list[int]
) -> Iterator[tuple[int, int]]:
    """Yield (new class, old class of the same layers), for the new ones that are unmatched.

    Old classes that nothing continues yet, `unused`, come first.
    """
    producers = _producers(old)
    free, every = _grouped(unused, producers), _grouped(producers, producers)
    for layers, here in _grouped(unmatched, _producers(new)).items():
        there = free.get(layers) or every.get(layers) or [old.classes[0]]
        for i, c in enumerate(here):
            yield c, there[i * len(there) // len(here)]


def _producers(trace: Trace) -> dict[int, tuple[Axis, ...]]:
    """Return class -> the axes that produce its channels, or through which they pass."""
    found: dict[int, tuple[Axis, ...]] = {}
    for axis in trace.axes:
        if axis not in trace.consumers:
            for c in np.unique(trace.axis_classes(axis)).tolist():
                found[c] = (*found.get(c, ()), axis)
    return found


def _grouped(
    classes: Iterable[int], producers: dict[int, tuple[Axis, ...]]
) -> dict[tuple[Axis, ...], list[int]]:
    groups = defaultdict(list)
    for c in classes:
        groups[producers.get(c, ())].append(c)
    return groups


# Slots of one group


def _group_sources(
    old: np.ndarray, continued: np.ndarray, new: np.ndarray, old_grid: Grid, new_grid: Grid
) -> tuple[np.ndarray, np.ndarray]:
    """Return the two arrays of `Sources` for one group of slots, (n,).

    Args:
        old, new: the classes in the old and in the new slots.
        continued: the old classes that the new slots continue.
        old_grid, new_grid: where maps were flattened. A class then has a slot for each pixel.
    """
    order = np.argsort(old, kind="stable")
    start, stop = (np.searchsorted(old[order], continued, side) for side in ("left", "right"))
    there = stop - start  # old slots of the class
    place = rank(new)  # which of the slots of its class a new slot is
    if old_grid and new_grid and old_grid != new_grid:  # the nearest pixel
        (h, w), (new_h, new_w) = old_grid, new_grid
        row, column = place // new_w, place % new_w
        inside = (row * h // new_h) * w + column * w // new_w
    else:
        inside = place * there // np.bincount(new)[new]
    inside = np.minimum(inside, np.maximum(there - 1, 0))
    slot = order[np.minimum(start + inside, len(order) - 1)]
    share = there / np.bincount(continued)[continued]
    if old_grid == new_grid:  # each old slot shares its own weight: some have more copies (padding)
        uses = np.bincount(slot[there > 0], minlength=len(old))
        used = np.bincount(old[uses > 0], minlength=continued.max() + 1)
        share = there / np.maximum(uses[slot] * used[continued], 1)
    return np.where(there > 0, slot, -1), share
