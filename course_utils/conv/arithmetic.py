"""The arithmetic of convolution and pooling: output sizes, parameters, multiply-adds.

The output size of a convolution or a pooling, in each direction (see `output_size`):

    n_out = ⌊(n + 2·p − d·(k − 1) − 1) / s⌋ + 1

Symbols, here and in every error: n is the input size (H height, W width), k kernel size, s stride,
p padding, d dilation, g groups, C_in and C_out the numbers of channels, N the number of pictures in
a batch. As in `torch.nn.Conv2d`, an argument is one number for both directions or a pair (height,
width), and `padding` may be 'same' or 'valid'. The code of the formula is `Axis` in `window.py`.

The functions accept and refuse the same arguments as PyTorch's layers, without building a layer.
There is one difference: a layer without input channels is possible in PyTorch, but an error here.

Sources: V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning" (2016);
the documentation of `torch.nn.Conv2d` and `torch.nn.MaxPool2d`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from course_utils.conv.impossible import Broken, ImpossibleSetting, Settings, require
from course_utils.conv.rules import at_least_one, channel_rules, range_rules, window_rules
from course_utils.conv.window import Size, axes_of, is_pair, together, whole


def output_size(
    size: Size,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Size:
    """Return the output size of a window that slides over an input of `size` pixels.

        n_out = ⌊(n + 2·p − d·(k − 1) − 1) / s⌋ + 1

    (Dumoulin & Visin 2016, relationship 15.) With `ceil_mode`, which only pooling has, ⌈ ⌉ replaces
    ⌊ ⌋, and a last window that would start in the padding after the input is dropped. With
    padding='same', n_out = n; 'valid' means p = 0.

    Args:
        size: of the input in pixels: (H, W), or one number; then the other arguments are also one
            number each.

    Returns:
        One number if `size` is one number, else a pair.

    Raises:
        ImpossibleSetting: if no window fits, or an argument is out of its range.
    """
    settings = _window(kernel_size, stride, padding, dilation, ceil_mode)
    sizes = _sizes(size)
    require(lambda s: window_rules(sizes, s), settings)
    out = tuple(axis.output for axis in axes_of(sizes, settings))
    return out if len(out) > 1 else out[0]


def conv2d_shape(
    input_shape: Sequence[int],
    out_channels: int,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    in_channels: int | None = None,
    padding_mode: str = "zeros",
) -> tuple[int, ...]:
    """Return the output shape of `nn.Conv2d` with these arguments for an input of `input_shape`.

    Args:
        input_shape: (C_in, H, W) or (N, C_in, H, W).
        in_channels: of the layer; by default the input's number of channels.

    Returns:
        (C_out, H_out, W_out) or (N, C_out, H_out, W_out).

    Raises:
        ImpossibleSetting: whenever `nn.Conv2d` or its call would fail.
    """
    *batch, channels, height, width = image_shape(input_shape)
    sizes = (height, width)
    settings = _window(kernel_size, stride, padding, dilation) | {
        "in_channels": channels if in_channels is None else in_channels,
        "out_channels": out_channels,
        "groups": groups,
        "padding_mode": padding_mode,
    }

    def rules(s: Settings) -> Iterator[Broken]:
        yield from channel_rules(s, channels)
        yield from window_rules(sizes, s)

    require(rules, settings)
    return (*batch, out_channels, *(axis.output for axis in axes_of(sizes, settings)))


def pool2d_shape(
    input_shape: Sequence[int],
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> tuple[int, ...]:
    """Return the output shape of `nn.MaxPool2d`, and with dilation 1 also of `nn.AvgPool2d`.

    The formula is that of `output_size`. By default the stride is the kernel size. The padding is
    at most half the kernel size, so that no window lies in the padding alone.

    Args:
        input_shape: (C, H, W) or (N, C, H, W).

    Returns:
        (C, H_out, W_out) or (N, C, H_out, W_out).

    Raises:
        ImpossibleSetting: whenever the layer or its call would fail.
    """
    *batch, channels, height, width = image_shape(input_shape)
    sizes = (height, width)
    settings = _window(kernel_size, stride, padding, dilation, ceil_mode)
    require(lambda s: window_rules(sizes, s, pooling=True), settings)
    return (*batch, channels, *(axis.output for axis in axes_of(sizes, settings)))


def size_formula(
    size: Size,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> str:
    """Return the formula of `output_size` with numbers in place of its symbols.

    >>> size_formula(28, 3, padding=1)
    '⌊(28 + 2·1 − 1·(3 − 1) − 1) / 1⌋ + 1 = 28'

    If height and width differ, the text has both. For a window that does not fit, the result in the
    text is below 1.

    Raises:
        ImpossibleSetting: if an argument is out of its range.
    """
    settings = _window(kernel_size, stride, padding, dilation, ceil_mode)
    settings["padding_mode"] = "reflect"  # because it allows padding below 0
    sizes = _sizes(size)
    require(lambda s: range_rules(s, len(sizes)), settings)
    texts = [axis.filled for axis in axes_of(sizes, settings)]
    return texts[0] if len(set(texts)) == 1 else f"H: {texts[0]}, W: {texts[1]}"


def same_padding(kernel_size: Size, dilation: Size = 1) -> Size:
    """Return the padding with which stride 1 keeps the input's size: p = d·(k − 1) / 2.

    Raises:
        ImpossibleSetting: if d·(k − 1) is odd (k even and d odd): then one side needs one row more
            than the other, which only padding='same' can do.
    """
    settings = _window(kernel_size, 1, "same", dilation)

    def rules(s: Settings) -> Iterator[Broken]:
        yield from range_rules(s, 2)
        axes = axes_of((1, 1), s)
        odd = tuple(axis.k - (axis.padding % 2) for axis in axes)
        for axis in axes:
            if axis.padding % 2:
                yield Broken(
                    f"A kernel of {axis.k} needs one row more on one side than on the other:"
                    " use padding='same', because no number can do this.",
                    "d·(k − 1) is even",
                    f"{axis.d}·({axis.k} − 1) = {axis.padding} is odd",
                    ({"kernel_size": odd if is_pair(s["kernel_size"]) else min(odd)},),
                )

    require(rules, settings)
    return together([axis.before for axis in axes_of((1, 1), settings)])


def conv2d_parameters(
    in_channels: int, out_channels: int, kernel_size: Size, groups: int = 1, bias: bool = True
) -> int:
    """Count the parameters of `nn.Conv2d`: C_out · (C_in / g) · k_h · k_w, and C_out for the bias.

    Raises:
        ImpossibleSetting: if g does not divide both numbers of channels.
    """
    settings = dict(
        in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size, groups=groups
    )

    def rules(s: Settings) -> Iterator[Broken]:
        yield from channel_rules(s)
        yield from at_least_one(s, "kernel_size", 2)

    require(rules, settings)
    per_kernel = in_channels // groups * math.prod(whole("kernel_size", kernel_size, 2))
    return out_channels * (per_kernel + bool(bias))


def conv2d_multiply_adds(
    output_shape: Sequence[int], in_channels: int, kernel_size: Size, groups: int = 1
) -> int:
    """Count the multiply-adds for one picture: C_out · H_out · W_out · (C_in / g) · k_h · k_w.

    A multiply-add is one product added to a sum; the bias is not counted.

    Args:
        output_shape: (C_out, H_out, W_out) or (N, C_out, H_out, W_out); N has no effect.

    Raises:
        ImpossibleSetting: if g does not divide both numbers of channels.
    """
    channels, height, width = image_shape(output_shape)[-3:]
    weights = conv2d_parameters(in_channels, channels, kernel_size, groups, bias=False)
    return weights * height * width


def middle_overlap(old: int, new: int) -> tuple[slice, slice]:
    """Return the rows that two kernels of `old` and `new` rows share if their centres match.

    The centre of an even kernel is the upper left one of two, as with padding='same'.

    Returns:
        The rows of the new kernel, and the same rows in the old one.

    >>> middle_overlap(3, 5), middle_overlap(5, 3)
    ((slice(1, 4, None), slice(0, 3, None)), (slice(0, 3, None), slice(1, 4, None)))
    """
    shift = (new - 1) // 2 - (old - 1) // 2
    start, stop = max(0, shift), min(new, old + shift)
    return slice(start, stop), slice(start - shift, stop - shift)


def image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return `shape` if it is (C, H, W) or (N, C, H, W) with at least one channel and pixel.

    Raises:
        ImpossibleSetting: if it is not such a shape.
    """
    shape = tuple(shape)
    if len(shape) not in (3, 4) or min(shape[-3:]) < 1 or min(shape) < 0:
        raise ImpossibleSetting(f"A picture's shape is (C, H, W) or (N, C, H, W), not {shape}.")
    return shape


def _sizes(size: Size) -> tuple[int, ...]:
    sizes = whole("size", size, 2 if is_pair(size) else 1)
    if min(sizes) < 1:
        raise ImpossibleSetting(f"The input must have at least one pixel, but its size is {size}.")
    return sizes


def _window(*values: Size | str | bool | None) -> Settings:
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    return dict(zip(names, values, strict=False))
