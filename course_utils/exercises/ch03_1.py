"""Exercises of notebook 03_1: the limit of the learning rate, Adam, schedules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set

import torch

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Case, Wrong, shown
from course_utils.exercises.base import exercise


def _check_largest_rate(answer: Answer) -> str:
    cases = [
        Case(([1.0, 20.0],), because="1 − 20 r must stay above −1"),
        Case(([20.0, 1.0],), "the steep direction first", "the steepest direction decides"),
        Case(([0.5],), "one parameter"),
        Case(([3.0, 3.0, 3.0],), "a round valley"),
        Case(([1e-3, 4.0, 250.0],), "three parameters", "the steepest direction decides"),
    ]
    answers.compare_numbers(answer, cases, lambda c: 2 / max(c), "curvatures {}")
    return "Now test it in the panel: which limit do the curvatures 10 and 40 have?"


@exercise(
    "03_1.largest_rate",
    check=_check_largest_rate,
    hints=(
        "Along a parameter with curvature λ, one step changes w into w − r · λ · w. By what factor "
        "is w multiplied?",
        "By 1 − r λ. Multiply a number by the same factor again and again: for which factors does "
        "it shrink?",
        "For factors between −1 and 1. A positive r cannot make 1 − r λ larger than 1. So write "
        "the other condition, solve it for r, and ask which curvature allows the smallest r.",
    ),
)
def largest_rate(curvatures: list[float]) -> float:
    """Compute the learning rate above which plain gradient descent diverges in a valley.

    The valley is f(w) = ½ Σ λᵢ wᵢ², with the positive curvatures λᵢ, in any order.
    """
    # A step multiplies each parameter by 1 - r * curvature. It shrinks while that is above -1,
    # so while r < 2 / curvature. The condition must hold for every curvature, and the largest
    # one allows the least. The sign of the factor only says on which side the next point lies.
    return 2 / max(curvatures)


def _reference_adam(gradients: list[float], rate: float) -> list[float]:
    m = v = 0.0
    changes = []
    for t, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        changes.append(-rate * (m / (1 - 0.9**t)) / math.sqrt(v / (1 - 0.999**t)))
    return changes


def _check_adam_changes(answer: Answer) -> str:
    for gradients, rate, why in (
        ([2.0], 0.1, "after one step, the corrected m is g and the corrected v is g²"),
        ([3.0, 3.0, 3.0], 0.1, "while the gradient stays the same, each change is −rate"),
        ([-1000.0, -1000.0], 0.01, "the sign of the gradient counts, its size does not"),
        ([1.0, -1.0, 1.0, -1.0], 0.1, "m shrinks when the signs change, v does not"),
        ([0.5, 2.0, -1.0, 4.0, 0.1], 0.001, "t counts from 1"),
    ):
        where = f"for gradients {gradients}, rate {rate:g}"
        got = answer(gradients, rate, where=where)
        want = torch.tensor(_reference_adam(gradients, rate))
        read = answers.tensor(got, where, (len(gradients),))
        for step, (mine, right) in enumerate(zip(read.tolist(), want.tolist(), strict=True), 1):
            if not math.isclose(mine, right, rel_tol=1e-4, abs_tol=1e-9):
                raise Wrong(
                    f"{where} the change of step {step} is {shown(mine)}, it should be "
                    f"{shown(right)}{answers.in_brackets(why)}"
                )
    return "torch.optim.Adam computes the same; it also adds eps = 10⁻⁸, against a division by 0."


@exercise(
    "03_1.adam_changes",
    check=_check_adam_changes,
    hints=(
        "Begin with m = 0 and v = 0, and make a loop over the gradients that counts t from 1.",
        "In the loop: new m, new v, both corrected, one change. Which of the four must the next "
        "step still know?",
        "Only m and v are kept, without the correction. With one gradient of 2: m = 0.2, corrected "
        "2; v = 0.004, corrected 4; so the change is −rate · 2 / √4.",
    ),
)
def adam_changes(gradients: list[float], rate: float) -> list[float]:
    """Compute by how much Adam changes one parameter at each step, with β₁ = 0.9 and β₂ = 0.999.

    gradients: of the parameter at each step, the first one not 0. Both averages begin at 0.
    """
    m = v = 0.0
    changes = []
    for t, g in enumerate(gradients, start=1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        # After t steps the weights of the past gradients add up to 1 - 0.9**t only, because m began
        # at 0: dividing by this sum makes an average of it. The corrected values are not kept, or
        # the next step would correct them again.
        mean, square = m / (1 - 0.9**t), v / (1 - 0.999**t)
        changes.append(-rate * mean / square**0.5)
    return changes


def _check_fitted_drops(answer: Answer) -> str:
    for epochs in (6, 7, 8, 9, 10, 30, 90, 91):
        where = f"for {epochs} epochs"
        got = answer(epochs, where=where)
        unordered = isinstance(got, (str, bytes, Mapping, Set))
        if unordered or not hasattr(got, "__len__") or len(got) != 2:
            raise answers.wrong_kind(got, "two numbers, step_size and gamma", where)
        size, gamma = (answers.number(value, where) for value in got)
        if size != int(size) or size < 1:
            raise Wrong(
                f"{where} step_size is {shown(size)}, it should be a whole number of epochs"
            )
        drops = (epochs - 1) // int(size)
        if drops != 2:
            raise Wrong(
                f"{where} StepLR({shown(int(size))}) drops {drops} time{'s' * (drops != 1)} within "
                "the training, it should drop twice"
            )
        pieces = (int(size), int(size), epochs - 2 * int(size))
        if max(pieces) - min(pieces) > 2:
            raise Wrong(
                f"{where} the three pieces last {pieces[0]}, {pieces[1]} and {pieces[2]} epochs, "
                "they should have about the same length"
            )
        if not 0 < gamma < 1:
            raise Wrong(f"{where} gamma is {shown(gamma)}, it should be between 0 and 1")
        if not answers.same(float(gamma**2), 0.01):
            raise Wrong(
                f"{where} after two drops by gamma = {shown(gamma)}, {shown(float(gamma**2))} of "
                "the rate is left, it should be 0.01"
            )
    return "A schedule must fit the length of the training: choose its lengths as shares of it."


@exercise(
    "03_1.fitted_drops",
    check=_check_fitted_drops,
    hints=(
        "Two drops cut the training into three pieces of about the same length.",
        "The second drop must come before the last epoch is over: try 8 epochs. And two "
        "drops by gamma multiply the rate by gamma · gamma.",
        "A third of 8 is 2.67. With a step_size of 2 the drops come after 2, 4 and 6 epochs: one "
        "too many. With 3 they come after 3 and 6. In which direction must you round?",
    ),
)
def fitted_drops(epochs: int) -> tuple[int, float]:
    """Choose step_size and gamma of StepLR: two drops within the training, 1/100 is left.

    epochs: length of the training, 6 or more. The three pieces between the drops differ by at most
    two epochs.
    """
    import math

    # Rounding down would leave room for a third drop (8 epochs, step_size 2: after 2, 4 and 6), so
    # round up. The last piece is then the shortest, by two epochs at most.
    step_size = math.ceil(epochs / 3)
    # Two drops leave gamma * gamma of the rate, which is 1/100.
    return step_size, 0.1


def _reference_cosine(step: int, steps: int, warmup: int, low: float) -> float:
    if step < warmup:
        return low + (1 - low) * step / warmup
    half = (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
    return low + (1 - low) * half


def _check_warmup_cosine(answer: Answer) -> str:
    last = "the cosine would reach `low` at step `steps`, one after the last"
    cases = [
        Case((0, 100, 10, 0.01), "the first step", "the rise begins at `low`"),
        Case((5, 100, 10, 0.01), "halfway up", "halfway between `low` and 1"),
        Case((9, 100, 10, 0.01), "the last step of the rise", "it reaches 1 one step later"),
        Case((10, 100, 10, 0.01), "the first step after the rise", "the cosine begins at 1"),
        Case((99, 100, 10, 0.01), "the last step", last),
        Case((55, 100, 10, 0.01), "halfway down", "s = (step − warmup) / (steps − warmup)"),
        Case((0, 50, 0, 0.01), "no warm-up", "then the cosine begins at once"),
        Case((25, 50, 0, 0.2), "no warm-up, halfway"),
        Case((7, 9, 3, 0.0), "down to 0"),
        Case((0, 2, 1, 0.5), "a rise of one step"),
    ]

    answers.compare_numbers(answer, cases, _reference_cosine, "step {} of {}, warm-up {}, low {:g}")
    return "This is the course's Schedule('cosine', warmup=...), and it is SequentialLR in PyTorch."


@exercise(
    "03_1.warmup_cosine",
    check=_check_warmup_cosine,
    hints=(
        "Two pieces: a straight line from low to 1 while step < warmup, half a cosine after it.",
        "For the second piece, count: how many steps were made since the rise, and how many are "
        "there from the end of the rise to the end of the training? Their quotient is s.",
        "With 100 steps and a rise of 10, step 10 must have s = 0 and step 55 must have s = 0.5. A "
        "piece that falls from 1 to 0 becomes one from 1 to low: multiply it, then add something. "
        "If warmup is 0, is anything divided by it?",
    ),
)
def warmup_cosine(step: int, steps: int, warmup: int, low: float) -> float:
    """Compute the share of the peak at a step, 0 to steps − 1: a linear rise, then half a cosine.

    The rise goes from `low` at step 0 to 1 at step `warmup`; warmup = 0 means no rise. The cosine
    goes from 1 at step `warmup` to `low` at step `steps`, one after the last.
    """
    import math

    # With warmup = 0 this is never reached, so nothing is divided by 0.
    if step < warmup:
        return low + (1 - low) * step / warmup
    # 0 just after the rise, and 1 when all steps are over, whatever the length of the rise.
    share = (step - warmup) / (steps - warmup)
    # The cosine falls from 1 to -1 on the way from 0 to pi. Adding 1 and halving makes it 1 to 0.
    return low + (1 - low) * (1 + math.cos(math.pi * share)) / 2
