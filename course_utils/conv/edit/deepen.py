"""Put several convolutions in the place of one, while the network computes the same."""

from __future__ import annotations

import copy

import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.core import (
    CourseError,
    memory_in_words,
    private_random_numbers,
    require_memory,
    whole_number,
)


class ResidualConv2d(nn.Conv2d):
    """x + conv(relu(x)), with a convolution that keeps size and channels and starts with zeros.

    At first it computes x. It learns from the first step on, because the gradient of a zero kernel
    is not zero (He et al. 2016, "Identity mappings in deep residual networks").

    Args:
        channels: of the input and of the output.
        kernel_size: an odd number.

    Shape:
        (N, channels, H, W) to the same.
    """

    def __init__(self, channels: int, kernel_size: int = 3) -> None:
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2)

    def reset_parameters(self) -> None:
        """Set all numbers to zero, so that the layer returns its input."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(F.relu(x))


MOST_DEPTH = 1000


@memory_in_words("give a smaller depth")
def deepen(model: nn.Module, name: str, depth: int = 2) -> nn.Module:
    """Return a copy of a network with `depth` convolutions in the place of one.

    It computes the same: depth − 1 convolutions of 3×3 follow, each of which adds its result to its
    input and starts with zeros (`ResidualConv2d`). The layer is then `<name>.conv`, the others are
    `<name>.extra1`, ... Chen, Goodfellow and Shlens 2016, "Net2Net: Accelerating learning via
    knowledge transfer", use identity kernels instead, which only work where a ReLU follows.

    Args:
        name: of an `nn.Conv2d`, as in `model.get_submodule(name)`.
        depth: number of convolutions in the result; 1 changes nothing.

    Raises:
        CourseError: if there is no convolution of this name, or for a depth below 1 or over
            `MOST_DEPTH`.
        OutOfMemory: if the layers need more memory than is free.
    """
    found = dict(model.named_modules()).get(name)
    if not isinstance(found, nn.Conv2d) or not name:
        raise CourseError(f"{name!r} is not an nn.Conv2d inside the network.")
    whole_number("depth", depth, 1, MOST_DEPTH)
    weight = next(found.parameters())
    added = (depth - 1) * 9 * found.out_channels**2 * weight.element_size()
    require_memory(added, f"depth={depth:,}", "give a smaller one", weight.device)
    model = copy.deepcopy(model)
    if depth == 1:
        return model
    conv = model.get_submodule(name)
    layers = nn.Sequential()
    layers.conv = conv
    with private_random_numbers():
        for number in range(1, depth):
            layers.add_module(f"extra{number}", ResidualConv2d(conv.out_channels).to(conv.weight))
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layers.train(conv.training))
    return model
