"""Right and wrong answers to the exercises of notebook 02_1."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from course_utils.exercises import ch02_1


def correlated(image, kernel, stride=1, padding=0):
    return nn.functional.conv2d(image[None, None], kernel[None, None], None, stride, padding)[0, 0]


def sizes(image, kernel, stride):
    return [(n - k) // stride + 1 for n, k in zip(image.shape, kernel.shape, strict=True)]


def test_cross_correlate(solved, rejected):
    def unfolded(image, kernel, stride=1):
        windows = image.unfold(0, kernel.shape[0], stride).unfold(1, kernel.shape[1], stride)
        return torch.einsum("ijab,ab->ij", windows, kernel)

    def windows_side_by_side(image, kernel, stride=1):
        rows, columns = sizes(image, kernel, stride)
        return correlated(image, kernel)[:rows, :columns]

    def last_element_wrong(image, kernel, stride=1):
        out = correlated(image, kernel, stride)
        out[-1, -1] = 0
        return out

    def changing_its_inputs(image, kernel, stride=1):
        image.zero_()
        kernel.zero_()
        return torch.zeros(sizes(image, kernel, stride))

    solved("02_1.cross_correlate", unfolded, lambda *a: correlated(*a).tolist())
    rejected(
        "02_1.cross_correlate",
        (lambda f, g, s: correlated(f, g.flip(0, 1), s), "flipped"),
        (lambda f, g, s: correlated(f, g.T, s), "row 0, column 0"),
        (lambda f, g, s: correlated(f, g), "the shape (5, 5), it should have (3, 3)"),
        (windows_side_by_side, "i · stride = 2 · i"),
        (lambda f, g, s: correlated(f, g, s)[:, : sizes(f, g, s)[0]], "that is not square"),
        (lambda f, g, s: correlated(f, g, s, 1), "has the shape (5, 5), it should have (3, 3)"),
        (last_element_wrong, "row 2, column 2 is 0.0"),
        (changing_its_inputs, "the simplest case"),
        (lambda f, g, s: correlated(f, g, s) * float("nan"), "nan or infinity"),
        (lambda f, g, s: f @ g, "raised RuntimeError"),
        (
            lambda *a: correlated(*a).squeeze(),
            "shape (), it should have (1, 1): an output",
        ),
    )


def layer_size(n, k, s=1, p=0, d=1):
    layer = nn.Conv1d(1, 1, k, stride=s, padding=p, dilation=d)
    return layer(torch.zeros(1, 1, n)).shape[-1]


def test_output_map(solved, rejected):
    def parts(image, kernel):
        return torch.stack([correlated(*pair) for pair in zip(image, kernel, strict=True)])

    solved(
        "02_1.output_map",
        lambda x, k, b, _: nn.functional.conv2d(x[None], k[None], torch.tensor([b]))[0, 0],
        lambda x, k, b, correlate: (parts(x, k).sum(0) + b).tolist(),
    )
    rejected(
        "02_1.output_map",
        (lambda x, k, b, f: f(x[0], k[0]) + b, "three channels"),
        (lambda x, k, b, f: parts(x, k) + b, "not one for each channel"),
        (lambda x, k, b, f: parts(x, k).sum(0), "the bias is missing"),
        (lambda x, k, b, f: (parts(x, k) + b).sum(0), "the bias is added once"),
        (lambda x, k, b, f: parts(x, k).mean(0) + b, "added up, not averaged"),
        (lambda x, k, b, f: f(x.sum(0), k.sum(0)) + b, "three channels"),
        (lambda x, k, b, f: torch.zeros(x.shape[1] - 2, x.shape[2] - 2), "row 0, column 0"),
    )


def test_output_size(solved, rejected):
    solved(
        "02_1.output_size",
        layer_size,
        lambda n, k, s, p, d: torch.tensor(len(range(0, n + 2 * p - d * (k - 1), s))),
        lambda n, k, s, p, d: math.floor((n + 2 * p - d * (k - 1) - 1) / s + 1),
    )
    rejected(
        "02_1.output_size",
        (lambda n, k, s, p, d: math.ceil((n + 2 * p - d * (k - 1) - 1) / s) + 1, "is 14, it sho"),
        (lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) / s + 1, "is 13.5, it should be 13"),
        (lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s, "is 25, it should be 26"),
        (lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1, "padding: for size 28, kern"),
        (lambda n, k, s, p, d: (n + 2 * p - k) // s + 1, "dilation 2: for size 28, kernel 3"),
        (lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1, "= 5 pixels"),
        (lambda n, k, s, p, d: (n - d * (k - 1) - 1) // s + 1 + 2 * p, "and dilation at once"),
        (lambda n, k, s, p, d: n + 2 * p - d * (k - 1), "stride 2 on an even size"),
        (lambda n, k, s, p, d: (n + 2 * p - 2 * (k // 2) * d - 1) // s + 1, "an even kernel"),
        (lambda n, k, s, p, d: str((n + 2 * p - d * (k - 1) - 1) // s + 1), "a str ('26')"),
        (lambda n, k, s: (n - k) // s + 1, "raised TypeError"),
        (lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) / s // 1 + 1, "is 26, but as a float"),
        (14, "an int (14)"),
    )


def test_line_kernel(solved, rejected):
    thin = torch.tensor([[-1.0, -1, -1], [2, 2, 2], [-1, -1, -1]])
    solved(
        "02_1.line_kernel",
        thin.tolist(),
        [[0, -1, 0], [0, 2, 0], [0, -1, 0]],
        [[-0.5, -1, -0.5], [1, 2, 1], [-0.5, -1, -0.5]],
        (thin * 0.1).view(1, 1, 3, 3),
        nn.Parameter(thin),
    )
    rejected(
        "02_1.line_kernel",
        (thin.T.tolist(), "(transposed, your kernel may be right)"),
        ([[-1, 0, 1]] * 3, "on a vertical edge its output is 3.0, it should be 0"),
        ([[-1, -1, -1], [0, 8, 0], [-1, -3, -1]], "on a vertical edge"),
        ([[0, 1, 0], [1, -4, 1], [0, 1, 0]], "on a vertical edge"),
        ((-thin).tolist(), "is -6.0, it should be positive"),
        ([[-1, -2, -1], [0, 0, 0], [1, 2, 1]], "its middle row adds up to 0"),
        ([[-1, -1, -1], [1, 1, 1], [0, 0, 0]], "0.0 directly above a bright line and -3.0 below"),
        ([[-2, -2, -2], [3, 3, 3], [-1, -1, -1]], "they should be equal"),
        ([[-1, -1, -1], [3, 3, 3], [-1, -1, -1]], "is 3.0, it should be 0"),
        ([[1, -1, 0], [-1, 1, 0], [0, 0, 0]], "its middle row adds up to 0"),
        ([[0, 0, 0]] * 3, "a kernel of zeros"),
        ([[-1, 0, 1]], "3 rows of 3 numbers"),
        ([[-1, 0, float("nan")]] * 3, "nan or infinity"),
        ([[-1, 0, 1], [-1, 0, 1], [-1, 1]], "a list"),
        (ch02_1.line_kernel, "the kernel itself"),
    )


def field_by_products(kernels, strides):
    return 1 + sum((k - 1) * math.prod(strides[:i]) for i, k in enumerate(kernels))


def by_former_stride(kernels, strides):
    return 1 + sum((k - 1) * s for k, s in zip(kernels, [1, *strides[:-1]], strict=True))


def test_receptive_field(solved, rejected):
    def backwards(kernels, strides):
        size = 1
        for k, s in list(zip(kernels, strides, strict=True))[::-1]:
            size = (size - 1) * s + k
        return size

    solved("02_1.receptive_field", backwards, field_by_products)
    rejected(
        "02_1.receptive_field",
        (lambda ks, ss: sum(ks), "kernels [3, 3], strides [1, 1]"),
        (lambda ks, ss: 1 + sum(k - 1 for k in ks), "stride 2 in the first layer"),
        (lambda ks, ss: math.prod(ks), "two layers"),
        (lambda ks, ss: 1 + sum((k - 1) * s for k, s in zip(ks, ss, strict=True)), "last layer"),
        (lambda ks, ss: 1 + sum(k - 1 for k in ks) * math.prod(ss[:-1]), "first layer"),
        (lambda ks, ss: 2 * len(ks) + 1, "three layers without stride"),
        (by_former_stride, "two blocks of convolution and pooling"),
        (lambda *a: float(field_by_products(*a)), "is 3, but as a float"),
        (lambda ks, ss: backwards(ks[::-1], ss[::-1]), "stride 2 in the first layer"),
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
