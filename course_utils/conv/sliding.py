"""A kernel that slides over a picture, one window at a time.

Deep learning calls it a convolution, but what `nn.Conv2d` computes is *cross-correlation*:

    (X ⋆ K)(i, j) = Σ_m Σ_n X(s·i + d·m, s·j + d·n) · K(m, n)

In the *convolution* of mathematics the kernel is flipped, top to bottom and left to right:

    (X * K)(i, j) = Σ_m Σ_n X(s·i + d·m, s·j + d·n) · K(k_h − 1 − m, k_w − 1 − n)

The results agree if flipping does not change the kernel (a blur), and a network that learns its
kernels can learn either form. Only convolution commutes, X * K = K * X (Goodfellow, Bengio and
Courville, "Deep Learning", 2016, section 9.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_utils.conv.arithmetic import conv2d_shape
from course_utils.conv.impossible import ImpossibleSetting
from course_utils.conv.window import Size, axes_of

MODES = ("cross-correlation", "convolution")


@dataclass(frozen=True)
class WindowStep:
    """One window and its output number.

    Attributes:
        index: number of the window, counted row by row from 0.
        row, col: place of the output number.
        rows, cols: rows and columns of the padded picture under the kernel.
        patch: the picture's values under the kernel, (k_h, k_w).
        kernel: the kernel's values as multiplied: flipped for a convolution.
        products: patch · kernel, element by element.
        sum: sum of the products: the output number.
    """

    index: int
    row: int
    col: int
    rows: tuple[int, ...]
    cols: tuple[int, ...]
    patch: Tensor
    kernel: Tensor
    products: Tensor
    sum: float


class SlidingSteps(Sequence[WindowStep]):
    """All steps of one kernel over one picture: `steps[t]` is window t, counted row by row.

    Each `WindowStep` is computed on access.

    Args:
        image: (H, W), a tensor or anything that `torch.as_tensor` accepts.
        kernel: (k_h, k_w).
        stride, padding, dilation: as in `nn.Conv2d`; the padding is zeros.
        mode: "cross-correlation", which `nn.Conv2d` computes, or "convolution", which flips the
            kernel.

    Attributes:
        padded: the picture with zeros around it.
        padding: rows and columns of zeros: ((top, bottom), (left, right)).
        kernel: as multiplied: flipped for a convolution.
        output: the whole output map, (H_out, W_out).
        stride, dilation: (height, width).

    Raises:
        ImpossibleSetting: if no window fits, or an argument is out of its range.
    """

    def __init__(
        self,
        image: Any,
        kernel: Any,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        mode: str = "cross-correlation",
    ):
        self.image, kernel = _matrix("image", image), _matrix("kernel", kernel)
        if mode not in MODES:
            raise ImpossibleSetting(
                f"mode = {mode!r} is not known.",
                f"mode is one of: {MODES[0]!r}, {MODES[1]!r}",
                f"{mode!r} is none of them",
                {"mode": MODES[0]},
            )
        self.kernel = kernel.flip(0, 1) if mode == "convolution" else kernel
        settings = dict(
            kernel_size=tuple(kernel.shape), stride=stride, padding=padding, dilation=dilation
        )
        conv2d_shape((1, *self.image.shape), 1, **settings)  # raises an error if no window fits
        y, x = axes_of(self.image.shape, settings)
        self.stride, self.dilation = (y.s, x.s), (y.d, x.d)
        self.padding = ((y.before, y.after), (x.before, x.after))
        self.padded = torch.nn.functional.pad(self.image, (x.before, x.after, y.before, y.after))
        # (H_out, W_out, k_h, k_w): a view of the padded picture, not a copy.
        self.windows = self.padded.unfold(0, y.span, y.s).unfold(1, x.span, x.s)
        self.windows = self.windows[:, :, :: y.d, :: x.d]
        self.output = (self.windows * self.kernel).sum((2, 3))

    def __len__(self) -> int:
        return self.output.numel()

    def __getitem__(self, index: int) -> WindowStep:
        if not -len(self) <= index < len(self):
            raise IndexError(f"There are {len(self)} windows, numbered from 0, so not {index}.")
        index %= len(self)
        row, col = divmod(index, self.output.shape[1])
        (k_h, k_w), (s_h, s_w), (d_h, d_w) = self.kernel.shape, self.stride, self.dilation
        patch = self.windows[row, col]
        rows = tuple(row * s_h + m * d_h for m in range(k_h))
        cols = tuple(col * s_w + n * d_w for n in range(k_w))
        products, total = patch * self.kernel, self.output[row, col].item()
        return WindowStep(index, row, col, rows, cols, patch, self.kernel, products, total)


class ChannelSteps:
    """A kernel that slides over an image with several channels: one output map of `nn.Conv2d`.

    The kernel has a grid for each channel. Each grid slides over its own channel, and the output is
    the sum of all of them, plus the bias.

    Args:
        image: (C, H, W).
        kernel: (C, k_h, k_w).
        bias: added to every output number.
        settings: stride, padding and dilation, as for `SlidingSteps`.

    Attributes:
        channels: the steps of each channel.
        output: (H_out, W_out).

    Raises:
        ImpossibleSetting: if image and kernel have other numbers of channels, or as `SlidingSteps`.
    """

    def __init__(self, image: Any, kernel: Any, bias: float = 0.0, **settings: Size | str):
        image, kernel = torch.as_tensor(image), torch.as_tensor(kernel)
        if image.ndim != 3 or kernel.ndim != 3 or len(image) != len(kernel) or not len(image):
            raise ImpossibleSetting(
                "The kernel needs a grid for each channel of the image: (C, H, W) and (C, k_h, k_w)"
                f", not {tuple(image.shape)} and {tuple(kernel.shape)}."
            )
        both = zip(image, kernel, strict=True)
        self.channels = tuple(SlidingSteps(one, grid, **settings) for one, grid in both)
        self.bias = float(bias)
        self.output = torch.stack([steps.output for steps in self.channels]).sum(0) + self.bias


def cross_correlate(
    image: Any, kernel: Any, stride: Size = 1, padding: Size | str = 0, dilation: Size = 1
) -> Tensor:
    """Return the cross-correlation of an image and a kernel, (H_out, W_out), as `nn.Conv2d` does.

    Args:
        image: (H, W), or (C, H, W) with a kernel (C, k_h, k_w): then the sum over the channels.

    Raises:
        ImpossibleSetting: if no window fits, or an argument is out of its range.
    """
    if torch.as_tensor(image).ndim == 3:
        settings = {"stride": stride, "padding": padding, "dilation": dilation}
        return ChannelSteps(image, kernel, **settings).output
    return SlidingSteps(image, kernel, stride, padding, dilation).output


def convolve(
    image: Any, kernel: Any, stride: Size = 1, padding: Size | str = 0, dilation: Size = 1
) -> Tensor:
    """Return the convolution of mathematics, (H_out, W_out): the kernel is flipped.

    With stride 1 and no padding it equals `scipy.signal.convolve2d(image, kernel, "valid")` for a
    kernel that is no larger than the picture.

    Raises:
        ImpossibleSetting: if no window fits, or an argument is out of its range.
    """
    return SlidingSteps(image, kernel, stride, padding, dilation, mode="convolution").output


def _matrix(name: str, values: Any) -> Tensor:
    matrix = torch.as_tensor(values)
    if matrix.ndim != 2 or matrix.numel() == 0:
        raise ImpossibleSetting(
            f"The {name} must have the shape (H, W), not {tuple(matrix.shape)}."
        )
    return matrix if matrix.is_floating_point() else matrix.float()
