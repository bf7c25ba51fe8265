"""Alternatives and typical wrong answers of notebook 03_1's exercises."""

from __future__ import annotations

import math

import pytest
import torch

from course_utils.training.schedules import schedule_curve


def test_largest_rate_other_ways(solved):
    solved(
        "03_1.largest_rate",
        lambda curvatures: min(2 / c for c in curvatures),
        lambda curvatures: torch.tensor(2.0) / torch.tensor(curvatures).max(),
        lambda curvatures: 2 / sorted(curvatures)[-1],
    )


def test_largest_rate_rejects(rejected):
    rejected(
        "03_1.largest_rate",
        (lambda c: 1 / max(c), "is 0.05, it should be 0.1"),
        (lambda c: 2 / min(c), "is 2.0, it should be 0.1"),
        (lambda c: 2 / c[-1], "curvatures [20.0, 1.0]"),
        (lambda c: 2 * len(c) / sum(c), "should be 0.1"),
        (lambda c: 2 / (max(c) + 1e-3 * (len(c) - 2)), "one parameter"),
        (lambda c: c, "a number"),
    )


def by_loop(epoch, learning_rate, step_size, gamma):
    for past in range(1, epoch + 1):
        if past % step_size == 0:
            learning_rate *= gamma
    return learning_rate


def by_torch(epoch, learning_rate, step_size, gamma):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=learning_rate)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size, gamma)
    for _ in range(epoch):
        optimizer.step()
        scheduler.step()
    return scheduler.get_last_lr()[0]


def test_step_rate_other_ways(solved):
    solved("03_1.step_rate", by_loop, by_torch)


def test_step_rate_rejects(rejected):
    rejected(
        "03_1.step_rate",
        (lambda e, r, s, g: r * g ** (e / s), "(level until 30 epochs are over: 0 to 29)"),
        (lambda e, r, s, g: r * g ** (e % s), "(level until 30 epochs are over: 0 to 29)"),
        (lambda e, r, s, g: r * g ** ((e + 1) // s), "before the drop: for epoch 29"),
        (lambda e, r, s, g: r * g ** (e > s), "the first epoch after the drop"),
        (lambda e, r, s, g: r * (g if e >= s else 1), "two drops"),
        (lambda e, r, s, g: g ** (e // s), "the first epoch: for epoch 0, rate 0.1"),
    )


def test_fitted_drops_other_ways(solved):
    solved(
        "03_1.fitted_drops",
        lambda epochs: (math.ceil(epochs / 3), 0.1),
        lambda epochs: [(epochs + 2) // 3, 0.01**0.5],
        lambda epochs: torch.tensor([float(-(-epochs // 3)), 0.1]),
    )


def test_fitted_drops_rejects(rejected):
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
        (lambda e: (-(-e // 3), -0.1), "gamma is -0.1"),
        (lambda e: (-(-e // 3), 10), "gamma is 10"),
        (lambda e: {"step_size": -(-e // 3), "gamma": 0.1}, "a dict"),
        (lambda e: {-(-e // 3), 0.1}, "a set"),
        (lambda e: "30", "two numbers"),
    )


def clearing_last(model, batches, loss_function, optimizer, scheduler, epochs):
    for _epoch in range(epochs):
        for inputs, labels in batches:
            loss_function(model(inputs), labels).backward()
            optimizer.step()
            model.zero_grad()
        scheduler.step()


def one_loop(model, batches, loss_function, optimizer, scheduler, epochs):
    for number in range(epochs * len(batches)):
        inputs, labels = batches[number % len(batches)]
        optimizer.zero_grad()
        loss_function(model(inputs), labels).backward()
        optimizer.step()
        if (number + 1) % len(batches) == 0:
            scheduler.step()


def counting(model, batches, loss_function, optimizer, scheduler, epochs):
    """An older way to call scheduler.step; torch still accepts it, with a warning."""
    for epoch in range(epochs):
        for inputs, labels in batches:
            optimizer.zero_grad()
            loss_function(model(inputs), labels).backward()
            optimizer.step()
        scheduler.step(epoch + 1)


def test_train_epochs_other_ways(solved):
    solved("03_1.train_epochs", clearing_last, one_loop, counting)


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


def epoch_first(model, batches, loss_function, optimizer, scheduler, epochs):
    for _ in range(epochs):
        scheduler.step()
        for inputs, labels in batches:
            optimizer.zero_grad()
            loss_function(model(inputs), labels).backward()
            optimizer.step()


def batch_by_batch(before_step=lambda model: None, backward=True, factor=1, order=1, told=""):
    """The right loop with one mistake."""

    def train_epochs(model, batches, loss_function, optimizer, scheduler, epochs):
        for _ in range(epochs):
            for inputs, labels in batches[::order]:
                optimizer.zero_grad()
                loss = factor * loss_function(model(inputs), labels)
                if backward:
                    loss.backward()
                before_step(model)
                optimizer.step()
            if told:
                scheduler.step(**{told: loss})
            else:
                scheduler.step()

    return train_epochs


def plateau_like(model, batches, loss_function, optimizer, scheduler, epochs):
    for _ in range(epochs):
        for inputs, labels in batches:
            optimizer.zero_grad()
            loss = loss_function(model(inputs), labels)
            loss.backward()
            optimizer.step()
        scheduler.step(loss.item())


def test_train_epochs_rejects(rejected):
    rejected(
        "03_1.train_epochs",
        (epoch_first, "before the first optimizer.step()"),
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
        (plateau_like, "takes no argument"),
        (batch_by_batch(told="epoch"), "takes no argument"),
        (batch_by_batch(told="metrics"), "takes no argument"),
        (lambda *a: loop("o")(*a[:5], 1), "optimizer.step() was called 3 times"),
        (lambda *a: 1 / 0, "division by zero"),
    )


def cosine_by_parts(step, steps, warmup, peak):
    if warmup and step < warmup:
        return (step + 1) * peak / warmup
    return peak * math.cos(math.pi / 2 * (step - warmup) / (steps - warmup)) ** 2


def cosine_by_torch(step, steps, warmup, peak):
    share = torch.tensor((step - warmup) / (steps - warmup))
    return torch.where(
        torch.tensor(step < warmup),
        peak * (step + 1) / max(warmup, 1),
        peak / 2 * (1 + torch.cos(torch.pi * share)),
    )


def test_warmup_cosine_other_ways(solved):
    solved("03_1.warmup_cosine", cosine_by_parts, cosine_by_torch)


def test_warmup_cosine_rejects(rejected):
    rejected(
        "03_1.warmup_cosine",
        (lambda t, n, w, p: cosine_by_parts(t, n, 0, p), "the first step: for step 0 of 100"),
        (lambda t, n, w, p: cosine_by_parts(t, n, w, 1.0), "the first step"),
        (
            lambda t, n, w, p: p * t / w if t < w else cosine_by_parts(t, n, w, p),
            "(step + 1) / warmup",
        ),
        (
            lambda t, n, w, p: (
                p * (t + 1) / w if t < w else p * (1 + math.cos(math.pi * t / n)) / 2
            ),
            "the first step after the rise",
        ),
        (
            lambda t, n, w, p: (
                p * (t + 1) / w
                if t < w
                else p * (1 + math.cos(math.pi * (t - w) / (n - 1 - w))) / 2
            ),
            "step 99 of 100",
        ),
        (lambda t, n, w, p: cosine_by_parts(t, n, w, p) if t != 55 else p / 3, "halfway down"),
        (
            lambda t, n, w, p: p * (t + 1) / w if t / w < 1 else cosine_by_parts(t, n, w, p),
            "no warm-up",
        ),
        (lambda t, n, w, p: None if t == 99 else cosine_by_parts(t, n, w, p), "returns nothing"),
    )


@pytest.mark.parametrize(("steps", "warmup"), [(100, 10), (9, 3), (20, 1)])
def test_warmup_cosine_is_the_one_of_torch_that_its_last_line_names(line, steps, warmup):
    named = line("03_1.warmup_cosine", cosine_by_parts)
    assert "LinearLR(start_factor=1/warmup, total_iters=warmup - 1)" in named
    assert "CosineAnnealingLR(steps - warmup)" in named and "milestones=[warmup]" in named

    def by_torch(optimizer, steps):
        schedules = torch.optim.lr_scheduler
        rise = schedules.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
        fall = schedules.CosineAnnealingLR(optimizer, steps - warmup)
        return schedules.SequentialLR(optimizer, [rise, fall], milestones=[warmup])

    by_hand = [cosine_by_parts(step, steps, warmup, 0.1) for step in range(steps)]
    assert schedule_curve(by_torch, steps, peak=0.1) == pytest.approx(by_hand)
