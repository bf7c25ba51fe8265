"""Labels: small integer tensors that say which channel is where in an activation.

Label 0 means "no channel of any layer": the input's colours, or zeros from padding.
"""

from __future__ import annotations

import numbers as kinds
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Labels(NamedTuple):
    """The channel of each place in a tensor: an activation (N, C, H, W) has labels (1, C, 1, 1).

    Attributes:
        numbers: the labels, with as many dimensions as the tensor. Their size is the tensor's along
            `dims`, and 1 along all others, where the labels do not change.
        dims: the dimensions along which the channels lie, counted from the last: −1, −2, ... A
            single channel lies along one, too. Without any, one channel has been picked.
    """

    numbers: Tensor
    dims: tuple[int, ...]

    @classmethod
    def of(cls, vector: Tensor, dim: int, ndim: int) -> Labels:
        """Return a vector of labels as those of a tensor of `ndim` dimensions, along `dim`."""
        return cls(along(vector, dim, ndim), (dim % ndim - ndim,))

    @property
    def vector(self) -> Tensor:
        """Return all labels in order, (n,)."""
        return self.numbers.reshape(-1)

    def padded_to(self, ndim: int) -> Labels:
        """Return the labels with dimensions of size 1 before the others, as broadcasting does."""
        missing = (1,) * (ndim - self.numbers.ndim)
        return Labels(self.numbers.reshape(missing + self.numbers.shape), self.dims)

    def first_along(self, dim: int) -> Labels:
        """Return the first label along a dimension, for each place in the others."""
        return Labels(self.numbers.narrow(dim, 0, 1), tuple(d for d in self.dims if d != dim))


def along(vector: Tensor, dim: int, ndim: int) -> Tensor:
    """Return a vector as a tensor of `ndim` dimensions that varies along `dim`."""
    return vector.reshape([-1 if d == dim % ndim else 1 for d in range(ndim)])


def squashed(numbers: Tensor, dims: Collection[int]) -> Labels:
    """Return labels that were moved as numbers: they lie along `dims`, and where they change."""
    lie = []
    for d in range(-numbers.ndim, 0):
        if d in dims:
            lie.append(d)
        elif numbers.shape[d] > 1:
            first = numbers.narrow(d, 0, 1)
            if numbers.stride(d) == 0 or bool((numbers == first).all()):
                numbers = first
            else:
                lie.append(d)
    return Labels(numbers, tuple(lie))


def rank(values: np.ndarray) -> np.ndarray:
    """Return for each value how many equal ones stand before it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.r_[True, ordered[1:] != ordered[:-1]]
    positions = np.arange(len(values))
    result = np.empty_like(positions)
    result[order] = positions - np.maximum.accumulate(np.where(starts, positions, 0))
    return result


# Dimensions that come and go


def without(dims: Sequence[int], gone: Collection[int]) -> tuple[int, ...]:
    """Return where `dims` are when some dimensions are gone; all counted from the last."""
    return tuple(d + sum(g > d for g in gone) for d in dims if d not in gone)


def inserted(labels: Labels, dim: int) -> Labels:
    """Return labels after `unsqueeze`; `dim` counts from the last of the new dimensions."""
    dims = tuple(d if d > dim else d - 1 for d in labels.dims)
    return Labels(labels.numbers.unsqueeze(dim), dims)


# Operations


def concatenated(parts: Sequence[Tensor], sizes: Sequence[int], dim: int) -> Tensor:
    """Return labels of `torch.cat` along `dim`; `sizes` are the sizes of the tensors there."""
    shape = [max(part.shape[d] for part in parts) for d in range(parts[0].ndim)]
    before, after = shape[:dim], shape[dim + 1 :]
    full = [x.expand(*before, n, *after) for x, n in zip(parts, sizes, strict=True)]
    return torch.cat(full, dim)


def padded(labels: Labels, pads: Sequence[int], mode: str = "constant") -> Labels:
    """Return labels of `F.pad`; added pixels change nothing, and constants have label 0."""
    numbers = labels.numbers
    for i in range(len(pads) // 2):
        dim, n = -1 - i, numbers.shape[-1 - i]
        if dim not in labels.dims:
            continue
        source = torch.arange(-pads[2 * i], n + pads[2 * i + 1])
        if mode == "circular" and min(pads[2 * i : 2 * i + 2]) < 0:  # cut first, as PyTorch does
            kept = torch.arange(n)[max(-pads[2 * i], 0) : n + min(pads[2 * i + 1], 0)]
            numbers, n = numbers.index_select(dim, kept), len(kept)
            source = torch.arange(-max(pads[2 * i], 0), n + max(pads[2 * i + 1], 0))
        inside = (source >= 0) & (source < n)
        match mode:
            case "replicate":
                source = source.clamp(0, n - 1)
            case "reflect":
                source = (n - 1) - (source.abs() - (n - 1)).abs()
            case "circular":
                source = source % n
            case _:
                source = source.where(inside, 0)
        moved = numbers.index_select(dim, source)
        keep = along(inside, dim, numbers.ndim) if mode == "constant" else torch.tensor(True)
        numbers = moved.where(keep, 0)
    return Labels(numbers, labels.dims)


# Where dimensions go


def picked(index: object, ndim: int) -> list[int | None] | None:
    """Return for each dimension of `x[index]` the one of x that it was; None for a new one.

    None instead of a list where an index is not one of the simple kinds: numbers, slices, None,
    an ellipsis and a single list.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    taking = sum(part is not None and part is not ... for part in parts)
    lists = [part for part in parts if isinstance(part, (list, range))]
    numbers = any(isinstance(part, kinds.Integral) for part in parts)
    if len(lists) > 1 or (lists and numbers) or any(isinstance(part, bool) for part in parts):
        return None
    if not any(part is ... for part in parts):
        parts.append(...)
    return list(_places(parts, ndim, taking))


def _places(parts: list, ndim: int, taking: int) -> Iterator[int | None]:
    d = 0
    for part in parts:
        if part is ...:
            yield from range(d, d + ndim - taking)
            d += ndim - taking
        elif part is None:
            yield None
        else:
            if not isinstance(part, kinds.Integral):
                yield d
            d += 1
