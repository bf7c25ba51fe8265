"""Right and wrong answers to the exercises of notebook 03_1."""

from __future__ import annotations

import math

import pytest
import torch

from course_utils.training.schedules import schedule_curve


def test_largest_rate(solved, rejected):
    solved(
        "03_1.largest_rate",
        lambda curvatures: min(2 / c for c in curvatures),
        lambda curvatures: torch.tensor(2.0) / torch.tensor(curvatures).max(),
    )
    rejected(
        "03_1.largest_rate",
        (lambda c: 1 / max(c), "is 0.05, it should be 0.1"),
        (lambda c: 2 / min(c), "is 2.0, it should be 0.1"),
        (lambda c: 2 / c[-1], "curvatures [20.0, 1.0]"),
        (lambda c: 2 / (max(c) + 1e-3 * (len(c) - 2)), "one parameter"),
        (lambda c: c, "a number"),
    )


def test_step_rate(solved, rejected):
    def by_loop(epoch, learning_rate, step_size, gamma):
        for past in range(1, epoch + 1):
            learning_rate *= 1 if past % step_size else gamma
        return learning_rate

    solved("03_1.step_rate", by_loop)
    rejected(
        "03_1.step_rate",
        (lambda e, r, s, g: r * g ** (e / s), "(level until 30 epochs are over: 0 to 29)"),
        (lambda e, r, s, g: r * g ** ((e + 1) // s), "before the drop: for epoch 29"),
        (lambda e, r, s, g: r * g ** (e > s), "the first epoch after the drop"),
        (lambda e, r, s, g: r * (g if e >= s else 1), "two drops"),
        (lambda e, r, s, g: g ** (e // s), "the first epoch: for epoch 0, rate 0.1"),
    )


def test_fitted_drops(solved, rejected):
    solved(
        "03_1.fitted_drops",
        lambda epochs: [(epochs + 2) // 3, 0.01**0.5],
        lambda epochs: torch.tensor([float(-(-epochs // 3)), 0.1]),
    )
    rejected(
        "03_1.fitted_drops",
        (lambda e: (30, 0.1), "for 6 epochs StepLR(30) drops 0 times"),
        (lambda e: (e // 3, 0.1), "for 7 epochs StepLR(2) drops 3 times"),
        (lambda e: (e // 2, 0.1), "StepLR(3) drops 1 time within"),
        (lambda e: (e / 3, 0.1), "step_size is 2.333"),
        (lambda e: (-(-e // 3), 0.01), "0.0001 of the rate"),
        (lambda e: ((e - 1) // 2, 0.1), "4, 4 and 1 epochs"),
        (lambda e: -(-e // 3), "two numbers"),
        (lambda e: (0, 0.1), "step_size is 0"),
        (lambda e: (-(-e // 3), 10), "gamma is 10"),
        (lambda e: {"step_size": -(-e // 3), "gamma": 0.1}, "a dict"),
    )


def loop(order: str, every: str = "s", clear: bool = True):
    """A loop whose calls come in `order` for each batch and `every` after each epoch."""

    def train_epochs(model, batches, loss_function, optimizer, scheduler, epochs):
        calls = {"o": optimizer.step, "s": scheduler.step}
        for _ in range(epochs):
            for inputs, labels in batches:
                if clear:
                    optimizer.zero_grad()
                loss_function(model(inputs), labels).backward()
                for letter in order:
                    calls[letter]()
            for letter in every:
                calls[letter]()

    return train_epochs


def batch_by_batch(before_step=lambda model: None, backward=True, factor=1, order=1, told=None):
    """The right loop with one mistake; `told` returns the scheduler's arguments."""

    def train_epochs(model, batches, loss_function, optimizer, scheduler, epochs):
        for epoch in range(epochs):
            for inputs, labels in batches[::order]:
                optimizer.zero_grad()
                loss = factor * loss_function(model(inputs), labels)
                if backward:
                    loss.backward()
                before_step(model)
                optimizer.step()
            scheduler.step(**told(epoch, loss) if told else {})

    return train_epochs


def test_train_epochs(solved, rejected):
    def one_loop(model, batches, loss_function, optimizer, scheduler, epochs):
        for number in range(1, epochs * len(batches) + 1):
            inputs, labels = batches[(number - 1) % len(batches)]
            loss_function(model(inputs), labels).backward()
            optimizer.step()
            model.zero_grad()
            if number % len(batches) == 0:
                scheduler.step()

    # torch still accepts the number of the epoch, with a warning.
    solved("03_1.train_epochs", one_loop, batch_by_batch(told=lambda e, loss: {"epoch": e + 1}))
    rejected(
        "03_1.train_epochs",
        (loop("so", ""), "before the first optimizer.step()"),
        (loop("os", ""), "after every batch"),
        (loop("o", ""), "called 0 times, it should be 4"),
        (loop("", "os"), "called 4 times, it should be 12"),
        (loop("", "s"), "optimizer.step() is never called"),
        (loop("o", "s", clear=False), "zero_grad()"),
        (batch_by_batch(order=-1), "the batches in their order"),
        (batch_by_batch(factor=2), "with the loss unchanged"),
        (batch_by_batch(backward=False), "no weight changed"),
        (batch_by_batch(lambda model: model.zero_grad()), "zero_grad() not between"),
        (batch_by_batch(told=lambda e, loss: {"epoch": loss.item()}), "takes no argument"),
        (batch_by_batch(told=lambda e, loss: {"metrics": loss}), "takes no argument"),
        (lambda *a: loop("o")(*a[:5], 1), "optimizer.step() was called 3 times"),
    )


def cosine(step, steps, warmup, peak):
    if warmup and step < warmup:
        return (step + 1) * peak / warmup
    return peak * math.cos(math.pi / 2 * (step - warmup) / (steps - warmup)) ** 2


def after_the_rise(rate):
    """An answer with the right rise, and then `rate` of (step, steps, warmup, peak)."""
    return lambda t, n, w, p: cosine(t, n, w, p) if t < w else rate(t, n, w, p)


def test_warmup_cosine(solved, rejected):
    solved("03_1.warmup_cosine", cosine, lambda *a: torch.tensor(cosine(*a)))
    rejected(
        "03_1.warmup_cosine",
        (lambda t, n, w, p: cosine(t, n, 0, p), "the first step: for step 0 of 100"),
        (lambda t, n, w, p: cosine(t, n, w, 1.0), "the first step"),
        (lambda t, n, w, p: p * t / w if t < w else cosine(t, n, w, p), "(step + 1) / warmup"),
        (after_the_rise(lambda t, n, w, p: cosine(t, n, 0, p)), "the first step after the rise"),
        (after_the_rise(lambda t, n, w, p: cosine(t, n - 1, w, p)), "step 99 of 100"),
        (lambda t, n, w, p: cosine(t, n, w, p) if t != 55 else p / 3, "halfway down"),
        (lambda t, n, w, p: cosine(t, n, w, p) if t / w else p / w, "no warm-up"),
        (lambda t, n, w, p: None if t == 99 else cosine(t, n, w, p), "returns nothing"),
    )


@pytest.mark.parametrize(("steps", "warmup"), [(100, 10), (9, 3), (20, 1)])
def test_warmup_cosine_is_the_one_of_torch_that_its_last_line_names(line, steps, warmup):
    named = line("03_1.warmup_cosine", cosine)
    assert "LinearLR(start_factor=1/warmup, total_iters=warmup - 1)" in named
    assert "CosineAnnealingLR(steps - warmup)" in named and "milestones=[warmup]" in named

    def by_torch(optimizer, steps):
        schedules = torch.optim.lr_scheduler
        rise = schedules.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
        fall = schedules.CosineAnnealingLR(optimizer, steps - warmup)
        return schedules.SequentialLR(optimizer, [rise, fall], milestones=[warmup])

    by_hand = [cosine(step, steps, warmup, 0.1) for step in range(steps)]
    assert schedule_curve(by_torch, steps, peak=0.1) == pytest.approx(by_hand)
