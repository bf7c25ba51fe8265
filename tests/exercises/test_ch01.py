"""Alternatives and typical wrong answers of notebook 01's exercises."""

from __future__ import annotations

import ast
import inspect
import textwrap

import torch
from torch import nn

from course_utils.exercises import ch01


def counted(c_in, c_out, k, bias=True):
    return sum(p.numel() for p in nn.Conv2d(c_in, c_out, k, bias=bias).parameters())


def as_tensor(c_in, c_out, k, bias=True):
    return torch.tensor(c_out * (c_in * k**2 + int(bias)))


def test_parameters_other_ways(solved):
    solved("01.parameters", counted, as_tensor)


def test_parameters_rejects(rejected):
    rejected(
        "01.parameters",
        (
            lambda c_in, c_out, k, bias: c_out * k * k + (c_out if bias else 0),
            "several input channels",
        ),
        (
            lambda c_in, c_out, k, bias: c_in * k * k + (c_out if bias else 0),
            "several output channels",
        ),
        (lambda c_in, c_out, k, bias: c_in * c_out * k * k, "is 1,200, it should be 1,216"),
        (lambda c_in, c_out, k, bias: c_in * c_out * k * k + (c_in if bias else 0), "one bias"),
        (lambda c_in, c_out, k, bias: c_out * (c_in * k * k + 1), "is 10, it should be 9"),
        (lambda c_in, c_out, k, bias: c_in * c_out * k, "(a 3 × 3 kernel is 9 numbers)"),
        (lambda c_in, c_out, k, bias: 9, "several input channels"),
        (lambda c_in, c_out, k: c_in * c_out * k * k, "raised TypeError"),
    )


def test_dense_parameters_another_way(line):
    def per_output(height, width, c_in, c_out):
        return (height * width * c_in + 1) * (height * width * c_out)

    assert line("01.dense_parameters_same_output", per_output).startswith("✔")


def test_dense_parameters_rejects(rejected):
    rejected(
        "01.dense_parameters_same_output",
        (lambda h, w, i, o: h * w * i * o + o, "4 × 4 picture"),
        (lambda h, w, i, o: h * w * i * h * w * o, "is 256, it should be 272"),
        (lambda h, w, i, o: h**4 * i * o + h**2 * o, "a picture that is not square: for a 4 × 6"),
        (lambda h, w, i, o: (h * w) ** 2 * o + h * w * o, "several input channels"),
        (lambda h, w, i, o: (h * w) ** 2 * i * o + h * w, "several output channels"),
        (lambda h, w, i, o: i * o * 9 + o, "smallest case"),
    )


def by_autograd(x):
    x = torch.tensor(x, requires_grad=True)
    return torch.autograd.grad(ch01._branching(x), x)[0]


def with_absolute_value(x):
    return 9 * x**2 - 8 if abs(x) > 2 else 3 * x**2


def test_gradient_other_ways(solved):
    solved("01.gradient", by_autograd, with_absolute_value)


def by_differences(x, step=1e-3):
    ends = torch.tensor([x - step, x + step], dtype=torch.float64)
    return (ch01._branching(ends[1]) - ch01._branching(ends[0])).item() / (2 * step)


def test_gradient_rejects(rejected):
    rejected(
        "01.gradient",
        (lambda x: 3 * x * x, "branch taken: for x = 3.0"),
        (lambda x: 9 * x * x - 8, "is 1.0, it should be 3.0"),
        (lambda x: 9 * x * x - 8 if x > 2 else 3 * x * x, "negative x: for x = -3.0"),
        (lambda x: 9 * x * x - 8 if x * x >= 4 else 3 * x * x, "exactly at the boundary"),
        (lambda x: 9 * x * x - 8 if x > 4 else 3 * x * x, "branch taken: for x = 3.0"),
        (lambda x: 6 * x if x * x > 4 else 2 * x, "branch not taken: for x = 1.0"),
        (by_differences, "exactly at the boundary"),
        (lambda x: 3.0, "branch taken"),
    )


def test_gradient_docstring_shows_the_function_that_is_checked():
    shown = inspect.getdoc(ch01.gradient).split("\n\n", 1)[1]
    namespace = {}
    exec(textwrap.dedent(shown), namespace)
    for x in (-3.0, -2.0, -1.0, 0.0, 0.5, 2.0, 2.5):
        assert namespace["f"](x) == ch01._branching(torch.tensor(x)).item()
    (written,) = ast.parse(shown).body
    assert written.name == "f"


def with_zeros_at_the_border(layer, picture, shift, margin):
    def moved(maps):
        out = torch.zeros_like(maps)
        out[..., shift:] = maps[..., :-shift]
        return out

    first, second = layer(moved(picture)), moved(layer(picture))
    return float((first - second)[:, :, margin:-margin, margin:-margin].detach().abs().max())


def test_equivariance_another_way(solved):
    solved("01.equivariance", with_zeros_at_the_border)


def inner(maps, margin):
    return maps[..., margin:-margin, margin:-margin]


def both(layer, picture, shift, dims=-1):
    return (
        layer(torch.roll(picture, shift, dims=dims)),
        torch.roll(layer(picture), shift, dims=dims),
    )


def no_margin(layer, picture, shift, margin):
    a, b = both(layer, picture, shift)
    return (a - b).abs().max().item()


def only_columns(layer, picture, shift, margin):
    a, b = both(layer, picture, shift)
    return (a - b)[..., margin:-margin].abs().max().item()


def without_abs(layer, picture, shift, margin):
    a, b = both(layer, picture, shift)
    return inner(a - b, margin).max().item()


def mean_only(layer, picture, shift, margin):
    a, b = both(layer, picture, shift)
    return inner(a - b, margin).abs().mean().item()


def along_the_height(layer, picture, shift, margin):
    a, b = both(layer, picture, shift, dims=-2)
    return inner(a - b, margin).abs().max().item()


def one_way_only(layer, picture, shift, margin):
    a = layer(torch.roll(picture, shift, dims=-1))
    return inner(a - layer(picture), margin).abs().max().item()


def no_number(layer, picture, shift, margin):
    a, b = both(layer, picture, shift)
    return inner(a - b, margin).abs()


def test_equivariance_rejects(rejected):
    rejected(
        "01.equivariance",
        (no_margin, "shift 3, margin 5"),
        (only_columns, "all four sides"),
        (without_abs, "darker from left to right"),
        (mean_only, "darker from left to right"),
        (along_the_height, "darker from left to right"),
        (one_way_only, "a convolution, away from the border"),
        (lambda layer, picture, shift, margin: 0.0, "darker from left to right"),
        (no_number, "one number"),
    )


def counting_up(cnn, inputs, classes):
    budget = sum(p.numel() for p in cnn.parameters())
    hidden = 0
    while inputs * (hidden + 1) + (hidden + 1) + (hidden + 1) * classes + classes <= budget:
        hidden += 1
    return hidden


def test_same_budget_another_way(solved):
    solved("01.same_budget", counting_up)


def budget_of(cnn):
    return sum(p.numel() for p in cnn.parameters())


def test_same_budget_rejects(rejected):
    rejected(
        "01.same_budget",
        (
            lambda cnn, n, c: round((budget_of(cnn) - c) / (n + 1 + c)),
            "26 units need 20,680 parameters",
        ),
        (lambda cnn, n, c: budget_of(cnn) // (n + c), "used up exactly"),
        (lambda cnn, n, c: budget_of(cnn) // n, "round down"),
        (lambda cnn, n, c: (budget_of(cnn) - c - 1) // (n + 1 + c), "used up exactly"),
        (lambda cnn, n, c: (budget_of(cnn) - c) / (n + 1 + c), "is 25.76, it should be 25"),
        (
            lambda cnn, n, c: (
                (sum(p.numel() for p in cnn.parameters() if p.requires_grad) - c) // (n + 1 + c)
            ),
            "frozen parameters",
        ),
        (
            lambda cnn, n, c: (
                (
                    sum(
                        p.numel()
                        for layer in cnn.modules()
                        if isinstance(layer, (nn.Conv2d, nn.Linear))
                        for p in layer.parameters()
                    )
                    - c
                )
                // (n + 1 + c)
            ),
            "BatchNorm",
        ),
        (lambda cnn, n, c: 25, "used up exactly"),
    )
