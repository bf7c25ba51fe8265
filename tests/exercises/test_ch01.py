"""Right and wrong answers to the exercises of notebook 01."""

from __future__ import annotations

import inspect
import textwrap

import torch
from torch import nn

from course_utils.exercises import ch01


def count(*layers):
    return sum(p.numel() for layer in layers for p in layer.parameters())


def test_parameters(solved, rejected):
    solved(
        "01.parameters",
        lambda i, o, k, bias=True: count(nn.Conv2d(i, o, k, bias=bias)),
        lambda i, o, k, bias=True: torch.tensor(o * (i * k**2 + int(bias))),
    )
    rejected(
        "01.parameters",
        (lambda i, o, k, bias: o * k * k + (o if bias else 0), "several input channels"),
        (lambda i, o, k, bias: i * k * k + (o if bias else 0), "several output channels"),
        (lambda i, o, k, bias: i * o * k * k, "is 1,200, it should be 1,216"),
        (lambda i, o, k, bias: i * o * k * k + (i if bias else 0), "one bias"),
        (lambda i, o, k, bias: o * (i * k * k + 1), "is 10, it should be 9"),
        (lambda i, o, k, bias: i * o * k, "(a 3 × 3 kernel is 9 numbers)"),
        (lambda i, o, k: i * o * k * k, "raised TypeError"),
    )


def test_dense_parameters(solved, rejected):
    name = "01.dense_parameters_same_output"
    solved(name, lambda h, w, i, o: (h * w * i + 1) * (h * w * o))
    rejected(
        name,
        (lambda h, w, i, o: h * w * i * o + o, "4 × 4 image"),
        (lambda h, w, i, o: h * w * i * h * w * o, "is 256, it should be 272"),
        (lambda h, w, i, o: h**4 * i * o + h**2 * o, "an image that is not square: for a 4 × 6"),
        (lambda h, w, i, o: (h * w) ** 2 * o + h * w * o, "several input channels"),
        (lambda h, w, i, o: (h * w) ** 2 * i * o + h * w, "several output channels"),
        (lambda h, w, i, o: i * o * 9 + o, "smallest case"),
    )


def test_gradient(solved, rejected):
    def by_autograd(x):
        x = torch.tensor(x, requires_grad=True)
        return torch.autograd.grad(ch01._branching(x), x)[0]

    def by_differences(x, step=1e-3):
        ends = torch.tensor([x - step, x + step], dtype=torch.float64)
        return (ch01._branching(ends[1]) - ch01._branching(ends[0])).item() / (2 * step)

    solved("01.gradient", by_autograd, lambda x: 9 * x**2 - 8 if abs(x) > 2 else 3 * x**2)
    rejected(
        "01.gradient",
        (lambda x: 3 * x * x, "branch taken: for x = 3.0"),
        (lambda x: 9 * x * x - 8, "is 1.0, it should be 3.0"),
        (lambda x: 9 * x * x - 8 if x > 2 else 3 * x * x, "negative x: for x = -3.0"),
        (lambda x: 9 * x * x - 8 if x * x >= 4 else 3 * x * x, "exactly at the boundary"),
        (lambda x: 6 * x if x * x > 4 else 2 * x, "branch not taken: for x = 1.0"),
        (by_differences, "exactly at the boundary"),
    )


def test_gradient_docstring_shows_the_function_that_is_checked():
    shown = inspect.getdoc(ch01.gradient).split("\n\n", 1)[1]
    namespace = {}
    exec(textwrap.dedent(shown), namespace)
    for x in (-3.0, -2.0, -1.0, 0.0, 0.5, 2.0, 2.5):
        assert namespace["f"](x) == ch01._branching(torch.tensor(x)).item()


def measuring(measure, dims=-1, roll=torch.roll):
    """Answer with `measure` of the difference between both orders, and of the margin."""

    def equivariance(layer, image, shift, margin):
        first = layer(roll(image, shift, dims=dims))
        return measure(first - roll(layer(image), shift, dims=dims), margin)

    return equivariance


def inner(maps, margin):
    return maps[..., margin:-margin, margin:-margin]


def with_zeros_at_the_border(maps, shift, dims):
    out = torch.zeros_like(maps)
    out[..., shift:] = maps[..., :-shift]
    return out


def test_equivariance(solved, rejected):
    def largest(difference, margin):
        return inner(difference, margin).abs().max().item()

    solved("01.equivariance", measuring(largest, roll=with_zeros_at_the_border))
    rejected(
        "01.equivariance",
        (measuring(lambda d, m: d.abs().max().item()), "shift 3, margin 5"),
        (measuring(lambda d, m: d[..., m:-m].abs().max().item()), "also at top and bottom"),
        (measuring(lambda d, m: inner(d, m).max().item()), "take the absolute value"),
        (measuring(lambda d, m: inner(d, m).abs().mean().item()), "not the mean"),
        (measuring(largest, dims=-2), "along the width"),
        (
            lambda layer, x, shift, m: largest(layer(x.roll(shift, -1)) - layer(x), m),
            "a convolution, away from the border",
        ),
        (measuring(lambda d, m: inner(d, m).abs()), "one number"),
    )


def counting_up(cnn, inputs, classes):
    hidden = 0
    while inputs * (hidden + 1) + (hidden + 1) + (hidden + 1) * classes + classes <= count(cnn):
        hidden += 1
    return hidden


def most_hidden(parameters, n, c):
    return (parameters - c) // (n + 1 + c)


def frozen_left_out(cnn, n, c):
    return most_hidden(sum(p.numel() for p in cnn.parameters() if p.requires_grad), n, c)


def norms_left_out(cnn, n, c):
    return most_hidden(count(*(m for m in cnn if isinstance(m, (nn.Conv2d, nn.Linear)))), n, c)


def test_same_budget(solved, rejected):
    solved("01.same_budget", counting_up)
    rejected(
        "01.same_budget",
        (lambda cnn, n, c: round((count(cnn) - c) / (n + 1 + c)), "26 units need 20,680 param"),
        (lambda cnn, n, c: count(cnn) // (n + c), "both layers have biases"),
        (lambda cnn, n, c: count(cnn) // n, "is 26, it should be 25"),
        (lambda cnn, n, c: most_hidden(count(cnn) - 1, n, c), "is 199, it should be 200"),
        (
            lambda cnn, n, c: (count(cnn) - c) / (n + 1 + c),
            "is 25.76, it should be 25 (a number of units is whole",
        ),
        (frozen_left_out, "frozen parameters"),
        (norms_left_out, "parameters of BatchNorm count as well"),
        (lambda cnn, n, c: (count(cnn) - c) // (n + c), "each hidden unit has a bias"),
    )
