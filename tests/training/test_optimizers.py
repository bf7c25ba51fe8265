from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch.optim import lr_scheduler as schedules

from course_utils.core.errors import CourseError
from course_utils.training import optimizers
from course_utils.training.optimizers import OPTIMIZERS, build_optimizer, build_scheduler
from tests.toys import toy_model


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_code_of_an_optimizer_makes_it(name):
    names = {"torch": torch, "partial": partial}
    code = optimizers.optimizer_code(name, prefix="torch.optim.", weight_decay=0.25)
    made, wanted = (
        build_optimizer(toy_model(), kind, 0.5).defaults
        for kind in (eval(code, names), partial(OPTIMIZERS[name], weight_decay=0.25))
    )
    assert made == wanted
    assert set(optimizers.COMPARED_OPTIMIZERS) <= set(OPTIMIZERS)


def test_default_optimizer():
    optimizer = build_optimizer(toy_model())
    assert type(optimizer) is torch.optim.AdamW
    assert optimizer.param_groups[0]["lr"] == 1e-3
    assert build_optimizer(toy_model(), learning_rate=0.5).param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    "factory",
    [
        torch.optim.SGD,
        torch.optim.RMSprop,
        torch.optim.Adagrad,
        partial(torch.optim.Adam, weight_decay=0.1, amsgrad=True),
        lambda parameters, lr: torch.optim.NAdam([{"params": parameters, "lr": lr}]),
    ],
)
def test_any_optimizer_of_what_is_trained(factory):
    model = toy_model()
    model[0].requires_grad_(False)
    optimizer = build_optimizer(model, factory, 0.25)
    groups = optimizer.param_groups
    assert [id(p) for g in groups for p in g["params"]] == [id(p) for p in model[6].parameters()]
    assert groups[0]["lr"] == 0.25


def test_ready_optimizer_and_what_has_no_optimizer():
    model = toy_model()
    ready = torch.optim.SGD(model[6].parameters(), lr=0.3)
    assert build_optimizer(model, ready) is ready
    for words, *arguments in (
        ("has its learning rate", model, ready, 0.1),
        ("no parameter of this model", toy_model(), ready),
        ("nothing to train", toy_model().requires_grad_(False)),
        ("LBFGS", toy_model(), torch.optim.LBFGS),
        *(
            (f"learning_rate={rate}", toy_model(), None, rate)
            for rate in (-0.1, math.nan, math.inf)
        ),
        ("learning_rate='0.1'", toy_model(), torch.optim.SGD, "0.1"),
        ("lr of the optimizer=inf", toy_model(), lambda p: torch.optim.SGD(p, lr=math.inf)),
        ("weight_decay .*=inf", toy_model(), partial(torch.optim.AdamW, weight_decay=math.inf)),
        ("Invalid momentum", toy_model(), partial(torch.optim.SGD, momentum=-1)),
        ("Invalid beta", toy_model(), partial(torch.optim.Adam, betas=(1.0, 0.9))),
        ("Nesterov", toy_model(), partial(torch.optim.SGD, nesterov=True)),
        ("2D parameters", toy_model(), torch.optim.Muon),
        ("cannot be made", toy_model(), "SGD"),
        ("returns a NoneType", toy_model(), lambda p: None),
        ("returns a list", toy_model(), list),
    ):
        with pytest.raises(CourseError, match=words):
            build_optimizer(*arguments)


def test_ready_optimizer_keeps_what_it_has_gathered():
    model = toy_model()
    ready = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    schedule = schedules.StepLR(ready, 1)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    ready.step()
    build_optimizer(model, ready)
    momenta = [ready.state[p]["momentum_buffer"] for p in model.parameters()]
    assert all(torch.equal(m, torch.ones_like(m)) for m in momenta)
    schedule.step()
    assert ready.param_groups[0]["lr"] == pytest.approx(0.03)


def test_schedule_is_told_how_often_it_is_stepped():
    optimizer = build_optimizer(toy_model(), torch.optim.SGD, 1.0)
    schedule = build_scheduler(optimizer, lambda o, n: schedules.CosineAnnealingLR(o, n), 12)
    assert schedule.T_max == 12
    assert build_scheduler(optimizer, schedule, 1) is schedule
    assert build_scheduler(optimizer, None, 12) is None


def test_schedule_that_does_not_fit():
    optimizer = build_optimizer(toy_model())
    other = schedules.StepLR(build_optimizer(toy_model()), 3)

    def refuse(optimizer, steps):
        raise CourseError("Train longer.")

    for words, schedule, count in (
        (r"^Train longer\.$", refuse, 12),
        ("12, such as scheduler=lambda", lambda o: schedules.StepLR(o, 3), 12),
        ("schedule cannot be made", schedules.ReduceLROnPlateau, 12),
        ("float division by zero", lambda o, n: schedules.OneCycleLR(o, 1, n, pct_start=0.25), 4),
        ("another optimizer", other, 12),
    ):
        with pytest.raises(CourseError, match=words):
            build_scheduler(optimizer, schedule, count)
