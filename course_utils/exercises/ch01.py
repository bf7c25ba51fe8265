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
        Case(
            (3, 1, 3, False), "several input channels", "a kernel has a grid for each input channel"
        ),
        Case((3, 16, 3, False), "several output channels", "one kernel for each output channel"),
        Case((3, 16, 5, True), "with bias", "each of the 16 kernels has one bias"),
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
    return "The size of the image does not matter: the same weights are used everywhere."


@exercise(
    "01.parameters",
    check=_check_parameters,
    hints=(
        "Start with one kernel on an image with one channel. What changes if the image has "
        "three channels?",
        "Every kernel has c_in × k × k numbers, and there are c_out kernels.",
        "Each kernel also has one bias, if there are biases at all.",
    ),
)
def conv_parameters(c_in: int, c_out: int, k: int, bias: bool = True) -> int:
    """Compute the number of parameters of nn.Conv2d(c_in, c_out, k, bias=bias) by a formula.

    c_in, c_out: channels of the input and of the output; k: side of the square kernel in pixels.
    """
    # One kernel for each output channel, with a k × k grid for each input channel. The size of the
    # image is not in the formula, because each kernel is used at every position.
    weights = c_out * c_in * k * k
    # One bias for each output channel, also used at every position.
    return weights + c_out if bias else weights


def _check_dense_parameters(answer: Answer) -> str:
    draw = random.Random(2)
    cases = [
        Case((4, 4, 1, 1), "smallest case", "16 inputs, 16 outputs: 16 · 16 weights and 16 biases"),
        Case((4, 6, 1, 1), "an image that is not square", "it has height · width pixels"),
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
        "a {} × {} image, {} → {} channels",
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
        "high and wide as the image and has c_out channels.",
        "Multiply height, width and channels for both; then it is nn.Linear with these sizes.",
    ),
)
def dense_parameters_same_output(height: int, width: int, c_in: int, c_out: int) -> int:
    """Compute the number of parameters of a dense layer with as many outputs as a convolution.

    The convolution turns a height × width image with c_in channels into a map of the same height
    and width with c_out channels. The dense layer (with biases) connects every number of the
    flattened image with every number of the flattened map.
    """
    # Each of the n_out outputs has a weight for each of the n_in inputs, and one bias.
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
        "Differentiate both. Which one is right depends on the condition of the branch, x * x > 4.",
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
    # The condition is y > 4 with y = x², so it holds to the right of 2 and to the left of −2.
    if x * x > 4:
        return 9 * x * x - 8  # of x · (3x² − 8) = 3x³ − 8x
    return 3 * x * x  # of x · x² = x³


class _Gain(nn.Module):
    """Multiplies every pixel by its own number, and so is not equivariant."""

    def __init__(self, gain: Tensor) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, image: Tensor) -> Tensor:
        return image * self.gain


def _difference(layer: nn.Module, image: Tensor, shift: int, dims: int = -1) -> Tensor:
    return layer(torch.roll(image, shift, dims)) - torch.roll(layer(image), shift, dims)


def _inner(maps: Tensor, margin: int) -> Tensor:
    return maps[..., margin:-margin, margin:-margin]


def _mistakes(layer: nn.Module, image: Tensor, shift: int, margin: int) -> list[tuple[float, str]]:
    """Return the result of each usual mistake, and the sentence for it."""
    signed = _difference(layer, image, shift)
    columns = signed[..., margin:-margin]
    height = _inner(_difference(layer, image, shift, -2), margin)
    left = _inner(_difference(layer, image, -shift), margin)
    values = (
        (signed.abs().max(), "cut off the margin on all four sides"),
        (columns.abs().max(), "cut off the margin on all four sides, also at top and bottom"),
        (_inner(signed, margin).max(), "differences may be negative: take the absolute value"),
        (_inner(signed, margin).abs().mean(), "the largest difference, not the mean"),
        (height.abs().max(), "shift along the width, which is the last dimension"),
        (left.abs().max(), "shift to the right: a positive number for torch.roll"),
    )
    return [(value.item(), sentence) for value, sentence in values]


def _check_equivariance(answer: Answer) -> str:
    generator = torch.Generator().manual_seed(4)
    image = torch.rand(1, 1, 20, 24, generator=generator)
    edge = torch.ones(20, 24)
    edge[:2] = torch.rand(2, 24, generator=generator)
    edge[-2:] = torch.rand(2, 24, generator=generator)
    edge[:, :2] = 5.0
    spots = torch.ones(20, 24)
    spots[9, 12] = 3.0
    conv = nn.Conv2d(1, 4, 3, padding=1)
    # In every case the margin is so wide that a shift may also move zeros in instead of rolling.
    cases = [
        (conv, 3, 5, "a convolution, away from the border"),
        (_Gain(edge), 1, 4, "a layer that differs within 2 pixels of the border"),
        (_Gain(torch.linspace(2, 1, 24)), 2, 4, "a layer that gets darker from left to right"),
        (_Gain(spots), 2, 4, "one bright spot"),
        (_Gain(torch.linspace(1, 2, 20)[:, None]), 3, 4, "rows of different brightness"),
        (_Gain(torch.rand(20, 24, generator=generator)), 4, 6, "a layer with random gains"),
    ]
    for layer, shift, margin, what in cases:
        where = f"{what}: for shift {shift}, margin {margin}"
        got = answers.number(answer(layer, image, shift, margin, where=where), where)
        with torch.no_grad():
            want = _inner(_difference(layer, image, shift), margin).abs().max().item()
            because = answers.reason(_mistakes(layer, image, shift, margin), got)
        answers.compare_number(got, want, where, because)
    return "For the convolution it is zero up to rounding: the order does not matter."


@exercise(
    "01.equivariance",
    check=_check_equivariance,
    hints=(
        "Compute two results: shift the image, then apply the layer; or first the layer, then "
        "shift.",
        "torch.roll(image, shift, dims=-1) shifts along the width. Then cut off the border: "
        "[..., margin:-margin, margin:-margin].",
        "You have two cut results. Differences may be negative, and you need the largest without "
        "its sign, as a float (.item()).",
    ),
)
def equivariance(layer: nn.Module, image: torch.Tensor, shift: int, margin: int) -> float:
    """Measure the largest |layer(shifted image) − shifted layer(image)|, without the border.

    image: (1, C, H, W). Shift by `shift` pixels to the right, along the width. Before comparing,
    cut off `margin` pixels on all four sides. The layer keeps height and width.
    """
    # If the layer is equivariant, the order of the two does not matter: both results are equal.
    with torch.no_grad():
        first = layer(torch.roll(image, shift, dims=-1))
        second = torch.roll(layer(image), shift, dims=-1)
    # Near the border they differ for another reason: rolling brings in the other side.
    difference = (first - second)[..., margin:-margin, margin:-margin]
    return difference.abs().max().item()


def _check_same_budget(answer: Answer) -> str:
    first_cnn = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.Conv2d(16, 32, 3), nn.Flatten(), nn.Linear(32 * 7 * 7, 10)
    )
    exact = nn.Sequential(nn.Linear(20, 200), nn.Linear(200, 10))
    norms = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 5))
    frozen = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Conv2d(6, 12, 5), nn.Linear(12, 4))
    frozen[0].requires_grad_(False)
    draw = random.Random(5)
    cases = [(first_cnn, 784, 10), (exact, 20, 10), (norms, 4, 5), (frozen, 36, 4)]
    cases += [
        (nn.Conv2d(draw.randint(1, 9), draw.randint(9, 64), 3), draw.randint(2, 50), 3)
        for _ in range(6)
    ]
    for cnn, inputs, classes in cases:
        budget = _count(cnn)
        where = f"for a CNN of {budget:,} parameters, {inputs} inputs and {classes} classes"
        got = answers.number(answer(cnn, inputs, classes, where=where), where)
        needed = inputs + 1 + classes
        want = (budget - classes) // needed
        trainable = sum(p.numel() for p in cnn.parameters() if p.requires_grad)
        layers = [m for m in cnn.modules() if not isinstance(m, nn.Sequential)]
        weights = sum(m.weight.numel() for m in layers if hasattr(m, "weight"))
        no_norms = sum(_count(m) for m in layers if not isinstance(m, nn.BatchNorm2d))
        mistakes = (
            ((budget - classes) / needed, "a number of units is whole: round down"),
            (want + 1, f"{want + 1} units need {(want + 1) * needed + classes:,} parameters"),
            (budget // needed, "the output layer has one bias for each class"),
            ((budget - classes) // (inputs + classes), "each hidden unit has a bias"),
            (budget // (inputs + classes), "both layers have biases"),
            ((trainable - classes) // needed, "frozen parameters also count"),
            ((no_norms - classes) // needed, "the parameters of BatchNorm count as well"),
            ((weights - classes) // needed, "biases of the CNN count as well"),
        )
        answers.compare_number(got, want, where, answers.reason(mistakes, got, 1e-9))
    return "With 784 inputs and the parameters of the first CNN, the MLP has only 25 hidden units."


@exercise(
    "01.same_budget",
    check=_check_same_budget,
    hints=(
        "sum(p.numel() for p in cnn.parameters()) is the budget. How many parameters does one "
        "hidden unit need?",
        "One hidden unit needs `inputs` weights to the inputs, 1 bias, and `classes` weights to "
        "the outputs. The `classes` biases of the output layer count once.",
        "Take the output's biases away from the budget. How many hidden units fit into the rest?",
    ),
)
def same_budget(cnn: nn.Module, inputs: int, classes: int) -> int:
    """Find the most hidden units of an MLP that has at most as many parameters as the CNN.

    The MLP is nn.Linear(inputs, hidden), ReLU, nn.Linear(hidden, classes), both with biases.
    """
    budget = sum(parameter.numel() for parameter in cnn.parameters())
    # Each hidden unit has a weight to every input, a bias, and a weight to every class. The biases
    # of the classes are there once. Round down, so that the budget is not exceeded.
    return (budget - classes) // (inputs + 1 + classes)
