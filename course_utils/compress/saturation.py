"""Compute int8 as a processor without VNNI does, where sums of two products are cut off at 16 bits.

ONNX Runtime chooses its instructions itself, so on a newer processor nobody can see what an older
one would answer. Here the same sums are computed in PyTorch, slowly.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.compress.fake_quantization import fake_quantize
from course_utils.compress.quantization import layers_to_round, quantize, quantize_between
from course_utils.core import CourseError

LOWEST, HIGHEST = -(2**15), 2**15 - 1
"""Of a number of 16 bits."""

_ROWS = 2**14  # at a time, so that a step stays in the processor's cache


def saturating_product(x: Tensor, weight: Tensor) -> Tensor:
    """Return x · weightᵀ as the instruction `vpmaddubsw` adds it up.

    It multiplies two neighbours of `x` by two of `weight`, and their sum must fit into 16 bits: a
    larger sum becomes 32,767, a smaller one −32,768. Only then all sums are added, exactly.

    Args:
        x: Codes from 0 to 255, (N, K).
        weight: Codes from −128 to 127, (M, K).

    Shape:
        int32 (N, M).
    """
    odd = x.shape[1] % 2
    x, weight = (F.pad(one.int(), (0, odd)) for one in (x, weight))
    total = torch.zeros(len(x), len(weight), dtype=torch.int32)
    for rows, part in zip(x.split(_ROWS), total.split(_ROWS), strict=True):
        for k in range(0, x.shape[1], 2):
            pair = rows[:, k, None] * weight[:, k]
            pair.addcmul_(rows[:, k + 1, None], weight[:, k + 1])
            part += pair.clamp_(LOWEST, HIGHEST)
    return total


def without_vnni(model: nn.Module, calibration: Tensor, *, reduce_range: bool = False) -> nn.Module:
    """Return an int8 copy of a network that computes as a processor without VNNI does, on the CPU.

    Args:
        calibration: Pictures as the network takes them; the ranges of all activations are those of
            these pictures.
        reduce_range: Whether weights use 7 bits: then no sum of two products is cut off.

    Raises:
        CourseError: As `fake_quantize`; or if a convolution has groups or does not pad with zeros.
    """
    bits = 7 if reduce_range else 8
    copied = fake_quantize(model, calibration, weight_bits=bits, activation_bits=8).cpu().eval()
    for name, layer in layers_to_round(copied):
        owner, _, attribute = name.rpartition(".")
        setattr(copied.get_submodule(owner), attribute, _Saturating(name, layer, bits))
    return copied


class _Saturating(nn.Module):
    """A convolution or linear layer that computes with codes."""

    def __init__(self, name: str, layer: Any, bits: int) -> None:
        super().__init__()
        is_conv = isinstance(layer, nn.Conv2d)
        if is_conv and (layer.groups > 1 or layer.padding_mode != "zeros"):
            raise CourseError(f"{name} has groups or another padding than zeros, as no layer here.")
        if is_conv and isinstance(layer.padding, str):
            raise CourseError(f"{name} has padding={layer.padding!r}: give it as a number.")
        self.layer, self.weight = (
            layer,
            quantize(layer.weight, bits, channel_axis=0, symmetric=True),
        )

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        layer, levels = self.layer, self.layer.input_levels
        q = quantize_between(x, float(levels.low), float(levels.high), levels.bits)
        if not isinstance(layer, nn.Conv2d):
            return self._product(q.codes, self.weight.codes, q)
        # Outside of the picture is 0, whose code is the zero point.
        (rows, columns), zero = layer.padding, float(q.zero_point)
        codes = F.pad(q.codes.float(), (columns, columns, rows, rows), value=zero)
        height, width = (
            (n - d * (k - 1) - 1) // s + 1
            for n, d, k, s in zip(
                codes.shape[2:], layer.dilation, layer.kernel_size, layer.stride, strict=True
            )
        )
        windows = F.unfold(codes, layer.kernel_size, layer.dilation, stride=layer.stride)
        # The channels of one pixel are neighbours, as in ONNX Runtime.
        windows = windows.unflatten(1, (layer.in_channels, -1)).permute(0, 3, 2, 1).flatten(2)
        weight = self.weight.codes.permute(0, 2, 3, 1).flatten(1)
        out = self._product(windows.flatten(0, 1), weight, q)
        return out.unflatten(0, (len(x), height, width)).permute(0, 3, 1, 2)

    def _product(self, codes: Tensor, weight: Tensor, q: Any) -> Tensor:
        sums = saturating_product(codes, weight) - q.zero_point * weight.sum(1)
        out = (sums * (q.scale * self.weight.scale.flatten())).float()
        return out if self.layer.bias is None else out + self.layer.bias
