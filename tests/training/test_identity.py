"""Fingerprints and settings, and how they are compared."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from course_utils.training import SCHEDULES, Schedule, identity
from course_utils.training.optimizers import SteppedScheduler, build_optimizer
from tests.toys import toy_data, toy_model


def test_a_fingerprint_depends_on_every_bit_and_shape_but_not_on_the_layout():
    numbers = torch.arange(24.0).reshape(1, 2, 3, 4)
    same = identity.fingerprint([numbers])
    assert same == identity.fingerprint([numbers.to(memory_format=torch.channels_last)])
    others = [numbers.reshape(4, 6), numbers.double(), numbers.bfloat16(), numbers.int(), -numbers]
    one_bit = numbers.clone()
    one_bit.view(torch.int32)[0, 1, 2, 3] ^= 1
    zeros = [torch.zeros(()), -torch.zeros(()), torch.zeros(0), torch.zeros(1, dtype=torch.bool)]
    prints = {identity.fingerprint([one]) for one in (numbers, *others, one_bit, *zeros)}
    assert len(prints) == 7 + 4
    assert identity.fingerprint([numbers, numbers]) != identity.fingerprint([numbers])


def test_the_names_of_weights_may_come_in_any_order():
    state = toy_model().state_dict()
    turned = dict(reversed(state.items()))
    assert identity.weights_fingerprint(state) == identity.weights_fingerprint(turned)
    assert identity.of_model(toy_model()) == identity.of_model(toy_model())
    assert identity.of_data(toy_data()) == identity.of_data(toy_data())


def about(schedule, count: int = 12, **options) -> identity.Identity:
    optimizer = torch.optim.SGD(toy_model().parameters(), **{"lr": 0.1, "momentum": 0.9} | options)
    stepped = SteppedScheduler(schedule(optimizer, count), "step", count)
    return identity.of_optimizer(optimizer) | identity.of_scheduler(stepped, 3)


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        *((schedule, schedule, []) for schedule in SCHEDULES.values()),
        (Schedule("step"), Schedule("step", gamma=0.5), ["scheduler.gamma=0.1, now it is 0.5"]),
        (Schedule("cosine"), Schedule("cosine", final=0.1), ["scheduler.eta_min=0.001, now it is"]),
        (Schedule("plateau"), Schedule("plateau", patience=3), ["scheduler.patience=1, now it"]),
        (Schedule("cosine"), Schedule("step"), ["scheduler=CosineAnnealingLR, now it is StepLR"]),
        (SCHEDULES["warm-up + cosine"], Schedule("cosine", warmup=0.5), ["scheduler._milestones"]),
        (
            lambda o, n: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)),
            lambda o, n: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + 2 * t)),
            ["other learning rates"],
        ),
    ],
)
def test_every_setting_of_a_schedule_is_compared(one, other, words):
    found = identity.differences(about(one), about(other))
    assert len(found) >= len(words) and all(map(str.startswith, found, words))
    assert bool(found) == bool(words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lr": 0.2}, "optimizer.lr=0.1, now it is 0.2"),
        ({"momentum": 0.8}, "optimizer.momentum=0.9, now it is 0.8"),
        ({"weight_decay": 0.1}, "optimizer.weight_decay=0, now it is 0.1"),
        ({"nesterov": True}, "optimizer.nesterov=False, now it is True"),
    ],
)
@pytest.mark.parametrize("schedule", SCHEDULES.values())
def test_every_setting_of_an_optimizer_is_compared(schedule, change, words):
    found = identity.differences(about(schedule), about(schedule, **change))
    if schedule.shape == "one cycle" and "momentum" in change:
        assert not found  # because the cycle sets the momentum
    else:
        assert words in found


def test_parameter_groups_are_compared_one_by_one():
    def groups(*rates: float) -> identity.Identity:
        layers = (toy_model()[0], toy_model()[6])
        pairs = zip(layers, rates, strict=True)
        own = [{"params": layer.parameters(), "lr": rate} for layer, rate in pairs]
        return identity.of_optimizer(torch.optim.AdamW(own))

    found = identity.differences(groups(0.1, 0.2), groups(0.1, 0.3))
    assert found == ["optimizer.lr=[0.1, 0.2], now it is [0.1, 0.3]"]
    tensor = build_optimizer(toy_model(), partial(torch.optim.Adam, lr=torch.tensor(0.5)))
    assert identity.of_optimizer(tensor)["optimizer.lr"] == 0.5


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (toy_model(dropout=0.5), r"another model, with (5): Dropout(p=0.0, inplace=False) where"),
        (toy_model(norm=True), "another model, with (1): Identity() where there is now (1): Batch"),
        (toy_model(seed=1), "other starting weights"),
        (nn.Sequential(*toy_model(), nn.Identity()), "there is now (7): Identity()"),
    ],
)
def test_another_model_is_named(other, words):
    found = identity.differences(identity.of_model(toy_model()), identity.of_model(other))
    assert words in found[0]
    frozen = toy_model()
    frozen[0].bias.requires_grad_(False)
    found = identity.differences(identity.of_model(toy_model()), identity.of_model(frozen))
    assert found == ["frozen=[], now it is ['0.bias']"]


def test_many_differences_are_counted_and_what_is_not_kept_is_said():
    many = {str(number): number for number in range(9)}
    assert identity.differences(dict.fromkeys(many, -1), many)[2:] == [
        "2=-1, now it is 2",
        "6 more",
    ]
    assert identity.differences({}, {"seed": 1}) == ["nothing is kept about its seed"]
    assert identity.differences({"a": torch.ones(2)}, {"a": torch.ones(2)})  # a strange file
