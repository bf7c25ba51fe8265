"""Labels: small integer tensors that say which channel lies where in an activation.

A label tensor has as many dimensions as the tensor it belongs to, and size 1 along every dimension
in which the labels do not change: an activation (N, C, H, W) carries labels (1, C, 1, 1). Label 0
stands for "no channel of any layer": the input's colours, zeros put in by padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def varying(labels: Tensor) -> tuple[int, ...]:
    """The dimensions along which the labels change, counted from the last one: −1, −2, ..."""
    return tuple(d - labels.ndim for d, n in enumerate(labels.shape) if n > 1)


def along(labels: Tensor, dim: int, ndim: int) -> Tensor:
    """A vector of labels as a tensor of `ndim` dimensions that varies along `dim`."""
    shape = [1] * ndim
    shape[dim] = -1
    return labels.reshape(shape)


def squash(labels: Tensor) -> Tensor:
    """Size 1 along every dimension in which the labels do not change."""
    for d in range(labels.ndim):
        if labels.shape[d] > 1:
            first = labels.narrow(d, 0, 1)
            if labels.stride(d) == 0 or bool((labels == first).all()):
                labels = first
    return labels


def reshaped(labels: Tensor, old: Sequence[int], new: Sequence[int]) -> Tensor:
    """Labels of a tensor of shape `old` after `view`, `flatten`, `squeeze`, ... to shape `new`.

    Only the dimensions that take part are unfolded: flattening (N, C, H, W) to (N, C·H·W) repeats
    each channel's label H·W times, splitting C into (g, C/g) costs nothing.
    """
    unfolded, result = [], []
    for before, after in _blocks(old, new):
        involved = any(labels.shape[d] > 1 for d in before)
        unfolded += [old[d] if involved else 1 for d in before]
        result += [new[d] if involved else 1 for d in after]
    return squash(labels.expand(unfolded).reshape(result))


def _blocks(old: Sequence[int], new: Sequence[int]) -> list[tuple[range, range]]:
    """Runs of dimensions of both shapes that hold the same numbers, as short as possible."""
    blocks, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        start = i, j
        a, b = (old[i] if i < len(old) else 1), (new[j] if j < len(new) else 1)
        i, j = min(i + 1, len(old)), min(j + 1, len(new))
        while a != b:
            if a < b:
                a, i = a * old[i], i + 1
            else:
                b, j = b * new[j], j + 1
        blocks.append((range(start[0], i), range(start[1], j)))
    return blocks


def concatenated(parts: Sequence[Tensor], sizes: Sequence[int], dim: int) -> Tensor:
    """Labels of `torch.cat` along `dim`; `sizes` are the tensors' own sizes there."""
    shape = [max(part.shape[d] for part in parts) for d in range(parts[0].ndim)]
    full = []
    for part, size in zip(parts, sizes, strict=True):
        shape[dim] = size
        full.append(part.expand(shape))
    return torch.cat(full, dim)


def padded(labels: Tensor, pads: Sequence[int]) -> Tensor:
    """Labels of `F.pad`: label 0 where channels were put in; padding of pixels changes nothing."""
    pads = list(pads)
    for i in range(len(pads) // 2):
        if labels.shape[-1 - i] == 1:
            pads[2 * i : 2 * i + 2] = [0, 0]
    return F.pad(labels, pads)
