"""Put two cheaper convolutions in the place of one, with weights as near to it as they can be.

Both use the singular value decomposition, which finds the best matrix of a lower rank (Denton et
al. 2014, "Exploiting linear structure within convolutional networks for efficient evaluation";
Jaderberg et al. 2014, "Speeding up convolutional neural networks with low rank expansions").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from course_utils.core import CourseError, whole_number

_WINDOW = ("kernel_size", "stride", "padding", "dilation", "padding_mode")


def separable(layer: nn.Conv2d) -> tuple[nn.Sequential, float]:
    """Return a depthwise and a 1×1 convolution that approximate a layer, and how well they do it.

    All kernels that read the same input channel become multiples of one kernel, the best one.

    Returns:
        The two layers, and the share of the layer's squared weights that they keep, from 0 to 1.

    Raises:
        CourseError: if it is not an `nn.Conv2d` with one group.
    """
    weight = _weight(layer)
    inputs, outputs = layer.in_channels, layer.out_channels
    # For each input channel: (outputs, numbers of a kernel).
    u, s, vh = torch.linalg.svd(weight.transpose(0, 1).flatten(2), full_matrices=False)
    depthwise = nn.Conv2d(inputs, inputs, groups=inputs, bias=False, **_window(layer))
    pointwise = nn.Conv2d(inputs, outputs, 1, bias=layer.bias is not None)
    factors = (u[:, :, 0] * s[:, :1]).T
    layers = _with_weights(layer, (depthwise, vh[:, 0]), (pointwise, factors))
    return layers, _share(s[:, :1], s)


def bottleneck(layer: nn.Conv2d, width: int) -> tuple[nn.Sequential, float]:
    """Return a 1×1 convolution to `width` channels and one after it, and how well they do it.

    The two approximate the layer. Of all mixtures of the input channels they use those from which
    its kernels can be made best.

    Args:
        width: at most the number of input channels, or of weights for each input channel.

    Returns:
        The two layers, and the share of the layer's squared weights that they keep, from 0 to 1.

    Raises:
        CourseError: if it is not an `nn.Conv2d` with one group, or the width is not possible.
    """
    rows = _weight(layer).transpose(0, 1).flatten(1)  # a row for each input channel
    width = whole_number("width", width, 1, min(rows.shape))
    u, s, vh = torch.linalg.svd(rows, full_matrices=False)
    squeeze = nn.Conv2d(layer.in_channels, width, 1, bias=False)
    spread = nn.Conv2d(width, layer.out_channels, bias=layer.bias is not None, **_window(layer))
    kernels = (s[:width, None] * vh[:width]).reshape(width, layer.out_channels, -1)
    layers = _with_weights(layer, (squeeze, u[:, :width].T), (spread, kernels.transpose(0, 1)))
    return layers, _share(s[:width], s)


def _weight(layer: nn.Conv2d) -> Tensor:
    """Return the weights in float32 or float64."""
    if not isinstance(layer, nn.Conv2d):
        raise CourseError(f"layer must be an nn.Conv2d, not {type(layer).__name__}.")
    if layer.groups != 1:
        raise CourseError(
            f"The layer has {layer.groups} groups, so each kernel reads a part of the channels."
            " Give a layer with one group, such as edit_conv(..., groups=1) makes."
        )
    weight = layer.weight.detach()
    return weight if weight.dtype == torch.float64 else weight.float()


def _window(layer: nn.Conv2d) -> dict:
    return {name: getattr(layer, name) for name in _WINDOW}


def _with_weights(layer: nn.Conv2d, *parts: tuple[nn.Conv2d, Tensor]) -> nn.Sequential:
    """Return the parts with these weights, and with the bias of the layer in the last one."""
    with torch.no_grad():
        for part, weight in parts:
            part.weight.copy_(weight.reshape(part.weight.shape))
        if layer.bias is not None:
            parts[-1][0].bias.copy_(layer.bias)
    both = nn.Sequential(*(part for part, _ in parts))
    return both.to(layer.weight.device, layer.weight.dtype).train(layer.training)


def _share(kept: Tensor, every: Tensor) -> float:
    whole = every.square().sum()
    return (kept.square().sum() / whole).item() if whole > 0 else 1.0
