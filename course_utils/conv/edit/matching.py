"""Which channel of the changed network continues which channel of the old one.

Two traces of the same network are compared, one before and one after its widths changed. Channels
that are tied form a *class*: one channel of a residual stream, say, wherever it passes. A class is
known by where it goes: the parameter axes that give it and those that take it (its *signature*).
New classes continue old ones of the same signature: as many copies of each as there is room for, or
only the most important ones. So channels find their places behind any shuffle, split or
concatenation, and no operation needs a rule of its own here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from course_utils.conv.edit.trace import Axis, Trace
from course_utils.core import splitmix64

Classes = np.ndarray  # label -> number of its class


def tied(trace: Trace, loosely: bool = False) -> Classes:
    """The class of every label; with `loosely`, of all that must change in equal number."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = trace.ties + (trace.loose_ties if loosely else [])
    if not pairs:
        return np.arange(trace.count)
    a = np.concatenate([_numpy(first) for first, _ in pairs])
    b = np.concatenate([_numpy(second) for _, second in pairs])
    real = (a > 0) & (b > 0)  # label 0 ties nothing: what meets it is fixed
    a, b = a[real], b[real]
    graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(trace.count,) * 2)
    return connected_components(graph, directed=False)[1]


def fixed(trace: Trace, classes: Classes, outputs: bool = True) -> np.ndarray:
    """For every class, whether its channels cannot change in number."""
    result = np.zeros(classes.max() + 1, dtype=bool)
    result[classes[0]] = True
    for labels in [x for x, _ in trace.fixed] + (trace.outputs if outputs else []):
        result[classes[_numpy(labels)]] = True
    for first, second in trace.ties:
        a, b = _numpy(first), _numpy(second)
        if (a == 0).any() or (b == 0).any():
            result[classes[a[b == 0]]] = result[classes[b[a == 0]]] = True
    return result


@dataclass(frozen=True)
class Matching:
    """Where every slot of the new network gets its weights from."""

    old: Trace
    new: Trace
    old_classes: Classes
    new_classes: Classes
    continued: np.ndarray  # new class -> the old class that it continues

    def rows(self, axis: Axis) -> np.ndarray | None:
        """For each slot of an axis the old slot to copy from; None if nothing changes."""
        found = self.columns(axis)
        if found is None:
            return None
        index = np.maximum(found[0], 0)
        each = self.old.axes[axis].numel() // len(index)  # the groups lie one after the other
        return (index + np.arange(len(index))[:, None] * each).reshape(-1)

    def lossless(self) -> bool:
        """Whether each weight that a layer took its channels with is still there.

        Where maps of another size are flattened, pixels come and go: that does not count.
        """
        for axis in self.old.consumers:
            found = self.columns(axis)
            if found is None or self.old.grids.get(axis) != self.new.grids.get(axis):
                continue
            each = self.old.axes[axis].numel() // len(found[0])
            if any(len(np.unique(index[index >= 0])) < each for index in found[0]):
                return False
        return True

    def columns(self, axis: Axis) -> tuple[np.ndarray, np.ndarray] | None:
        """As `rows`, per group, and the share of the weight for each slot, both (groups, n).

        Copies of a channel share its weight, so their sum is what it was. A channel that did not
        come here before has weight 0 (old slot −1).
        """
        before, after = _numpy(self.old.axes[axis]), _numpy(self.new.axes[axis])
        after = self.new_classes[after]
        was, now = self.old_classes[before], self.continued[after]
        if before.shape == after.shape and (was == now).all():
            return None
        if len(before) != len(after):
            before, after, was, now = (x.reshape(1, -1) for x in (before, after, was, now))
        grids = self.old.grids.get(axis), self.new.grids.get(axis)
        groups = [_continue(was[g], now[g], after[g], *grids) for g in range(len(after))]
        return np.stack([i for i, _ in groups]), np.stack([f for _, f in groups])


def match(old: Trace, new: Trace, scores: np.ndarray, old_classes: Classes) -> Matching:
    """Match the classes of two traces; `scores` says how important each old class is."""
    new_classes = tied(new)
    places = {axis: number for number, axis in enumerate(old.axes)}
    old_signs, old_first = _signatures(old, old_classes, places)
    new_signs, new_first = _signatures(new, new_classes, places)
    continued = np.zeros(len(new_signs), dtype=np.int64)
    spare_old: list[int] = []
    spare_new: list[int] = []
    candidates, places = _by_sign(old_signs, old_first), _by_sign(new_signs, new_first)
    for sign, here in places.items():
        there = candidates.get(sign)
        if there is None:
            spare_new += here.tolist()
        else:
            continued[here] = _share_out(there, len(here), scores)
    for sign, there in candidates.items():
        if sign not in places:
            spare_old += there.tolist()
    if spare_new:
        _fill(old, new, old_classes, new_classes, spare_old, spare_new, continued)
    return Matching(old, new, old_classes, new_classes, continued)


def _share_out(old: np.ndarray, places: int, scores: np.ndarray) -> np.ndarray:
    """Spread old classes over a number of places, the more important ones first."""
    if places == len(old):
        return old
    copies = np.full(len(old), places // len(old))
    best = np.argsort(-scores[old], kind="stable")
    copies[best[: places % len(old)]] += 1
    return np.repeat(old, copies)


def _fill(old, new, old_classes, new_classes, spare_old, spare_new, continued) -> None:
    """Channels whose way is new: continue old ones of the same layer that found no place yet."""
    givers_old, givers_new = _givers(old, old_classes), _givers(new, new_classes)
    unused: dict[tuple, list[int]] = {}
    for c in spare_old:
        unused.setdefault(givers_old.get(c, ()), []).append(c)
    everything: dict[tuple, list[int]] = {}
    for c, sign in givers_old.items():
        everything.setdefault(sign, []).append(c)
    places: dict[tuple, list[int]] = {}
    for c in spare_new:
        places.setdefault(givers_new.get(c, ()), []).append(c)
    for sign, here in places.items():
        there = unused.get(sign) or everything.get(sign)
        if there:
            continued[here] = [there[i * len(there) // len(here)] for i in range(len(here))]
        else:
            continued[here] = old_classes[0]


def _givers(trace: Trace, classes: Classes) -> dict[int, tuple]:
    """Class -> the axes that give its channels."""
    found: dict[int, tuple] = {}
    for axis, labels in trace.axes.items():
        if axis not in trace.consumers:
            for c in np.unique(classes[_numpy(labels)]).tolist():
                found[c] = (*found.get(c, ()), axis)
    return found


def _signatures(trace: Trace, classes: Classes, places: dict[Axis, int]) -> tuple:
    """For every class a number that stands for all places it comes to, and its first label."""
    count = classes.max() + 1
    pairs = []
    for axis, labels in trace.axes.items():  # each group of a grouped layer is a place of its own
        place = np.arange(len(labels))[:, None] + (places.get(axis, len(places)) << 16)
        pairs.append((classes[_numpy(labels)] + place * count).reshape(-1))
    pairs = np.unique(np.concatenate(pairs)) if pairs else np.zeros(0, dtype=np.int64)
    # The sum of one random number for each place: equal sums, equal sets of places.
    numbers = splitmix64((pairs // count).astype(np.uint64))
    signs = np.zeros(count, dtype=np.uint64)
    np.add.at(signs, pairs % count, numbers)
    first = np.full(count, len(classes))
    np.minimum.at(first, classes, np.arange(len(classes)))
    signs[fixed(trace, classes)] += np.uint64(1)  # these continue themselves
    return signs, first


def _by_sign(signs: np.ndarray, first: np.ndarray) -> dict[int, np.ndarray]:
    """Signature -> its classes, in the order of their first labels."""
    order = np.lexsort((first, signs))
    sorted_signs = signs[order]
    starts = np.flatnonzero(np.r_[True, sorted_signs[1:] != sorted_signs[:-1]])
    parts = np.split(order, starts[1:])
    return dict(zip(sorted_signs[starts].tolist(), parts, strict=True))


def _continue(was, now, new, old_grid, new_grid) -> tuple[np.ndarray, np.ndarray]:
    """One group of slots: the old slot behind each new one (−1: none), and its share.

    Args:
        was, now: the old classes in the old and in the new slots.
        new: the new classes in the new slots.
        old_grid, new_grid: height and width, where maps were flattened.
    """
    order = np.argsort(was, kind="stable")
    ordered = was[order]
    start, stop = (np.searchsorted(ordered, now, side) for side in ("left", "right"))
    there = stop - start
    # A class that comes several times (once for each pixel of a flattened map) keeps its order.
    rank = _rank(new)
    if old_grid and new_grid and old_grid != new_grid:  # the nearest pixel
        (h, w), (h_new, w_new) = old_grid, new_grid
        row, column = rank // w_new, rank % w_new
        inside = (row * h // h_new) * w + column * w // w_new
    else:
        inside = rank * there // np.bincount(new)[new]
    inside = np.minimum(inside, np.maximum(there - 1, 0))
    index = order[np.minimum(start + inside, len(order) - 1)]
    share = there / np.bincount(now)[now]
    return np.where(there > 0, index, -1), share


def _rank(labels: np.ndarray) -> np.ndarray:
    """How many equal labels stand before each."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    starts = np.r_[True, ordered[1:] != ordered[:-1]]
    positions = np.arange(len(labels))
    rank = np.empty_like(positions)
    rank[order] = positions - np.maximum.accumulate(np.where(starts, positions, 0))
    return rank


def _numpy(labels: Tensor) -> np.ndarray:
    return labels.numpy()
