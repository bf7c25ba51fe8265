"""The receptive field: the input pixels on which one number of a feature map depends.

Source: A. Araujo, W. Norris and J. Sim, "Computing receptive fields of convolutional neural
networks", Distill (2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from course_utils.conv.impossible import ImpossibleSetting
from course_utils.conv.rules import WINDOW
from course_utils.conv.window import Size, axes_of, together, whole

# Each number of their output depends only on the number at the same place.
_PIXEL_BY_PIXEL = (
    *(nn.BatchNorm2d, nn.Dropout, nn.Dropout2d, nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU),
    *(nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh),
    *(nn.Sigmoid, nn.Tanh, nn.Softplus),
)


@dataclass(frozen=True)
class ReceptiveField:
    """The window of the input that one number of a feature map sees, in pixels of the input.

    Each attribute is one number if height and width agree, otherwise a pair (height, width).

    Attributes:
        size: of the window.
        jump: distance from one window to the next: the product of all strides.
        start: first pixel of the first window; below 0 if it begins in the padding.
    """

    size: Size = 1
    jump: Size = 1
    start: Size = 0

    @property
    def centre(self) -> float | tuple[float, float]:
        """The first window's centre, start + (size − 1) / 2; 0 is the first pixel's centre."""
        starts, sizes = _pair(self.start), _pair(self.size)
        return together([a + (b - 1) / 2 for a, b in zip(starts, sizes, strict=True)])

    def then(
        self, kernel_size: Size, stride: Size = 1, dilation: Size = 1, padding: Size = 0
    ) -> ReceptiveField:
        """Return the receptive field after one more window.

        size += d·(k − 1) · jump,   start −= p · jump,   jump *= s
        """
        numbers = (self.size, self.jump, self.start, kernel_size, stride, dilation, padding)
        axes = [
            (size + d * (k - 1) * jump, jump * s, start - p * jump)
            for size, jump, start, k, s, d, p in zip(*map(_pair, numbers), strict=True)
        ]
        return ReceptiveField(*map(together, zip(*axes, strict=True)))

    def union(self, other: ReceptiveField) -> ReceptiveField | None:
        """Return the receptive field of the sum of two maps; None if their jumps differ."""
        if self.jump != other.jump:
            return None
        windows = zip(*map(_pair, (self.start, self.size, other.start, other.size)), strict=True)
        axes = [(max(a + m, b + n) - min(a, b), min(a, b)) for a, m, b, n in windows]
        size, start = map(together, zip(*axes, strict=True))
        return ReceptiveField(size, self.jump, start)

    def __str__(self) -> str:
        return "{}×{}".format(*_pair(self.size))


def receptive_field(layers: Sequence[Any] | nn.Module) -> ReceptiveField:
    """Return the receptive field of the last output of a stack of layers.

        size = 1 + Σ_l d_l · (k_l − 1) · Π_{i<l} s_i,     jump = Π_l s_l

    (Araujo et al. 2019, equation 2, with d·(k − 1) + 1 as the kernel's size.)

    >>> receptive_field([(3, 1, 1), (3, 1, 1)]).size  # two 3×3 see as much as one 5×5
    5

    Args:
        layers: tuples (kernel_size, stride, dilation, padding), whose last three may be left out
            (1, 1 and 0), or modules: convolutions, pooling, and layers that work pixel by pixel.
            For whole networks with branches, see `layer_table`.

    Raises:
        ImpossibleSetting: for a module without a window, such as `nn.Linear`.
    """
    field = ReceptiveField()
    for layer in [layers] if isinstance(layers, nn.Module) else layers:
        for window in windows_of(layer) if isinstance(layer, nn.Module) else [layer]:
            field = field.then(*window)
    return field


def windows_of(layer: nn.Module) -> Iterator[tuple]:
    """Yield (kernel_size, stride, dilation, padding) of each window in `layer`."""
    match layer:
        case nn.Conv2d():
            settings = {name: getattr(layer, name) for name in WINDOW}
            before = tuple(axis.before for axis in axes_of((1, 1), settings))
            yield layer.kernel_size, layer.stride, layer.dilation, before
        case nn.MaxPool2d():
            yield layer.kernel_size, layer.stride, layer.dilation, layer.padding
        case nn.AvgPool2d():
            yield layer.kernel_size, layer.stride, 1, layer.padding
        case nn.Sequential():
            for inner in layer:
                yield from windows_of(inner)
        case _ if not isinstance(layer, _PIXEL_BY_PIXEL):
            raise ImpossibleSetting(
                f"{type(layer).__name__} has no window that slides over the picture: only"
                " convolutions, pooling and layers that work pixel by pixel have one."
            )


def _pair(value: Size) -> tuple[int, ...]:
    return whole("each number of a receptive field", value, 2)
