"""Models and inputs without their numbers, on PyTorch's meta device: a run gives shapes only."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def blank(tensor: Tensor) -> Tensor:
    """Return a tensor on the meta device with this one's shape, dtype and memory layout."""
    return torch.empty_like(tensor, device="meta")


def stand_ins(
    model: nn.Module,
    parameter: Callable[[Tensor], Tensor] = blank,
    buffer: Callable[[Tensor], Tensor] = blank,
) -> dict[int, Tensor]:
    """Return the memo with which `copy.deepcopy` copies a model, but not its numbers.

    Args:
        parameter: what the copy gets for a parameter; it is made an `nn.Parameter` here.
        buffer: what it gets for a buffer.
    """
    memo: dict[int, Tensor] = {}
    for p in model.parameters():
        memo[id(p)] = nn.Parameter(parameter(p), p.requires_grad)
    for b in model.buffers():
        memo[id(b)] = buffer(b)
    return memo
