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
        ((5, 8), (3, 3), 1, "an image that is not square"),
        ((6, 7), (2, 4), 1, "a kernel that is not square"),
        ((4, 3), (4, 3), 1, "a kernel as large as the image"),
        ((7, 7), (3, 3), 2, "stride 2"),
        ((8, 9), (3, 2), 2, "stride 2 with a last window that does not fit"),
        ((11, 10), (3, 3), 3, "stride 3"),
        ((6, 6), (1, 1), 2, "kernel 1 × 1 with stride 2"),
    ]
    for image_size, kernel_size, stride, what in sizes:
        image = torch.randn(image_size, generator=generator)
        kernel = torch.randn(kernel_size, generator=generator)
        where = f"{what}: for an image {image_size}, a kernel {kernel_size} and stride {stride}"
        got = answer(image, kernel, stride, where=where)
        want = _correlated(image, kernel, stride)
        because, read = "", answers.tensor(got, where)
        if read.dim() < 2 and read.numel() == want.numel():
            raise Wrong(
                f"{where}: your result has the shape {tuple(read.shape)}, it should have "
                f"{tuple(want.shape)}: an output of one row or one number is a table, too, and "
                "squeeze() would take its axes away"
            )
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
    """Compute the cross-correlation of an image (H, W) with a kernel (h, w), without padding.

    Each number of the output is the sum of the products of the kernel with one window of the
    image. The window moves by `stride` pixels and stays inside the image.
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
        Case((7, 7, 1, 0, 1), "a kernel as large as the image", "one window fits"),
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

    n: side of the image, k: side of the kernel, s: stride, p: padding on each side, d: dilation.
    """
    # The kernel spans d · (k − 1) + 1 pixels. The last window starts where it still fits, so there
    # is room for so many single steps behind the first window; every s-th of them counts.
    room = n + 2 * p - (d * (k - 1) + 1)
    return room // s + 1


def _outputs(rows: list[list[float]], kernel: Tensor) -> Tensor:
    return _correlated(torch.tensor(rows, dtype=torch.float64), kernel)


def _check_line_kernel(kernel: Any) -> str:
    if callable(kernel) and not isinstance(kernel, Tensor):
        raise answers.wrong_kind(kernel, "the kernel itself")
    wanted = "3 rows of 3 numbers"
    read = answers.tensor(kernel, wanted=wanted)
    while read.dim() > 2 and read.shape[0] == 1:  # nn.Conv2d's shape (1, 1, 3, 3) is also right
        read = read[0]
    if read.shape != (3, 3):
        raise answers.wrong_kind(kernel, wanted)
    if not bool(read.any()):
        raise Wrong("a kernel of zeros finds nothing: its output is 0 everywhere")
    flat = _outputs([[1] * 3] * 3, read).item()
    if abs(flat) > 1e-5:
        raise Wrong(
            f"on an area that is 1 everywhere its output is {shown(flat)}, it should be 0: "
            "the sum of its nine numbers must be 0"
        )
    line = _outputs([[0] * 3, [0] * 3, [1] * 3, [0] * 3, [0] * 3], read)[:, 0]
    above, on, below = line.tolist()
    for row, what in [([0, 0, 0, 1, 1, 1], "edge"), ([0, 0, 1, 0, 0], "line")]:
        upright = _outputs([row] * 3, read).flatten()
        worst = upright[upright.abs().argmax()].item()
        if abs(worst) > 1e-5:
            turned = max(abs(one) for one in (above, on, below)) <= 1e-5
            raise Wrong(
                f"on a vertical {what} its output is {shown(worst)}, it should be 0: each column "
                f"must add up to 0{' (transposed, your kernel may be right)' if turned else ''}"
            )
    if on <= 1e-5:
        why = "" if on < -1e-5 else ": its middle row adds up to 0"
        raise Wrong(
            f"where its middle row lies on a bright line its output is {shown(on)}, it should be "
            f"positive{why}"
        )
    if abs(above - below) > 1e-5:
        raise Wrong(
            f"its output is {shown(above)} directly above a bright line and {shown(below)} below "
            "it: they should be equal, or it finds edges as well as lines"
        )
    return (
        f"Its output is {shown(on)} on a line and {shown(above)} beside it. Now type your numbers "
        "into the kernel playground, and look at the whiskers."
    )


@exercise(
    "02_1.line_kernel",
    check=_check_line_kernel,
    is_value=True,
    hints=(
        "The output should be large where the middle row is brighter than the rows above and below "
        "it. Which signs do the rows need?",
        "If each column adds up to 0, the output is 0 on constant areas and wherever the image "
        "changes only from left to right.",
        "One column is enough: the middle number against its two neighbours, which count equally. "
        "You may then use this column three times.",
    ),
)
def line_kernel() -> list[list[float]]:
    """Write a 3 × 3 kernel that finds thin, bright, horizontal lines, as three rows of numbers.

    Applied as nn.Conv2d does (no flip), its output is positive where the middle row lies on a line
    one pixel thick, and equally negative directly above and below the line. It is 0 on constant
    areas, and 0 where the image changes only from left to right.
    """
    # Each column has the sum 0: what does not change from top to bottom becomes 0. Above and below
    # the line have the same weight, so one edge alone is not preferred. Three equal columns add
    # their results up: a line is long, while noise is not.
    return [
        [-1.0, -1.0, -1.0],
        [2.0, 2.0, 2.0],
        [-1.0, -1.0, -1.0],
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
