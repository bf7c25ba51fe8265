"""The labels of reshaped tensors: which dimensions become which, and where channels are cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from course_utils.conv.edit.labels import Labels, squashed


class Block(NamedTuple):
    """Dimensions of a tensor, and those of its reshaped form with the same numbers."""

    before: range
    after: range


def blocks(old: Sequence[int], new: Sequence[int]) -> list[Block]:
    """Return the blocks of two shapes of one tensor, as short as possible.

    A dimension of size 1 may belong to the block before it or behind it. It belongs to the one
    before, unless that is the batch.
    """
    found: list[Block] = []
    i, j = 0, 0
    while i < len(old) or j < len(new):
        start = i, j
        a, b = (old[i] if i < len(old) else 1), (new[j] if j < len(new) else 1)
        if i < len(old) and a == 1 and (b > 1 or j == len(new)) and found and found[-1].before:
            last = found[-1]
            if last.before.start > 0 and last.after:
                found[-1] = Block(range(last.before.start, i + 1), last.after)
                i += 1
                continue
        i, j = min(i + 1, len(old)), min(j + 1, len(new))
        while a != b:
            if a < b:
                a, i = a * old[i], i + 1
            else:
                b, j = b * new[j], j + 1
        found.append(Block(range(start[0], i), range(start[1], j)))
    return found


def reshaped(labels: Labels, old: Sequence[int], new: Sequence[int]) -> Labels | None:
    """Return labels of a tensor of shape `old` after `view`, `flatten`, ... to shape `new`.

    Only the dimensions that take part are expanded: flattening (N, C, H, W) to (N, C·H·W) repeats
    each channel's label H·W times, splitting C into (g, C/g) costs nothing. None where a channel's
    pixels are cut into pieces that begin in another place for every channel.
    """
    expanded, shape, lie = [], [], []
    channel_dims = {d % len(old) for d in labels.dims}
    for block in blocks(old, new):
        mine = channel_dims.intersection(block.before)
        if mine and not _aligned(mine, block, old, new):
            return None
        expanded += [old[d] if mine else 1 for d in block.before]
        shape += [new[d] if mine else 1 for d in block.after]
        if mine:  # dimensions in which the labels vary are found when they are squashed
            lie += _lying(mine, block, old, new)
    numbers = labels.numbers.expand(expanded).reshape(shape)
    return squashed(numbers, {d - len(new) for d in lie})


def _lying(dims: set[int], block: Block, old: Sequence[int], new: Sequence[int]) -> list[int]:
    """Return dimensions of a reshaped block in which channels lie, also where no label changes."""
    large = [d for d in block.after if new[d] > 1]
    if all(old[d] == 1 or d in dims for d in block.before):
        # What a vector of parameters gets in front, as in (1, C, 1, 1), is the batch.
        batch = block.before.start == 0 and large
        return [d for d in block.after if not batch or d >= large[0]]
    first = all(old[d] == 1 for d in block.before if d < min(dims))  # channels, then pixels
    return [block.after[0 if first else -1], *(large if len(large) < 2 else [])]


def _aligned(dims: set[int], block: Block, old: Sequence[int], new: Sequence[int]) -> bool:
    """Check whether each channel along `dims` has a box of places of its own after a reshape."""
    edges = {_stride(old, block.before, d - inner) for d in dims for inner in (0, 1)}
    cuts = {_stride(new, block.after, d) for d in block.after}
    return all(a % b == 0 or b % a == 0 for a in edges for b in cuts)


def _stride(shape: Sequence[int], dims: range, d: int) -> int:
    return math.prod(shape[e] for e in dims if e > d)


def channel_blocks(labels: Sequence[Labels], old: Sequence[int], new: Sequence[int]) -> list[Block]:
    """Return the blocks in which channels take part."""
    lie = {d % len(old) for x in labels for d in x.dims}
    return [block for block in blocks(old, new) if lie.intersection(block.before)]


class Reshape(NamedTuple):
    """A reshape of a tensor with channels.

    Attributes:
        blocks: those in which channels take part.
        old, new: the shapes of the tensor.
        came, lie: dimensions of the old and of the new shape along which channels lie, counted from
            the last.
    """

    operation: str
    blocks: list[Block]
    old: tuple[int, ...]
    new: tuple[int, ...]
    came: frozenset[int]
    lie: frozenset[int]

    def does_as(self, former: Reshape) -> bool:
        """Check whether a reshape does the same with channels as before their number changed."""
        if (len(self.old), len(self.new)) != (len(former.old), len(former.new)):
            return True  # another reshape
        for side, a, b in ((0, self.old, former.old), (1, self.new, former.new)):
            mine, its = ({d for block in r.blocks for d in block[side]} for r in (self, former))
            if any(a[d] > 1 and b[d] > 1 for d in mine ^ its):
                return False
        # Where the number of pixels is as before, only dimensions of channels may grow.
        before, after = ({d for block in self.blocks for d in block[side]} for side in (0, 1))
        resized = {d - len(self.old) for d in before if self.old[d] != former.old[d]}
        grown = {d - len(self.new) for d in after if self.new[d] != former.new[d]}
        return not resized <= self.came or grown <= self.lie | former.lie
