"""Exercises of notebook 03_1: the learning rate of a step, schedules, the order of the calls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Case, Unsolved, Wrong, shown
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
    return "Above it, the steps in the steepest direction grow; those in flat directions are slow."


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


def _check_step_rate(answer: Answer) -> str:
    level = "level until 30 epochs are over: 0 to 29"
    cases = [
        Case((0, 0.1, 30, 0.1), "the first epoch"),
        Case((29, 0.1, 30, 0.1), "the last epoch before the drop", level),
        Case((30, 0.1, 30, 0.1), "the first epoch after the drop", "30 epochs are over"),
        Case((7, 0.1, 30, 0.1), "a short training", "StepLR(30) never drops in 8 epochs"),
        Case((89, 0.1, 30, 0.1), "two drops", "each drop multiplies once more"),
        Case((3, 0.4, 1, 0.5), "a drop after every epoch"),
        Case((12, 2.0, 4, 1.0), "gamma 1"),
    ]

    answers.compare_numbers(
        answer,
        cases,
        lambda e, rate, size, gamma: rate * gamma ** (e // size),
        "epoch {}, rate {:g}, step_size {}, gamma {:g}",
    )
    return "With step_size = 30, the first 30 epochs have one constant rate."


@exercise(
    "03_1.step_rate",
    check=_check_step_rate,
    hints=(
        "How many times has the rate been multiplied by gamma after `epoch` epochs?",
        "Once for each step_size that is over. With 30: 0 times in epoch 29, once in epoch 30, "
        "twice in epoch 60. Which of Python's divisions counts like this?",
        "Integer division counts the drops. A rate that is multiplied by gamma that many times is "
        "the first rate times a power of gamma.",
    ),
)
def step_rate(epoch: int, learning_rate: float, step_size: int, gamma: float) -> float:
    """Compute the learning rate of an epoch, counted from 0, under StepLR(step_size, gamma)."""
    # After `step_size` epochs comes the first drop, after twice as many the second: the number of
    # drops so far is how many whole step_sizes fit into the epochs that are over. The first epoch
    # has the number 0, so `epoch` is also the number of epochs that are over.
    drops = epoch // step_size
    return learning_rate * gamma**drops


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


_BATCHES, _EPOCHS = 3, 4


def _check_train_epochs(answer: Answer) -> str:
    torch.manual_seed(3)
    model = nn.Linear(5, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    batches = [(torch.randn(8, 5), torch.randint(0, 2, (8,))) for _ in range(_BATCHES)]
    loss = nn.CrossEntropyLoss()
    before = [p.detach().clone() for p in model.parameters()]
    want = _by_hand(before, batches, loss)
    scheduler = _Recording(optimizer)
    where = f"for {_EPOCHS} epochs of {_BATCHES} batches"
    answer.run(model, batches, loss, optimizer, scheduler, _EPOCHS, where=where, copy=False)
    _check_calls(scheduler, where)
    got = [p.detach() for p in model.parameters()]
    if _close(got, before):
        raise Wrong(
            f"{where} no weight changed: is backward() called on the loss of this model, and "
            "zero_grad() not between it and optimizer.step()?"
        )
    if not _close(got, want):
        raise Wrong(
            f"{where} the calls are in order, but the weights are wrong: does "
            "optimizer.zero_grad() clear the old gradients before each backward(), and does every "
            "epoch use the batches in their order, with the loss unchanged?"
        )
    return "First the optimizer, once for each batch; then the scheduler, once for each epoch."


def _check_calls(calls: _Recording, where: str) -> None:
    """Check that the steps of the optimizer and the scheduler come in the right order."""
    if not calls.made:
        raise Unsolved("train_epochs calls neither optimizer.step() nor scheduler.step() so far")
    steps, drops = calls.made.count("o"), calls.made.count("s")
    if not steps:
        raise Wrong(f"{where} optimizer.step() is never called, so no weight changes")
    if calls.made.startswith("s"):
        raise Wrong(
            f"{where} scheduler.step() comes before the first optimizer.step(): the first rate of "
            "the schedule is never used (torch warns about this)"
        )
    if steps != _BATCHES * _EPOCHS:
        raise Wrong(
            f"{where} optimizer.step() was called {steps} times, it should be "
            f"{_BATCHES * _EPOCHS}: once for each batch"
        )
    if drops == steps:
        raise Wrong(
            f"{where} scheduler.step() was called after every batch; this schedule counts "
            "epochs, so the rate falls far too fast"
        )
    if drops != _EPOCHS:
        raise Wrong(f"{where} scheduler.step() was called {drops} times, it should be {_EPOCHS}")
    if calls.made != ("o" * _BATCHES + "s") * _EPOCHS:
        raise Wrong(f"{where} scheduler.step() belongs after the batches of each epoch")
    if calls.with_argument:
        raise Wrong(
            f"{where} scheduler.step() takes no argument here; only ReduceLROnPlateau needs the "
            "loss"
        )


def _by_hand(weights: list[Tensor], batches: list[Any], loss: nn.Module) -> list[Tensor]:
    """Train by gradient descent with rates 0.5, 0.25, 0.125, ..., without torch.optim."""
    weights = [w.clone().requires_grad_() for w in weights]
    for epoch in range(_EPOCHS):
        for inputs, labels in batches:
            value = loss(nn.functional.linear(inputs, *weights), labels)
            gradients = torch.autograd.grad(value, weights)
            with torch.no_grad():
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight -= 0.5 * 0.5**epoch * gradient
    return [w.detach() for w in weights]


def _close(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(some, others, strict=True))


class _Recording(torch.optim.lr_scheduler.ExponentialLR):
    """Halves the rate; records the steps of the optimizer ("o") and its own ("s"), in `made`.

    `with_argument` is True if step() got an argument. An epoch number does not count: older
    versions of torch asked for it.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.made, self.with_argument = "", False
        super().__init__(optimizer, 0.5)
        self.made = ""  # without the step that a scheduler makes itself when it is created
        optimizer.register_step_post_hook(lambda *_: self._record("o"))

    def _record(self, letter: str) -> None:
        self.made += letter

    def step(self, *arguments: Any, **named: Any) -> None:
        self._record("s")
        given = [v for v in (*arguments, *named.values()) if v is not None]
        if not all(isinstance(value, int) for value in given):
            self.with_argument, given = True, []
        super().step(*given)


@exercise(
    "03_1.train_epochs",
    check=_check_train_epochs,
    hints=(
        "Two loops: the outer one over epochs, the inner one over the batches of the list.",
        "In the inner loop: clear the gradients, compute the loss, backward(), optimizer.step().",
        "The scheduler counts epochs. When is an epoch over: inside the inner loop, or after it?",
    ),
)
def train_epochs(model, batches, loss_function, optimizer, scheduler, epochs) -> None:
    """Train the model, in place, with a scheduler whose step() is called once for each epoch.

    batches: a list of pairs (inputs, labels); every epoch uses all of them in their order.
    loss_function: called with (outputs, labels), such as nn.CrossEntropyLoss().
    """
    for _ in range(epochs):
        for inputs, labels in batches:
            optimizer.zero_grad()  # backward() adds to the old gradients
            loss_function(model(inputs), labels).backward()
            optimizer.step()  # uses the rate of this epoch
        # The epoch is over: now the next rate. Before the first optimizer.step() it would skip the
        # first rate of the schedule, and after every batch it would count batches as epochs.
        scheduler.step()


def _reference_cosine(step: int, steps: int, warmup: int, peak: float) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def _check_warmup_cosine(answer: Answer) -> str:
    last = "the cosine ends at step `steps`, one after the last"
    cases = [
        Case((0, 100, 10, 0.1), "the first step", "the rise is (step + 1) / warmup of the peak"),
        Case((4, 100, 10, 0.1), "within the rise"),
        Case((9, 100, 10, 0.1), "the last step of the rise", "it reaches the peak"),
        Case((10, 100, 10, 0.1), "the first step after the rise", "the cosine begins at the peak"),
        Case((99, 100, 10, 0.1), "the last step", last),
        Case((55, 100, 10, 0.1), "halfway down", "s = (step − warmup) / (steps − warmup)"),
        Case((0, 50, 0, 0.3), "no warm-up", "then the cosine begins at once"),
        Case((25, 50, 0, 0.3), "no warm-up, halfway"),
        Case((7, 9, 3, 2.0), "another peak"),
        Case((0, 2, 1, 1.0), "a rise of one step"),
    ]

    answers.compare_numbers(
        answer, cases, _reference_cosine, "step {} of {}, warm-up {}, peak {:g}"
    )
    return (
        "In torch: SequentialLR of LinearLR(start_factor=1/warmup, total_iters=warmup - 1) and "
        "CosineAnnealingLR(steps - warmup), with milestones=[warmup]."
    )


@exercise(
    "03_1.warmup_cosine",
    check=_check_warmup_cosine,
    hints=(
        "Two pieces: a straight line while step < warmup, and half a cosine after it.",
        "For the second piece, count: how many steps were made since the rise, and how many are "
        "there from the end of the rise to the end of the training? Their quotient is s.",
        "With 100 steps and a rise of 10, step 10 must have s = 0 and step 55 must have s = 0.5. "
        "`import math` has cos and pi. If warmup is 0, is anything divided by it?",
    ),
)
def warmup_cosine(step: int, steps: int, warmup: int, peak: float) -> float:
    """Compute the learning rate of a step, 0 to steps − 1: a linear rise, then half a cosine to 0.

    While step < warmup it is peak · (step + 1) / warmup; warmup = 0 means no rise.
    After the rise it is peak · (1 + cos(π s)) / 2, with s = (steps made since the rise) / (all
    steps after the rise): 0 at the first of them, and 1 only at step `steps`, one after the last.
    """
    import math

    # + 1, because a step at the rate 0 would be wasted. With warmup = 0 this is never reached.
    if step < warmup:
        return peak * (step + 1) / warmup
    # 0 just after the rise, and 1 when all steps are over, whatever the length of the rise.
    share = (step - warmup) / (steps - warmup)
    # The cosine falls from 1 to -1 on the way from 0 to pi. Adding 1 and halving makes it 1 to 0.
    return peak * (1 + math.cos(math.pi * share)) / 2
