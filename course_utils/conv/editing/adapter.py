"""A convolution with what the rest of a network still needs behind it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.conv.editing.layer import WINDOW, output_sizes


class AdaptedConv2d(nn.Conv2d):
    """An edited convolution, and an adapter where the network cannot follow the edit.

    Attributes:
        project: 1×1 convolution back to the number of channels that the layer used to give;
            None where the network follows.
        former: kernel_size, stride, padding and dilation whose output size the rest of the network
            needs: the maps are resized to it (nearest pixel); None where any size will do.

    Shape:
        (N, C_in, H, W) to (N, channels given formerly, H and W given formerly).
    """

    project: nn.Conv2d | None
    former: dict[str, Any] | None

    @classmethod
    def of(cls, conv: nn.Conv2d) -> AdaptedConv2d:
        """The same layer, sharing its weights, with no adapter yet."""
        if isinstance(conv, cls):
            return conv
        result = cls(conv.in_channels, conv.out_channels, 1, groups=conv.groups, device="meta")
        result.__dict__ |= {k: v for k, v in conv.__dict__.items() if k != "_modules"}
        result.project = result.former = None
        return result

    def forward(self, input: Tensor) -> Tensor:
        output = super().forward(input)
        if self.former is not None:
            (size,) = output_sizes(self.former, [tuple(input.shape)])
            if output.shape[-2:] != size:
                output = F.interpolate(output, size=size, mode="nearest")
        return output if self.project is None else self.project(output)

    def extra_repr(self) -> str:
        text = super().extra_repr()
        return text if self.former is None else f"{text}, resized to its former output size"


def keep_size_of(settings: dict[str, Any]) -> dict[str, Any]:
    """What `AdaptedConv2d.former` holds of a layer's settings."""
    return {name: settings[name] for name in WINDOW}


def projection(copies: list[int], kept: Tensor, like: Tensor) -> nn.Conv2d:
    """A 1×1 convolution that puts the old channels together again.

    Args:
        copies: how often each old channel is there now.
        kept: for each channel that is there now, the old one it continues.
        like: gives device and dtype.
    """
    shares = torch.zeros(len(copies), len(kept))
    for now, old in enumerate(kept.tolist()):
        shares[old, now] = 1 / copies[old]
    layer = nn.Conv2d(len(kept), len(copies), 1, bias=False, device="meta")
    weight = shares[:, :, None, None].to(dtype=like.dtype)
    layer.weight = nn.Parameter(weight.to(like.device), requires_grad=like.requires_grad)
    return layer
