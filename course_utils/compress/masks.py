"""Masks by magnitude: the smallest weights of a network become zero, and stay zero in training.

A mask leaves the shape of every weight as it is, so the network computes as much as before. What
makes it faster is `prune`, which removes whole channels.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from course_utils.core import CourseError, check_network, is_number

MASKED = (nn.Conv2d, nn.Linear)
"""The layers whose weights are masked; biases and BatchNorm are never."""


def mask_by_magnitude(model: nn.Module, share: float, *, scope: str = "global") -> nn.Module:
    """Return a copy in which the weights with the smallest absolute values are masked.

    The masks are those of `torch.nn.utils.prune`: each layer multiplies its weight by a mask of
    zeros and ones before it computes, so that training cannot bring a masked weight back.
    Han et al. 2015, "Learning both weights and connections for efficient neural networks".

    Args:
        share: Of the weights of all convolutions and linear layers, between 0 and 1.
        scope: "global" compares the weights of all layers with each other; "layer" masks the same
            share of each layer.

    Raises:
        CourseError: If the share is not between 0 and 1, the network has no such layer, or it has
            masks already.
    """
    require_share(share)
    if scope not in ("global", "layer"):
        raise CourseError(f"scope={scope!r}: give 'global' or 'layer'.")
    require_no_masks(model)
    masked = copy.deepcopy(model)
    weights = [(layer, "weight") for layer in masked.modules() if isinstance(layer, MASKED)]
    if not weights:
        raise CourseError("The network has no convolution and no linear layer to mask.")
    groups = [weights] if scope == "global" else [[one] for one in weights]
    for group in groups:
        torch_prune.global_unstructured(group, torch_prune.L1Unstructured, amount=float(share))
    return masked


def remove_masks(model: nn.Module) -> nn.Module:
    """Return a copy without masks: its masked weights are ordinary zeros, and can be trained."""
    plain = copy_with_masks(model)
    for layer in plain.modules():
        for name, _ in _masks(layer):
            torch_prune.remove(layer, name)
    return plain


def copy_with_masks(model: nn.Module) -> nn.Module:
    """Return a copy with the same masks, if the network has any."""
    check_network(model)
    # torch cannot copy a masked layer: its weight is computed, not stored.
    memo: dict[int, Any] = {}
    for layer in model.modules():
        for name, _ in _masks(layer):
            weight = getattr(layer, name)
            memo[id(weight)] = weight.detach().clone()
    return copy.deepcopy(model, memo)


def has_masks(model: nn.Module) -> bool:
    """Return whether a layer of the network has a mask of `torch.nn.utils.prune`."""
    return any(_masks(layer) for layer in model.modules())


def require_no_masks(model: nn.Module) -> None:
    """Raise a `CourseError` if a layer of the network has a mask."""
    check_network(model)
    for name, layer in model.named_modules():
        if _masks(layer):
            raise CourseError(
                f"{name or type(layer).__name__} still has a mask, which only hides weights: "
                "take remove_masks(model) first."
            )


def sparsity(model: nn.Module) -> float:
    """Return the share of zeros among the weights of convolutions and linear layers, in [0, 1]."""
    weights = [layer.weight for layer in model.modules() if isinstance(layer, MASKED)]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    return zeros / max(sum(weight.numel() for weight in weights), 1)


def require_share(share: Any, name: str = "share") -> float:
    """Return `share` as a float if it is a number between 0 and 1, without these two."""
    if not is_number(share) or not 0 < share < 1:
        does = "removes nothing" if share == 0 else "leaves nothing" if share == 1 else ""
        why = f" {share} {does}." if does and is_number(share) else ""
        raise CourseError(f"{name}={share!r}: give a number between 0 and 1, such as 0.5.{why}")
    return float(share)


def _masks(layer: nn.Module) -> list[tuple[str, Tensor]]:
    """Return the names of a layer's masked parameters, and the masks."""
    return [
        (name.removesuffix("_mask"), mask)
        for name, mask in layer.named_buffers(recurse=False)
        if name.endswith("_mask") and f"{name.removesuffix('_mask')}_orig" in layer._parameters
    ]
