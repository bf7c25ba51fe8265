"""Exercises of notebook 02_1: the convolution itself, its sizes, kernels, receptive field."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Case, Wrong, shown
from course_utils.exercises.base import exercise


def _correlated(image: Tensor, kernel: Tensor, stride: int = 1) -> Tensor:
    return nn.functional.conv2d(image[None, None], kernel[None, None], stride=stride)[0, 0]


def _check_cross_correlate(answer: Answer) -> str:
    generator = torch.Generator().manual_seed(11)
    sizes = [
        ((5, 5), (3, 3), 1, "the simplest case"),
        ((5, 8), (3, 3), 1, "a picture that is not square"),
        ((6, 7), (2, 4), 1, "a kernel that is not square"),
        ((4, 3), (4, 3), 1, "a kernel as large as the picture"),
        ((7, 7), (3, 3), 2, "stride 2"),
        ((8, 9), (3, 2), 2, "stride 2 with a last window that does not fit"),
        ((11, 10), (3, 3), 3, "stride 3"),
        ((6, 6), (1, 1), 2, "kernel 1 × 1 with stride 2"),
    ]
    for picture_size, kernel_size, stride, what in sizes:
        image = torch.randn(picture_size, generator=generator)
        kernel = torch.randn(kernel_size, generator=generator)
        where = f"{what}: for a picture {picture_size}, a kernel {kernel_size} and stride {stride}"
        got = answer(image, kernel, stride, where=where)
        want = _correlated(image, kernel, stride)
        because, read = "", answers.tensor(got, where)
        if answers.alike(read, _correlated(image, kernel.flip(0, 1), stride)):
            because = "the kernel was flipped, which is true convolution"
        elif stride > 1 and answers.alike(
            read, _correlated(image, kernel)[: want.shape[0], : want.shape[1]]
        ):
            because = f"window number i starts at i · stride = {stride} · i"
        answers.compare_tensors(got, want, where, because)
    return "The same numbers as torch.nn.functional.conv2d."


@exercise(
    "02_1.cross_correlate",
    check=_check_cross_correlate,
    hints=(
        "How many windows fit below each other? First make an output of that size with "
        "torch.zeros, then fill it with two loops.",
        "(H - h) // stride + 1 windows fit below each other. Window (i, j) starts at row "
        "i * stride and column j * stride.",
        "A window is image[top : top + h, left : left + w]. Multiply it by the kernel, number by "
        "number, and add up.",
    ),
)
def cross_correlate(image: torch.Tensor, kernel: torch.Tensor, stride: int = 1) -> torch.Tensor:
    """Compute the cross-correlation of a picture (H, W) with a kernel (h, w), without padding.

    Each number of the output is the sum of the products of the kernel with one window of the
    picture. The window moves by `stride` pixels and stays inside the picture.
    """
    # As many outputs as places where the window fits.
    height, width = kernel.shape
    rows = (image.shape[0] - height) // stride + 1
    columns = (image.shape[1] - width) // stride + 1
    output = torch.zeros(rows, columns)
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            window = image[top : top + height, left : left + width]
            output[i, j] = (window * kernel).sum()
    return output


def _check_convolve(answer: Answer) -> str:
    generator = torch.Generator().manual_seed(12)
    for picture_size, kernel_size, what in [
        ((5, 5), (3, 3), "a square kernel"),
        ((6, 9), (3, 3), "a picture that is not square"),
        ((6, 8), (1, 3), "a kernel of one row"),
        ((6, 8), (3, 1), "a kernel of one column"),
        ((7, 8), (2, 4), "a kernel that is not square"),
    ]:
        image = torch.randn(picture_size, generator=generator)
        kernel = torch.randn(kernel_size, generator=generator)
        where = f"{what}: for a picture {picture_size} and a kernel {kernel_size}"
        got = answer(image, kernel, _correlated, where=where)
        read = answers.tensor(got, where)
        mistakes = [
            (kernel, "the kernel was not flipped at all: this is the cross-correlation"),
            (kernel.flip(0), "only the rows were flipped: flip the columns as well"),
            (kernel.flip(1), "only the columns were flipped: flip the rows as well"),
            (kernel.T, "the kernel was transposed: flip it instead"),
            (torch.rot90(kernel), "the kernel was rotated by 90°: rotate it by 180°"),
            (torch.rot90(kernel, -1), "the kernel was rotated by 90°: rotate it by 180°"),
        ]
        want = _correlated(image, kernel.flip(0, 1))
        for used, because in mistakes:
            if answers.alike(read, _correlated(image, used)) and not answers.alike(read, want):
                raise Wrong(f"{where} {because}")
        answers.compare_tensors(got, want, where)
    return "Both axes flipped: that is F∗G. A network learns its kernel, so PyTorch skips the flip."


@exercise(
    "02_1.convolve",
    check=_check_convolve,
    hints=(
        "In ΣΣ F(m, n) · G(i − m, j − n) the kernel is read backwards. Along which axes?",
        "kernel.flip(0) reverses the rows, kernel.flip(1) the columns. Both are needed.",
        "Give the flipped kernel to cross_correlate; flip takes several dimensions at once.",
    ),
)
def convolve(image: torch.Tensor, kernel: torch.Tensor, cross_correlate) -> torch.Tensor:
    """Compute the true convolution of a picture (H, W) with a kernel (h, w).

    Use cross_correlate(image, kernel), which is given. Only places where the whole kernel fits
    count.
    """
    # Reading the kernel backwards along both axes is the same as turning it by half a turn first.
    return cross_correlate(image, kernel.flip(0, 1))


def _check_output_map(answer: Answer) -> str:
    generator = torch.Generator().manual_seed(17)
    sizes = [
        ((1, 5, 5), (3, 3), 0.0, "one channel, no bias"),
        ((1, 5, 5), (3, 3), 2.0, "one channel with a bias"),
        ((3, 6, 7), (3, 3), 0.0, "three channels"),
        ((3, 6, 7), (2, 3), -1.5, "three channels, a kernel that is not square, and a bias"),
        ((8, 4, 4), (1, 1), 0.5, "eight channels, kernel 1 × 1"),
    ]
    for size, kernel_size, bias, what in sizes:
        image = torch.randn(size, generator=generator)
        kernel = torch.randn(size[0], *kernel_size, generator=generator)
        where = f"{what}: for an image {size} and a kernel {tuple(kernel.shape)}"
        got = answer(image, kernel, bias, _correlated, where=where)
        read = answers.tensor(got, where)
        parts = torch.stack([_correlated(*pair) for pair in zip(image, kernel, strict=True)])
        want = parts.sum(0) + bias
        mistakes = (
            (parts + bias, "there is one output map, not one for each channel: add them up"),
            (parts.sum(0) + len(parts) * bias, "the bias is added once, not for each channel"),
            (parts.sum(0), "the bias is missing"),
            (parts.mean(0) + bias, "the channels are added up, not averaged"),
        )
        for wrong, because in mistakes:
            if answers.alike(read, wrong) and not answers.alike(read, want):
                raise Wrong(f"{where} {because}")
        answers.compare_tensors(got, want, where)
    return "One of the output maps of nn.Conv2d; a layer has such a kernel and bias for each."


@exercise(
    "02_1.output_map",
    check=_check_output_map,
    hints=(
        "image[c] and kernel[c] are the grids of channel c. What can you do with these two?",
        "Each channel gives one map of the same size. Add them up; then comes the bias.",
        "sum() of Python adds tensors, too, and zip(image, kernel) goes over both at once.",
    ),
)
def output_map(
    image: torch.Tensor, kernel: torch.Tensor, bias: float, cross_correlate
) -> torch.Tensor:
    """Compute one output map of nn.Conv2d for an image with several channels, without padding.

    image: (C, H, W). kernel: (C, h, w), a grid for each channel. bias: one number. Use
    cross_correlate(channel, grid), which is given and takes one channel (H, W) and one grid (h, w).
    """
    # Each grid reads its own channel only. What the channels have to do with each other is in the
    # sum: the result is large where all of them respond. The bias is there once for each map.
    maps = [cross_correlate(channel, grid) for channel, grid in zip(image, kernel, strict=True)]
    return sum(maps) + bias


def _size(n: int, k: int, s: int, p: int, d: int) -> int:
    line, kernel = torch.zeros(1, 1, n), torch.zeros(1, 1, k)
    return nn.functional.conv1d(line, kernel, stride=s, padding=p, dilation=d).shape[-1]


def _check_output_size(answer: Answer) -> str:
    cases = [
        Case((28, 3, 1, 0, 1), "no padding", "26 windows of 3 start at 0, 1, …, 25"),
        Case((28, 1, 1, 0, 1), "kernel 1", "a window of one pixel fits everywhere"),
        Case((28, 3, 2, 0, 1), "stride 2 on an even size", "only whole windows count: round down"),
        Case((28, 5, 1, 2, 1), "padding", "p pixels are added on both sides"),
        Case((28, 4, 1, 0, 1), "an even kernel"),
        Case((7, 7, 1, 0, 1), "a kernel as large as the picture", "one window fits"),
        Case((28, 3, 1, 0, 2), "dilation 2", "the kernel then covers d · (k − 1) + 1 = 5 pixels"),
        Case((29, 3, 3, 1, 2), "stride, padding and dilation at once"),
    ]
    draw = random.Random(13)
    while len(cases) < 60:
        n, k, d = draw.randint(1, 64), draw.randint(1, 7), draw.randint(1, 3)
        s, p = draw.randint(1, 4), draw.randint(0, 3)
        if n + 2 * p >= d * (k - 1) + 1:  # only settings that PyTorch accepts
            cases.append(Case((n, k, s, p, d)))
    answers.compare_numbers(
        answer, cases, _size, "size {}, kernel {}, stride {}, padding {} and dilation {}"
    )
    return f"For all {len(cases)} settings this is the size that PyTorch computes."


@exercise(
    "02_1.output_size",
    check=_check_output_size,
    hints=(
        "Take stride 1 first: at how many places can a window of k pixels start in n + 2p pixels?",
        "With dilation d the window covers d · (k − 1) + 1 pixels. With stride s only every s-th "
        "start counts, beginning with the first one.",
        "How many steps of s pixels can the window take from its first place to its last one? Add "
        "the first place itself.",
    ),
)
def output_size(n: int, k: int, s: int = 1, p: int = 0, d: int = 1) -> int:
    """Compute the side of a convolution's output in pixels.

    n: side of the picture, k: side of the kernel, s: stride, p: padding on each side, d: dilation.
    """
    # The kernel spans d · (k − 1) + 1 pixels. The last window starts where it still fits, so there
    # is room for so many single steps behind the first window; every s-th of them counts.
    room = n + 2 * p - (d * (k - 1) + 1)
    return room // s + 1


def _check_same_padding(answer: Answer) -> str:
    cases = [
        Case((3, 1), "kernel 3", "one pixel is lost on each side"),
        Case((1, 1), "kernel 1", "no pixel is lost at the border"),
        Case((7, 1), "kernel 7", "three pixels are lost on each side"),
        Case((3, 2), "dilation 2", "the kernel covers d · (k − 1) + 1 = 5 pixels"),
        Case((5, 3), "dilation 3", "the kernel covers d · (k − 1) + 1 = 13 pixels"),
        Case((1, 4), "kernel 1 with dilation", "one pixel has no gaps"),
    ]
    cases += [Case((k, d)) for k in (9, 11, 13) for d in (1, 2, 5)]
    # Measured with PyTorch: half of what is lost without padding.
    answers.compare_numbers(
        answer, cases, lambda k, d: (64 - _size(64, k, 1, 0, d)) // 2, "kernel {} and dilation {}"
    )
    return "This is the padding that padding='same' chooses."


@exercise(
    "02_1.same_padding",
    check=_check_same_padding,
    hints=(
        "With stride 1 and without padding, how many pixels does the output lose?",
        "It loses d · (k − 1) pixels, half of them on each side.",
        "Padding p adds 2p pixels, and they must make up for the loss.",
    ),
)
def same_padding(k: int, d: int = 1) -> int:
    """Compute the padding on each side with which a convolution of stride 1 keeps the size.

    k: side of the kernel, an odd number; d: dilation.
    """
    # Without padding the output has d · (k − 1) pixels less; half of them are added on each side.
    return d * (k - 1) // 2


def _check_edge_kernel(kernel: Any) -> str:
    if callable(kernel) and not isinstance(kernel, Tensor):
        raise answers.wrong_kind(kernel, "the kernel itself")
    wanted = "3 rows of 3 numbers"
    read = answers.tensor(kernel, wanted=wanted)
    while read.dim() > 2 and read.shape[0] == 1:  # nn.Conv2d's shape (1, 1, 3, 3) is also right
        read = read[0]
    if read.shape != (3, 3):
        raise answers.wrong_kind(kernel, wanted)
    if not bool(read.any()):
        raise Wrong("a kernel of zeros finds nothing: its output on a dark→bright edge is 0")
    flat = _correlated(torch.ones(3, 3).double(), read).item()
    if abs(flat) > 1e-5:
        raise Wrong(
            f"on an area that is 1 everywhere its output is {shown(flat)}, it should be 0: "
            "the sum of its nine numbers must be 0"
        )
    step = torch.zeros(3, 6).double()
    step[:, 3:] = 1
    vertical = _correlated(step, read)
    for picture, what in [(step.T, "dark above, bright below"), (1 - step.T, "bright above")]:
        horizontal = _correlated(picture.contiguous(), read)
        worst = horizontal.flatten()[horizontal.abs().argmax()].item()
        if abs(worst) > 1e-5:
            turned = vertical.abs().max() < 1e-5
            raise Wrong(
                f"on a horizontal edge ({what}) its output is {shown(worst)}, it should be 0"
                f"{' (transposed, your kernel would be right)' if turned else ''}"
            )
    lowest, highest = vertical.min().item(), vertical.max().item()
    if max(abs(lowest), highest) <= 1e-5:
        raise Wrong("on a vertical edge its output is 0: all its columns have the same sum")
    if highest <= 1e-5:
        raise Wrong(
            f"on a vertical edge, dark left and bright right, its output is {shown(lowest)}, it "
            "should be positive (nn.Conv2d does not flip the kernel)"
        )
    if lowest < -1e-5:
        raise Wrong(
            f"around one dark→bright edge its output is {shown(highest)} and {shown(lowest)}, it "
            "should not be negative"
        )
    return f"Its output is {shown(highest)} on a dark→bright edge, and 0 on constant areas."


@exercise(
    "02_1.edge_kernel",
    check=_check_edge_kernel,
    is_value=True,
    hints=(
        "The output should be large where the right part of the window is brighter than the left "
        "part. Which signs do the columns need?",
        "Negative numbers on the left, positive ones on the right. If the sum of each row is 0, "
        "the output is 0 on constant areas and on horizontal edges.",
        "One row with sum 0, from negative to positive, is enough; then use it for every row.",
    ),
)
def edge_kernel() -> list[list[float]]:
    """Write a 3 × 3 kernel that finds vertical edges, as three rows of three numbers.

    Applied as nn.Conv2d does (no flip), its output is positive where dark on the left meets bright
    on the right, 0 on constant areas, and 0 along horizontal edges.
    """
    # Each row has the sum 0, so rows of one brightness give 0: flat areas and horizontal edges.
    # Negative on the left, positive on the right: positive where it gets brighter to the right.
    return [
        [-1.0, 0.0, 1.0],
        [-2.0, 0.0, 2.0],
        [-1.0, 0.0, 1.0],
    ]


def _field(kernels: list[int], strides: list[int]) -> int:
    # Go back from one output pixel: n outputs depend on (n − 1) · s + k inputs.
    size = 1
    for k, s in zip(reversed(kernels), reversed(strides), strict=True):
        size = (size - 1) * s + k
    return size


def _check_receptive_field(answer: Answer) -> str:
    apart = "the second layer's pixels are 2 input pixels apart"
    multiply = "multiply the strides of all earlier layers"
    cases = [
        Case(([3], [1]), "one layer", "one output pixel depends on its window"),
        Case(([3, 3], [1, 1]), "two layers", "the second adds one pixel on each side: 3 + 2"),
        Case(([5, 3, 7], [1, 1, 1]), "three layers without stride", "1 + 4 + 2 + 6"),
        Case(([3, 3], [2, 1]), "stride 2 in the first layer", f"{apart}: 3 + 2 · 2"),
        Case(([3, 3], [1, 2]), "stride 2 in the last layer", "a stride changes later layers only"),
        Case(([1, 3], [2, 1]), "kernel 1 with stride 2", "1 + 0 + 2 · 2"),
        Case(([3, 2, 3, 2], [1, 2, 1, 2]), "two blocks of convolution and pooling", multiply),
        Case(([7, 3, 3, 3], [2, 2, 2, 2]), "four strides of 2"),
    ]
    draw = random.Random(14)
    for _ in range(15):
        depth = draw.randint(1, 6)
        kernels = [draw.randint(1, 7) for _ in range(depth)]
        cases.append(Case((kernels, [draw.randint(1, 3) for _ in range(depth)])))
    answers.compare_numbers(answer, cases, _field, "kernels {}, strides {}")
    return "Two 3 × 3 layers have the receptive field of one 5 × 5, with 18 weights instead of 25."


@exercise(
    "02_1.receptive_field",
    check=_check_receptive_field,
    hints=(
        "Start with one pixel. Each layer adds k − 1 pixels, but how far apart are they "
        "in the input?",
        "Use two numbers: the size (starts at 1) and the jump (starts at 1), the "
        "distance of two neighbours in input pixels. A stride multiplies the jump for all later "
        "layers.",
        "For each layer the size grows by k − 1 jumps; after that the stride changes the jump.",
    ),
)
def receptive_field(kernels: list[int], strides: list[int]) -> int:
    """Compute the side of the input area, in pixels, that one output pixel depends on.

    kernels, strides: one number for each layer, the first layer first (pooling counts as a layer).
    """
    # jump: how many input pixels lie between two neighbouring outputs. A kernel of k outputs spans
    # k − 1 of these distances, and a stride makes the distances of all later layers longer.
    size, jump = 1, 1
    for k, s in zip(kernels, strides, strict=True):
        size += (k - 1) * jump
        jump *= s
    return size
