"""Alternatives and typical wrong answers of notebook 03_1's exercises."""

from __future__ import annotations

import math

import pytest
import torch

from course_utils.training.schedules import schedule_curve


@pytest.mark.parametrize(
    "answer",
    [
        lambda curvatures: min(2 / c for c in curvatures),
        lambda curvatures: torch.tensor(2.0) / torch.tensor(curvatures).max(),
        lambda curvatures: 2 / sorted(curvatures)[-1],
    ],
)
def test_largest_rate_other_ways(line, answer):
    assert line("03_1.largest_rate", answer).startswith("✔")


@pytest.mark.parametrize(
    ("answer", "edge"),
    [
        (lambda c: 1 / max(c), "it is 0.1 (1 − 20 r must stay above −1)"),
        (lambda c: 2 / min(c), "you gave 2.0, it is 0.1"),
        (lambda c: 2 / c[-1], "the steep direction first: for curvatures [20.0, 1.0]"),
        (lambda c: 2 * len(c) / sum(c), "it is 0.1"),
        (lambda c: 2 / (max(c) + 1e-3 * (len(c) - 2)), "one parameter"),
        (lambda c: c, "a number is wanted"),
    ],
)
def test_largest_rate_rejects(rejected, answer, edge):
    rejected("03_1.largest_rate", answer, edge)


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


@pytest.mark.parametrize("answer", [by_loop, by_torch])
def test_step_rate_other_ways(line, answer):
    assert line("03_1.step_rate", answer).startswith("✔")


@pytest.mark.parametrize(
    ("answer", "edge"),
    [
        (lambda e, r, s, g: r * g ** (e / s), "(level until 30 epochs are over: 0 to 29)"),
        (lambda e, r, s, g: r * g ** (e % s), "(level until 30 epochs are over: 0 to 29)"),
        (
            lambda e, r, s, g: r * g ** ((e + 1) // s),
            "before the drop: for epoch 29",
        ),
        (lambda e, r, s, g: r * g ** (e > s), "the first epoch behind the drop"),
        (lambda e, r, s, g: r * (g if e >= s else 1), "two drops"),
        (lambda e, r, s, g: g ** (e // s), "the first epoch: for epoch 0, rate 0.1"),
    ],
)
def test_step_rate_rejects(rejected, answer, edge):
    rejected("03_1.step_rate", answer, edge)


@pytest.mark.parametrize(
    "answer",
    [
        lambda epochs: (math.ceil(epochs / 3), 0.1),
        lambda epochs: [(epochs + 2) // 3, 0.01**0.5],
        lambda epochs: torch.tensor([float(-(-epochs // 3)), 0.1]),
    ],
)
def test_fitted_drops_other_ways(line, answer):
    assert line("03_1.fitted_drops", answer).startswith("✔")


@pytest.mark.parametrize(
    ("answer", "edge"),
    [
        (lambda e: (30, 0.1), "for 6 epochs StepLR(30) drops 0 times"),
        (lambda e: (e // 3, 0.1), "for 7 epochs StepLR(2) drops 3 times"),
        (lambda e: (e // 2, 0.1), "StepLR(3) drops 1 time within"),
        (lambda e: (e / 3, 0.1), "step_size is 2.333; a whole number"),
        (lambda e: (-(-e // 3), 0.01), "leave 0.0001 of the rate"),
        (lambda e: ((e - 1) // 2, 0.1), "for 9 epochs the three pieces last 4, 4 and 1 epochs"),
        (lambda e: -(-e // 3), "two numbers, step_size and gamma"),
        (lambda e: (0, 0.1), "a whole number of epochs is wanted"),
        (lambda e: (-(-e // 3), -0.1), "gamma is -0.1; a factor between 0 and 1 is wanted"),
        (lambda e: (-(-e // 3), 10), "gamma is 10; a factor between 0 and 1 is wanted"),
        (lambda e: {"step_size": -(-e // 3), "gamma": 0.1}, "a dict; two numbers, step_size and"),
        (lambda e: {-(-e // 3), 0.1}, "a set; two numbers, step_size and gamma"),
        (lambda e: "30", "two numbers, step_size and gamma"),
    ],
)
def test_fitted_drops_rejects(rejected, answer, edge):
    rejected("03_1.fitted_drops", answer, edge)


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
    """As scheduler.step was once called; torch still takes it, and warns."""
    for epoch in range(epochs):
        for inputs, labels in batches:
            optimizer.zero_grad()
            loss_function(model(inputs), labels).backward()
            optimizer.step()
        scheduler.step(epoch + 1)


@pytest.mark.parametrize("answer", [clearing_last, one_loop, counting])
def test_train_epochs_other_ways(line, answer):
    assert line("03_1.train_epochs", answer).startswith("✔")


def loop(order: str, every: str = "s", clear: bool = True):
    """A loop whose calls come in `order` for each batch and `every` behind each epoch."""

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
    """The right loop, but for one thing."""

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


@pytest.mark.parametrize(
    ("answer", "edge"),
    [
        (epoch_first, "scheduler.step() comes before the first optimizer.step()"),
        (loop("so", ""), "scheduler.step() comes before the first optimizer.step()"),
        (loop("os", ""), "after every batch; this one counts epochs"),
        (loop("o", ""), "scheduler.step() was called 0 times, it should be 4"),
        (loop("", "os"), "optimizer.step() was called 4 times, it should be 12"),
        (loop("", "s"), "optimizer.step() is never called"),
        (loop("o", "s", clear=False), "does optimizer.zero_grad() clear the old gradients"),
        (batch_by_batch(order=-1), "does every epoch take the batches in their order"),
        (batch_by_batch(factor=2), "with the loss as it is"),
        (batch_by_batch(backward=False), "no weight moved: is backward() called on the loss"),
        (batch_by_batch(lambda model: model.zero_grad()), "and zero_grad() not between it and"),
        (plateau_like, "takes no argument here; only ReduceLROnPlateau wants the loss"),
        (batch_by_batch(told="epoch"), "takes no argument here; only ReduceLROnPlateau wants"),
        (batch_by_batch(told="metrics"), "takes no argument here; only ReduceLROnPlateau wants"),
        (lambda *a: loop("o")(*a[:5], 1), "optimizer.step() was called 3 times"),
        (lambda *a: 1 / 0, "division by zero"),
    ],
)
def test_train_epochs_rejects(rejected, answer, edge):
    rejected("03_1.train_epochs", answer, edge)


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


@pytest.mark.parametrize("answer", [cosine_by_parts, cosine_by_torch])
def test_warmup_cosine_other_ways(line, answer):
    assert line("03_1.warmup_cosine", answer).startswith("✔")


@pytest.mark.parametrize(
    ("answer", "edge"),
    [
        (lambda t, n, w, p: cosine_by_parts(t, n, 0, p), "the first step: for step 0 of 100"),
        (lambda t, n, w, p: cosine_by_parts(t, n, w, 1.0), "the first step"),
        (
            lambda t, n, w, p: p * t / w if t < w else cosine_by_parts(t, n, w, p),
            "(the rise has (step + 1) / warmup of the peak)",
        ),
        (
            lambda t, n, w, p: (
                p * (t + 1) / w if t < w else p * (1 + math.cos(math.pi * t / n)) / 2
            ),
            "the first step behind the rise",
        ),
        (
            lambda t, n, w, p: (
                p * (t + 1) / w
                if t < w
                else p * (1 + math.cos(math.pi * (t - w) / (n - 1 - w))) / 2
            ),
            "the last step: for step 99 of 100, warm-up 10, peak 0.1 you gave 0.0",
        ),
        (
            lambda t, n, w, p: cosine_by_parts(t, n, w, p) if t != 55 else p / 3,
            "halfway down: for step 55 of 100, warm-up 10, peak 0.1 you gave 0.03333, it is 0.05 "
            "(s = (step − warmup) / (steps − warmup))",
        ),
        (
            lambda t, n, w, p: p * (t + 1) / w if t / w < 1 else cosine_by_parts(t, n, w, p),
            "no warm-up: for step 0 of 50, warm-up 0, peak 0.3: warmup_cosine raised ZeroDivision",
        ),
        (lambda t, n, w, p: None if t == 99 else cosine_by_parts(t, n, w, p), "returns nothing"),
    ],
)
def test_warmup_cosine_rejects(rejected, answer, edge):
    rejected("03_1.warmup_cosine", answer, edge)


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
