"""A convolution with an adapter after it, for the rest of a network that cannot follow it."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.conv.window import window_output


class AdaptedConv2d(nn.Conv2d):
    """An edited convolution, and an adapter where the network cannot follow the edit.

    Attributes:
        project: 1×1 convolution back to the number of channels before the edit; None if not needed.
        former: kernel_size, stride, padding and dilation before the edit, as `window_output` takes
            them. The maps are resized to the height and width that these would produce (nearest
            pixel); None if not needed.

    Shape:
        (N, C_in, H, W) to (N, C_out, H_out, W_out) as before the edit.
    """

    project: nn.Conv2d | None
    former: dict[str, Any] | None

    @classmethod
    def of(cls, conv: nn.Conv2d) -> AdaptedConv2d:
        """Return the same layer, sharing its weights, without an adapter so far."""
        if isinstance(conv, cls):
            return conv
        result = _empty(type(conv))
        result.__dict__ |= conv.__dict__ | {"_modules": dict(conv._modules)}
        result.project = result.former = None
        return result

    def forward(self, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        output = super().forward(input, *args, **kwargs)
        if self.former is not None:
            size = window_output(self.former, input.shape[-2:])
            output = F.interpolate(output, size=size, mode="nearest")
        return output if self.project is None else self.project(output)

    def __reduce__(self):
        kind = next(base for base in type(self).__mro__ if not issubclass(base, AdaptedConv2d))
        return _empty, (kind,), self.__dict__

    def extra_repr(self) -> str:
        text = super().extra_repr()
        return text if self.former is None else f"{text}, resized to its former output size"


@functools.cache
def _adapted_kind(kind: type[nn.Conv2d]) -> type[AdaptedConv2d]:
    if kind is nn.Conv2d:
        return AdaptedConv2d
    # A layer's own way to compute stays: one with standardised weights, say.
    return type(f"Adapted{kind.__name__}", (AdaptedConv2d, kind), {})


def _empty(kind: type[nn.Conv2d]) -> AdaptedConv2d:
    """Return an adapted layer of some kind of convolution, with nothing in it; pickle calls it."""
    adapted = _adapted_kind(kind)
    return adapted.__new__(adapted)


def projection(copies: Tensor, source: Tensor, like: Tensor) -> nn.Conv2d:
    """Return a 1×1 convolution that computes the old channels from their copies.

    Args:
        copies: number of copies of each old channel.
        source: the old channel of each copy.
        like: a tensor with the device and dtype to use.
    """
    shares = torch.zeros(len(copies), len(source))
    shares[source, torch.arange(len(source))] = 1 / copies[source]
    layer = nn.Conv2d(len(source), len(copies), 1, bias=False, device="meta")
    weight = shares[:, :, None, None].to(dtype=like.dtype)
    layer.weight = nn.Parameter(weight.to(like.device), requires_grad=like.requires_grad)
    return layer
