"""The multiply-adds of PyTorch's operations: those of `torch.utils.flop_counter`, and more."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

_aten = torch.ops.aten
_CONVOLUTION = (_aten.convolution, _aten._convolution)
_FIRST, _SECOND = (_aten.mm, _aten.bmm), (_aten.addmm, _aten.baddbmm)


def _attention(query, key, value, *rest) -> int:
    """Return the cost of softmax(q kᵀ) v; shapes (N, heads, places, channels)."""
    return prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


def _fused_attention(query, key, value, width, heads, weight, bias, out_weight, *rest) -> int:
    linear = prod(query.shape[:-1]) * (weight.numel() + out_weight.numel())
    return linear + _attention(query, key, value)


def _recurrent(input, *weights) -> int:
    """Return the cost of a recurrent layer: at each place each weight is used once."""
    matrices = [w for w in weights if isinstance(w, Tensor) and w.ndim == 2]
    return prod(input.shape[:-1]) * sum(w.numel() for w in matrices)


# Of operations that `flop_counter` counts as 0. Each formula takes the arguments, then the output.
_MORE: dict[str, Callable[[tuple, Any], int]] = {
    "aten::mv": lambda a, out: a[0].numel(),
    "aten::addmv": lambda a, out: a[1].numel(),
    "aten::dot": lambda a, out: a[0].numel(),
    "aten::vdot": lambda a, out: a[0].numel(),
    "aten::addbmm": lambda a, out: a[1].numel() * a[2].shape[-1],
    "aten::_addmm_activation": lambda a, out: out.numel() * a[1].shape[-1],
    "aten::_trilinear": lambda a, out: out.numel() * prod(a[1].shape[-2:]),  # nn.Bilinear
    "aten::_scaled_dot_product_flash_attention_for_cpu": lambda a, out: _attention(*a),
    "aten::_scaled_dot_product_fused_attention_overrideable": lambda a, out: _attention(*a),
    "aten::_native_multi_head_attention": lambda a, out: _fused_attention(*a),
    "aten::mkldnn_rnn_layer": lambda a, out: _recurrent(*a[:3]),
    "aten::_cudnn_rnn": lambda a, out: _recurrent(a[0], *a[1]),
    "torchvision::deform_conv2d": lambda a, out: out.numel() * prod(a[1].shape[1:]),
}

# Operations of PyTorch that multiply and add much, but have no formula.
_UNKNOWN = ("_fft", "linalg_", "_linalg", "_euclidean_dist", "_cdist", "_sparse", "sparse_")
_UNKNOWN += ("_int_mm", "_grouped_mm", "_weight_int", "_transformer_encoder_layer_fwd")
# Of other libraries every one counts as unknown, except those that only choose or pool.
_KNOWN = ("aten", "prim", "prims", "profiler", "inductor")
_POOLING = ("nms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")


def multiply_adds(func: Any, args: tuple, kwargs: dict, output: Any, constant: bool) -> int | None:
    """Return the multiply-adds of one operation of the dispatcher; None if it has no formula.

    Args:
        func: a `torch._ops.OpOverload`; args, kwargs: its arguments.
        constant: whether it computes on constants only. PyTorch's counter counts matrix products of
            constants; products with a vector (in spectral normalisation) are not counted then.
    """
    formula = flop_registry.get(func.overloadpacket)
    try:
        if formula is not None:
            return formula(*args, **kwargs, out_val=output) // 2
        more = _MORE.get(_name(func))
        return None if more is None or constant else more(args, output)
    except (AssertionError, RuntimeError, ValueError):  # a nested tensor has not one shape
        return None


def is_not_counted(func: Any) -> bool:
    """Check whether an operation without a formula may multiply and add much."""
    if func.overloadpacket in flop_registry:
        return True
    space, _, name = _name(func).partition("::")
    if space in _KNOWN:
        return name.startswith(_UNKNOWN) and "norm" not in name
    return space != "torchvision" or name not in _POOLING


def _name(func: Any) -> str:
    return func.name().partition(".")[0]


def batch_size(func: Any, args: tuple) -> tuple[int, int] | None:
    """Return (0, N) of a convolution, (1, rows) of a matrix product; None for the others."""
    packet = func.overloadpacket
    if packet in _CONVOLUTION:
        return 0, args[0].shape[0]
    if packet in _FIRST + _SECOND:
        return 1, args[packet in _SECOND].shape[0]
    return None
