"""Labels: small integer tensors that say which channel is where in an activation.

A label tensor has as many dimensions as the tensor it belongs to, and size 1 along every dimension
in which the labels do not change: an activation (N, C, H, W) has labels (1, C, 1, 1). Label 0
means "no channel of any layer": the input's colours, or zeros from padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def varying(labels: Tensor) -> tuple[int, ...]:
    """Return the dimensions along which the labels change, counted from the last: −1, −2, ..."""
    return tuple(d - labels.ndim for d, n in enumerate(labels.shape) if n > 1)


def along(vector: Tensor, dim: int, ndim: int) -> Tensor:
    """Return a vector of labels as a tensor of `ndim` dimensions that varies along `dim`."""
    return vector.reshape([-1 if d == dim % ndim else 1 for d in range(ndim)])


def squash(labels: Tensor) -> Tensor:
    """Return the labels with size 1 along every dimension in which they do not change."""
    for d in range(labels.ndim):
        if labels.shape[d] > 1:
            first = labels.narrow(d, 0, 1)
            if labels.stride(d) == 0 or bool((labels == first).all()):
                labels = first
    return labels


def reshaped(labels: Tensor, old: Sequence[int], new: Sequence[int]) -> Tensor:
    """Return labels of a tensor of shape `old` after `view`, `flatten`, ... to shape `new`.

    Only the dimensions that take part are expanded: flattening (N, C, H, W) to (N, C·H·W) repeats
    each channel's label H·W times, splitting C into (g, C/g) costs nothing.
    """
    expanded, result = [], []
    for before, after in _blocks(old, new):
        involved = any(labels.shape[d] > 1 for d in before)
        expanded += [old[d] if involved else 1 for d in before]
        result += [new[d] if involved else 1 for d in after]
    return squash(labels.expand(expanded).reshape(result))


def _blocks(old: Sequence[int], new: Sequence[int]) -> list[tuple[range, range]]:
    """Return ranges of dimensions of both shapes with the same numbers, as short as possible."""
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
    """Return labels of `torch.cat` along `dim`; `sizes` are the sizes of the tensors there."""
    shape = [max(part.shape[d] for part in parts) for d in range(parts[0].ndim)]
    before, after = shape[:dim], shape[dim + 1 :]
    full = [x.expand(*before, n, *after) for x, n in zip(parts, sizes, strict=True)]
    return torch.cat(full, dim)


def padded(labels: Tensor, pads: Sequence[int]) -> Tensor:
    """Return labels of `F.pad`: 0 for channels that were added; added pixels change nothing."""
    pads = list(pads)
    for i in range(len(pads) // 2):
        if labels.shape[-1 - i] == 1:
            pads[2 * i : 2 * i + 2] = [0, 0]
    return F.pad(labels, pads)
