"""Alternatives and typical wrong answers of notebook 02_1's exercises."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from course_utils.exercises import ch02_1


def correlated(image, kernel, stride=1):
    return nn.functional.conv2d(image[None, None], kernel[None, None], stride=stride)[0, 0]


def unfolded(image, kernel, stride=1):
    windows = image.unfold(0, kernel.shape[0], stride).unfold(1, kernel.shape[1], stride)
    return torch.einsum("ijab,ab->ij", windows, kernel)


def as_lists(image, kernel, stride=1):
    (height, width), (h, w) = image.shape, kernel.shape
    return [
        [
            sum(float(image[r + a, c + b] * kernel[a, b]) for a in range(h) for b in range(w))
            for c in range(0, width - w + 1, stride)
        ]
        for r in range(0, height - h + 1, stride)
    ]


def test_cross_correlate_other_ways(solved):
    solved("02_1.cross_correlate", unfolded, as_lists, correlated)


def windows_side_by_side(image, kernel, stride=1):
    rows = (image.shape[0] - kernel.shape[0]) // stride + 1
    columns = (image.shape[1] - kernel.shape[1]) // stride + 1
    return correlated(image, kernel)[:rows, :columns]


def one_window_short(image, kernel, stride=1):
    return correlated(image, kernel, stride)[:-1, :-1]


def square_only(image, kernel, stride=1):
    return correlated(image, kernel, stride)[:, : (image.shape[0] - kernel.shape[0]) // stride + 1]


def padded(image, kernel, stride=1):
    pad = kernel.shape[0] // 2
    return nn.functional.conv2d(image[None, None], kernel[None, None], stride=stride, padding=pad)[
        0, 0
    ]


def last_element_wrong(image, kernel, stride=1):
    out = correlated(image, kernel, stride)
    out[-1, -1] = 0
    return out


def test_cross_correlate_rejects(rejected):
    rejected(
        "02_1.cross_correlate",
        (lambda image, kernel, stride: correlated(image, kernel.flip(0, 1), stride), "flipped"),
        (lambda image, kernel, stride: correlated(image, kernel.T, stride), "row 0, column 0"),
        (
            lambda image, kernel, stride: correlated(image, kernel),
            "the shape (5, 5), it should have (3, 3)",
        ),
        (windows_side_by_side, "i · stride = 2 · i"),
        (one_window_short, "has the shape (2, 2), it should have (3, 3)"),
        (square_only, "a picture that is not square"),
        (padded, "has the shape (5, 5), it should have (3, 3)"),
        (last_element_wrong, "row 2, column 2 is 0.0"),
        (lambda image, kernel, stride: torch.zeros(3, 3), "the simplest case"),
        (
            lambda image, kernel, stride: correlated(image, kernel, stride) * float("nan"),
            "nan or infinity",
        ),
        (
            lambda image, kernel, stride: image[: kernel.shape[0], : kernel.shape[1]] * kernel,
            "the simplest case",
        ),
        (lambda image, kernel, stride: image @ kernel, "raised RuntimeError"),
    )


def test_cross_correlate_cannot_be_passed_by_changing_the_inputs(rejected):
    def spoiling(image, kernel, stride=1):
        rows = (image.shape[0] - kernel.shape[0]) // stride + 1
        columns = (image.shape[1] - kernel.shape[1]) // stride + 1
        image.zero_()
        kernel.zero_()
        return torch.zeros(rows, columns)

    rejected("02_1.cross_correlate", (spoiling, "the simplest case"))


def by_definition(image, kernel, cross_correlate):
    h, w = kernel.shape
    out = torch.zeros(image.shape[0] - h + 1, image.shape[1] - w + 1)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for m in range(h):
                for n in range(w):
                    out[i, j] += kernel[m, n] * image[i + h - 1 - m, j + w - 1 - n]
    return out


def test_convolve_other_ways(solved):
    solved(
        "02_1.convolve",
        by_definition,
        lambda image, kernel, cross: cross(image, torch.rot90(kernel, 2)),
        lambda image, kernel, cross: cross(image.flip(0, 1), kernel).flip(0, 1),
    )


def test_convolve_rejects(rejected):
    rejected(
        "02_1.convolve",
        (lambda f, g, cross: cross(f, g), "was not flipped"),
        (lambda f, g, cross: cross(f, g.flip(0)), "only the rows were flipped"),
        (lambda f, g, cross: cross(f, g.flip(1)), "only the columns were flipped"),
        (lambda f, g, cross: cross(f, g.T), "transposed"),
        (lambda f, g, cross: cross(f, torch.rot90(g)), "90°"),
        (lambda f, g, cross: cross(f, g.T.flip(0, 1)), "a square kernel"),
        (lambda f, g, cross: cross(f.flip(0, 1), g), "a square kernel"),
        (lambda f, g, cross: cross(f, -g), "a square kernel"),
        (lambda f, g, cross: cross(f, g[::-1, ::-1]), "raised ValueError"),
        (
            lambda f, g, cross: cross(f, g.flip(0, 1)) if len(g) == 3 else cross(f, g.flip(0)),
            "a kernel of one row",
        ),
    )


def layer_size(n, k, s=1, p=0, d=1):
    layer = nn.Conv1d(1, 1, k, stride=s, padding=p, dilation=d)
    return layer(torch.zeros(1, 1, n)).shape[-1]


def counting_starts(n, k, s=1, p=0, d=1):
    span = d * (k - 1) + 1
    return torch.tensor(len(range(0, n + 2 * p - span + 1, s)))


def floored(n, k, s=1, p=0, d=1):
    return math.floor((n + 2 * p - d * (k - 1) - 1) / s + 1)


def test_output_size_other_ways(solved):
    solved("02_1.output_size", layer_size, counting_starts, floored)


def test_output_size_rejects(rejected):
    rejected(
        "02_1.output_size",
        (
            lambda n, k, s, p, d: math.ceil((n + 2 * p - d * (k - 1) - 1) / s) + 1,
            "is 14, it should be 13",
        ),
        (lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) / s + 1, "is 13.5, it should be 13"),
        (lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s, "is 25, it should be 26"),
        (
            lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1,
            "padding: for size 28, kernel 5",
        ),
        (lambda n, k, s, p, d: (n + 2 * p - k) // s + 1, "dilation 2: for size 28, kernel 3"),
        (lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1, "= 5 pixels"),
        (
            lambda n, k, s, p, d: (n - d * (k - 1) - 1) // s + 1 + 2 * p,
            "stride, padding and dilation at once",
        ),
        (lambda n, k, s, p, d: n + 2 * p - d * (k - 1), "stride 2 on an even size"),
        (lambda n, k, s, p, d: (n + 2 * p - 2 * (k // 2) * d - 1) // s + 1, "an even kernel"),
        (lambda n, k, s, p, d: 26, "kernel 1"),
        (lambda n, k, s, p, d: str((n + 2 * p - d * (k - 1) - 1) // s + 1), "a str ('26')"),
        (lambda n, k, s, p, d: (n - k + 1, n - k + 1), "a tuple"),
        (lambda n, k, s: (n - k) // s + 1, "raised TypeError"),
        (lambda n, k, s, p, d: 1 // (s - 1), "raised ZeroDivisionError"),
        (14, "an int (14)"),
    )


def same_by_trying(k, d=1):
    return next(p for p in range(200) if layer_size(100, k, 1, p, d) == 100)


def test_same_padding_other_ways(solved):
    solved("02_1.same_padding", same_by_trying, lambda k, d: k // 2 * d)


def test_same_padding_rejects(rejected):
    rejected(
        "02_1.same_padding",
        (lambda k, d: k // 2, "dilation 2: for kernel 3"),
        (lambda k, d: d * (k - 1), "is 2, it should be 1"),
        (lambda k, d: d * (k + 1) // 2, "kernel 3"),
        (lambda k, d: d * k // 2, "dilation 2: for kernel 3"),
        (lambda k, d: (k - 1) // 2 + d - 1, "dilation 3: for kernel 5"),
        (lambda k, d: d * (k - 1) / 4, "is 0.5, it should be 1"),
        (lambda k, d: d * max(1, (k - 1) // 2), "kernel 1:"),
        (lambda k, d: 1, "kernel 1"),
        (lambda k, d: "same", "a str ('same')"),
    )


def test_edge_kernel_other_ways(solved):
    solved(
        "02_1.edge_kernel",
        [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]],
        [[0, 0, 0], [-1, 1, 0], [0, 0, 0]],
        [[0, 0, 0], [0, -1, 1], [0, 0, 0]],
        torch.tensor([[-3.0, 0.0, 3.0], [-10.0, 0.0, 10.0], [-3.0, 0.0, 3.0]]),
        torch.tensor([[-0.1, 0.0, 0.1]]).repeat(3, 1).view(1, 1, 3, 3),
        nn.Parameter(torch.tensor([[-1.0, 0.0, 1.0]] * 3)),
    )


def test_edge_kernel_rejects(rejected):
    rejected(
        "02_1.edge_kernel",
        ([[-1, -2, -1], [0, 0, 0], [1, 2, 1]], "horizontal edge (dark above, bright below)"),
        ([[-1, -2, -1], [0, 0, 0], [1, 2, 1]], "transposed, your kernel would be right"),
        ([[1, 0, -1], [2, 0, -2], [1, 0, -1]], "is -4.0, it should be positive"),
        ([[-1, 0, 2]] * 3, "is 3.0, it should be 0"),
        ([[1 / 9] * 3] * 3, "1 everywhere"),
        ([[0, 1, 0], [1, -4, 1], [0, 1, 0]], "on a horizontal edge"),
        ([[1, -2, 1]] * 3, "3.0 and -3.0"),
        ([[0, 0, 0]] * 3, "a kernel of zeros"),
        ([[-1, 0, 1], [0, 0, 0], [1, 0, -1]], "the same sum"),
        ([[-1, 0, 1]], "3 rows of 3 numbers"),
        ([[-1, 0], [0, 1]], "3 rows of 3 numbers"),
        ([[-1, 0, float("nan")]] * 3, "nan or infinity"),
        ([[-1, 0, 1], [-1, 0, 1], [-1, 1]], "a list"),
        (ch02_1.edge_kernel, "the kernel itself"),
    )


def field_backwards(kernels, strides):
    size = 1
    for k, s in list(zip(kernels, strides, strict=True))[::-1]:
        size = (size - 1) * s + k
    return size


def field_by_products(kernels, strides):
    return 1 + sum((k - 1) * math.prod(strides[:i]) for i, k in enumerate(kernels))


def test_receptive_field_other_ways(solved):
    solved("02_1.receptive_field", field_backwards, field_by_products)


def own_stride_first(kernels, strides):
    size, jump = 1, 1
    for k, s in zip(kernels, strides, strict=True):
        jump *= s
        size += (k - 1) * jump
    return size


def test_receptive_field_rejects(rejected):
    rejected(
        "02_1.receptive_field",
        (lambda ks, ss: sum(ks), "kernels [3, 3], strides [1, 1]"),
        (lambda ks, ss: 1 + sum(k - 1 for k in ks), "stride 2 in the first layer"),
        (own_stride_first, "stride 2 in the first layer"),
        (lambda ks, ss: math.prod(ks), "two layers"),
        (lambda ks, ss: 1 + sum((k - 1) * s for k, s in zip(ks, ss, strict=True)), "last layer"),
        (lambda ks, ss: 1 + sum(k - 1 for k in ks) * math.prod(ss[:-1]), "first layer"),
        (lambda ks, ss: max(ks), "two layers"),
        (lambda ks, ss: 2 * len(ks) + 1, "three layers without stride"),
        (
            lambda ks, ss: 1 + sum((k - 1) * (ss[i - 1] if i else 1) for i, k in enumerate(ks)),
            "two blocks of convolution and pooling",
        ),
        (lambda ks, ss: field_backwards(ks[::-1], ss[::-1]), "stride 2 in the first layer"),
    )


@pytest.mark.parametrize(
    ("kernels", "strides"), [([3, 3], [1, 1]), ([3, 2, 3, 2], [1, 2, 1, 2]), ([5, 1, 3], [3, 2, 2])]
)
def test_receptive_field_is_what_gradients_reach(kernels, strides):
    signal = torch.zeros(1, 1, 80, requires_grad=True)
    out = signal
    for k, s in zip(kernels, strides, strict=True):
        out = nn.functional.conv1d(out, torch.ones(1, 1, k), stride=s)
    out[0, 0, 1].backward()
    reached = signal.grad[0, 0].nonzero().flatten()
    assert ch02_1.receptive_field(kernels, strides) == int(reached[-1] - reached[0]) + 1
