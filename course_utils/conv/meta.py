"""Models and inputs on PyTorch's meta device (shapes without numbers), and the tensors in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


def blank(tensor: Tensor) -> Tensor:
    """Return a tensor on the meta device with the same shape, dtype and memory layout."""
    return torch.empty_like(tensor, device="meta")


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in nested tuples, lists and dictionaries."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def stand_ins(
    model: nn.Module,
    parameter: Callable[[Tensor], Tensor] = blank,
    buffer: Callable[[Tensor], Tensor] = blank,
) -> dict[int, Tensor]:
    """Return the memo with which `copy.deepcopy` copies a model without its numbers.

    Args:
        parameter: returns what the copy gets for a parameter (as a tensor).
        buffer: returns what the copy gets for a buffer.
    """
    memo = {id(p): nn.Parameter(parameter(p), p.requires_grad) for p in model.parameters()}
    return memo | {id(b): buffer(b) for b in model.buffers()}
