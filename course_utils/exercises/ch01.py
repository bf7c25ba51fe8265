"""Exercises of notebook 01: what weight sharing saves, gradients by hand, equivariance."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Case, shown
from course_utils.exercises.base import exercise


def _count(layer: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layer.parameters())


def _check_parameters(answer: Answer) -> str:
    draw = random.Random(1)
    cases = [
        Case((1, 1, 3, False), "one kernel without bias", "a 3 × 3 kernel is 9 numbers"),
        Case((3, 1, 3, False), "several input channels", "one kernel for each input channel"),
        Case((3, 16, 3, False), "several output channels", "one filter for each output channel"),
        Case((3, 16, 5, True), "with bias", "each of the 16 filters has one bias"),
        Case((16, 32, 3, False), "bias=False", "then only the weights count"),
    ]
    cases += [
        Case((draw.randint(1, 64), draw.randint(1, 64), draw.randint(1, 7), draw.random() < 0.5))
        for _ in range(10)
    ]
    answers.compare_numbers(
        answer,
        cases,
        lambda c_in, c_out, k, bias: _count(nn.Conv2d(c_in, c_out, k, bias=bias, device="meta")),
        "{} → {} channels, kernel {}, bias={}",
    )
    return "The size of the picture does not matter: the same weights are used everywhere."


@exercise(
    "01.parameters",
    check=_check_parameters,
    hints=(
        "Start with one filter on a picture with one channel. What changes if the picture has "
        "three channels?",
        "Every filter has c_in × k × k numbers, and there are c_out filters.",
        "c_out * c_in * k * k weights, and c_out biases if bias is True.",
    ),
)
def conv_parameters(c_in: int, c_out: int, k: int, bias: bool = True) -> int:
    """Compute the number of parameters of nn.Conv2d(c_in, c_out, k, bias=bias) by a formula.

    c_in, c_out: channels of the input and of the output; k: side of the square kernel in pixels.
    """
    weights = c_out * c_in * k * k
    return weights + c_out if bias else weights


def _check_dense_parameters(answer: Answer) -> str:
    draw = random.Random(2)
    cases = [
        Case((4, 4, 1, 1), "smallest case", "16 inputs, 16 outputs: 16 · 16 weights and 16 biases"),
        Case((4, 6, 1, 1), "a picture that is not square", "it has height · width pixels"),
        Case((5, 5, 3, 1), "several input channels", "each output depends on all channels"),
        Case((5, 5, 1, 8), "several output channels", "each has height · width numbers and biases"),
    ]
    cases += [
        Case((draw.randint(2, 20), draw.randint(2, 20), draw.randint(1, 4), draw.randint(1, 9)))
        for _ in range(10)
    ]
    answers.compare_numbers(
        answer,
        cases,
        lambda h, w, c_in, c_out: _count(nn.Linear(h * w * c_in, h * w * c_out, device="meta")),
        "a {} × {} picture, {} → {} channels",
    )
    dense, conv = _count(nn.Linear(28 * 28, 16 * 28 * 28, device="meta")), 160
    return (
        f"For 28 × 28 and 1 → 16 channels these are {shown(dense)} parameters; "
        f"the 3 × 3 convolution needs {conv}."
    )


@exercise(
    "01.dense_parameters_same_output",
    check=_check_dense_parameters,
    hints=(
        "How many numbers does the flattened input have, and how many the flattened output?",
        "nn.Linear(n_in, n_out) has n_in · n_out weights and n_out biases. The output map is as "
        "high and wide as the picture and has c_out channels.",
        "n_in = height * width * c_in and n_out = height * width * c_out.",
    ),
)
def dense_parameters_same_output(height: int, width: int, c_in: int, c_out: int) -> int:
    """Compute the number of parameters of a dense layer with as many outputs as a convolution.

    The convolution turns a height × width picture with c_in channels into a map of the same height
    and width with c_out channels. The dense layer (with biases) connects every number of the
    flattened picture with every number of the flattened map.
    """
    n_in = height * width * c_in
    n_out = height * width * c_out
    return n_in * n_out + n_out


def _branching(x: Tensor) -> Tensor:
    y = x * x
    if y > 4:
        y = 3 * y - 8
    return x * y


def _derivative(x: float) -> float:
    point = torch.tensor(float(x), dtype=torch.float64, requires_grad=True)
    _branching(point).backward()
    return point.grad.item()


def _check_gradient(answer: Answer) -> str:
    draw = random.Random(3)
    cases = [
        Case((1.0,), "branch not taken", "here y = x², so f = x³"),
        Case((3.0,), "branch taken", "here f = x · (3x² − 8), and both factors depend on x"),
        Case((-3.0,), "negative x", "the condition is y = x² > 4, not x > 2"),
        Case((-1.5,), "negative x, branch not taken"),
        Case((2.0,), "exactly at the boundary", "there y = 4, and y > 4 is false"),
        Case((0.0,), "x = 0"),
    ]
    cases += [Case((round(draw.uniform(-5, 5), 2),)) for _ in range(12)]
    answers.compare_numbers(answer, cases, _derivative, "x = {}")
    return "Autograd agrees: it follows the branch that ran, and ignores the other."


@exercise(
    "01.gradient",
    check=_check_gradient,
    hints=(
        "Write f without y, once for each branch.",
        "If the branch is not taken, f(x) = x · x² = x³. If it is, f(x) = x · (3x² − 8).",
        "The derivatives are 3x² and 9x² − 8. Which one is right depends on x * x > 4.",
    ),
)
def gradient(x: float) -> float:
    """Compute the derivative of f at x by hand (without autograd).

    def f(x):
        y = x * x
        if y > 4:
            y = 3 * y - 8
        return x * y
    """
    if x * x > 4:
        return 9 * x * x - 8
    return 3 * x * x


class _Gain(nn.Module):
    """Multiplies every pixel by its own number, and so is not equivariant."""

    def __init__(self, gain: Tensor) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, picture: Tensor) -> Tensor:
        return picture * self.gain


def _measured(layer: nn.Module, picture: Tensor, shift: int, margin: int) -> float:
    first = layer(torch.roll(picture, shift, dims=-1))
    second = torch.roll(layer(picture), shift, dims=-1)
    inner = slice(margin, -margin)
    return (first - second)[..., inner, inner].abs().max().item()


def _check_equivariance(answer: Answer) -> str:
    generator = torch.Generator().manual_seed(4)
    picture = torch.rand(1, 1, 20, 24, generator=generator)
    falling = torch.linspace(2, 1, 24)
    rows = torch.linspace(1, 2, 20)[:, None]
    spots = torch.ones(20, 24)
    spots[9, 12] = 3.0
    edge = torch.ones(20, 24)
    edge[:2] = torch.rand(2, 24, generator=generator)
    edge[-2:] = torch.rand(2, 24, generator=generator)
    edge[:, :2] = 5.0
    noise = torch.rand(20, 24, generator=generator)
    conv = nn.Conv2d(1, 4, 3, padding=1)
    everywhere = "a convolution differs only near the border: cut off the margin"
    all_sides = "cut off the margin on all four sides"
    negative = "take the largest absolute difference: here all differences are negative"
    # In every case the margin is so wide that a shift may also move zeros in instead of rolling.
    layers = [
        (conv, 3, 5, "a convolution, away from the border", everywhere),
        (_Gain(edge), 1, 4, "a layer that differs within 2 pixels of the border", all_sides),
        (_Gain(falling), 2, 4, "a layer that gets darker from left to right", negative),
        (_Gain(spots), 2, 4, "one bright spot", "the largest difference, not the mean"),
        (_Gain(rows), 3, 4, "rows of different brightness", "shift along the width"),
        (_Gain(noise), 4, 6, "a layer with random gains", ""),
    ]
    cases = [Case((layer, picture, shift, margin), *said) for layer, shift, margin, *said in layers]
    answers.compare_numbers(answer, cases, _measured, "shift {2}, margin {3}")
    return "For the convolution it is zero up to rounding: the order does not matter."


@exercise(
    "01.equivariance",
    check=_check_equivariance,
    hints=(
        "Compute two results: shift the picture, then apply the layer; or first the layer, then "
        "shift.",
        "torch.roll(picture, shift, dims=-1) shifts along the width. Then cut off the border: "
        "[..., margin:-margin, margin:-margin].",
        "Take (a - b).abs().max() of the two cut results, and .item() to get a float.",
    ),
)
def equivariance(layer: nn.Module, picture: torch.Tensor, shift: int, margin: int) -> float:
    """Measure the largest |layer(shifted picture) − shifted layer(picture)|, without the border.

    picture: (1, C, H, W). Shift by `shift` pixels to the right, along the width. Before comparing,
    cut off `margin` pixels on all four sides. The layer keeps height and width.
    """
    with torch.no_grad():
        first = layer(torch.roll(picture, shift, dims=-1))
        second = torch.roll(layer(picture), shift, dims=-1)
    difference = (first - second)[..., margin:-margin, margin:-margin]
    return difference.abs().max().item()


def _mlp(inputs: int, hidden: int, classes: int) -> int:
    return inputs * hidden + hidden + hidden * classes + classes


def _check_same_budget(answer: Answer) -> str:
    first_cnn = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.Conv2d(16, 32, 3), nn.Flatten(), nn.Linear(32 * 7 * 7, 10)
    )
    exact = nn.Sequential(nn.Linear(20, 200), nn.Linear(200, 10))
    norms = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 5))
    frozen = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Conv2d(6, 12, 5), nn.Linear(12, 4))
    frozen[0].requires_grad_(False)
    draw = random.Random(5)
    cases = [
        (first_cnn, 784, 10, "round down"),
        (exact, 20, 10, "a budget that is used up exactly"),
        (norms, 4, 5, "BatchNorm also has parameters"),
        (frozen, 36, 4, "frozen parameters also count"),
    ]
    cases += [
        (nn.Conv2d(draw.randint(1, 9), draw.randint(9, 64), 3), draw.randint(2, 50), 3, "")
        for _ in range(6)
    ]
    for cnn, inputs, classes, what in cases:
        budget = _count(cnn)
        where = f"for a CNN of {budget:,} parameters, {inputs} inputs and {classes} classes"
        where = f"{what}: {where}" if what else where
        got = answers.number(answer(cnn, inputs, classes, where=where), where)
        want = (budget - classes) // (inputs + 1 + classes)
        units = int(got) if got > want and got == int(got) else want
        needs = f"{units:,} units need {_mlp(inputs, units, classes):,} parameters"
        answers.compare_number(got, want, where, needs)
    return "With 784 inputs and the parameters of the first CNN, the MLP has only 25 hidden units."


@exercise(
    "01.same_budget",
    check=_check_same_budget,
    hints=(
        "sum(p.numel() for p in cnn.parameters()) is the budget. How many parameters does one "
        "hidden unit need?",
        "One hidden unit needs `inputs` weights to the inputs, 1 bias, and `classes` weights to "
        "the outputs. The `classes` biases of the output layer count once.",
        "(budget - classes) // (inputs + 1 + classes)",
    ),
)
def same_budget(cnn: nn.Module, inputs: int, classes: int) -> int:
    """Find the most hidden units of an MLP that has at most as many parameters as the CNN.

    The MLP is nn.Linear(inputs, hidden), ReLU, nn.Linear(hidden, classes), both with biases.
    """
    budget = sum(parameter.numel() for parameter in cnn.parameters())
    return (budget - classes) // (inputs + 1 + classes)
