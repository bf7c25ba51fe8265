"""Convolutions that must not train with the channels last in memory.

oneDNN, with which PyTorch 2.14.1 computes on CPUs, has a fault: the gradient of the weights of a
1×1 convolution with a stride writes behind the end of its memory, if the channels are last and
there are fewer input channels than numbers in a register of the processor: 8 with AVX2 (most
laptops), 16 with AVX-512. Some steps later the process dies, without an exception. Forward passes,
the plain layout, more channels, groups, other kernels, transposed convolutions and one or three
dimensions are sound. `python -m tests.stress.crashes` looks for such settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

FEWEST_CHANNELS = 16
"""With so many input channels a 1×1 convolution with a stride is safe in each layout."""


def unsafe_with_channels_last(model: nn.Module) -> str:
    """Return the name of a layer that makes training with the channels last unsafe; "" if none.

    It only looks at the layers; `UnsafeCalls` finds what a `forward` calls itself.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d) and _unsafe(
            layer.in_channels, layer.kernel_size, layer.stride
        ):
            return name or type(layer).__name__
    return ""


class UnsafeCalls(TorchDispatchMode):
    """Watches the operations inside a `with` block for unsafe convolutions.

    Attributes:
        found: Whether one of them would be unsafe with the channels last.
    """

    found = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is torch.ops.aten.convolution.default and not args[6]:  # not a transposed one
            image, weight, stride = args[0], args[1], args[3]
            self.found |= _unsafe(image.shape[1], weight.shape[2:], stride)
        return func(*args, **(kwargs or {}))


def plain_layout(tensor: Tensor) -> Tensor:
    """Return a tensor in the plain layout; one with other than 4 axes stays unchanged."""
    # .to, not .contiguous: with one channel .contiguous sees no difference and keeps the strides,
    # and the convolution then takes the slow way.
    return tensor.to(memory_format=torch.contiguous_format) if tensor.dim() == 4 else tensor


def _unsafe(channels: int, kernel: Sequence[int], stride: Sequence[int]) -> bool:
    few = channels < FEWEST_CHANNELS
    return few and len(kernel) == 2 and set(kernel) == {1} and max(stride) > 1
