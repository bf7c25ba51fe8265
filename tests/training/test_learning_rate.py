from __future__ import annotations

import math
import threading

import pytest
import torch
from torch import nn

from course_utils.core.errors import CourseError
from course_utils.training.learning_rate import RatePlan, rates_as_frame, train_with
from course_utils.training.optimizers import COMPARED_OPTIMIZERS
from course_utils.training.schedules import Schedule
from tests.toys import toy_data, toy_model

DATA = toy_data(train=90)


def quick(data=DATA, model=toy_model, **plan):
    settings = {"pictures": 90, "epochs": 3, "peak": 0.02} | plan
    return train_with(RatePlan(**settings), data, model=model, precision="float32")


def test_the_plan_is_followed():
    run = quick(schedule=Schedule("step", every=0.5, gamma=0.5), peak=0.02, optimizer="Adam")
    assert run.history.step_learning_rate == pytest.approx([0.02] * 3 + [0.01] * 3)
    assert run.validation_accuracy == run.history.validation_accuracy[-1] and run.diverged == ""


@pytest.mark.parametrize("optimizer", COMPARED_OPTIMIZERS)
def test_every_optimizer_learns(optimizer):
    peak = {"SGD + momentum": 0.03}.get(optimizer, 0.01)
    assert quick(optimizer=optimizer, peak=peak, epochs=15).validation_accuracy > 0.8


def test_a_rate_that_diverges_is_a_result():
    run = quick(peak=1e30)
    assert "steps are too large" in run.diverged
    assert math.isnan(run.validation_accuracy) and run.history.step_loss
    assert rates_as_frame([run])["validation accuracy"].isna().all()


def test_runs_can_be_repeated_and_leave_random_numbers_alone():
    state = torch.get_rng_state()
    first, second = (quick(model=None, data=toy_data(90, size=12)) for _ in range(2))
    assert first.history.step_loss == second.history.step_loss
    assert torch.equal(state, torch.get_rng_state())


def test_a_run_that_was_stopped_cannot_be_compared():
    stop = threading.Event()
    stop.set()
    assert train_with(RatePlan(pictures=90), DATA, model=toy_model, stop=stop) is None


def test_what_cannot_be_trained():
    broken = toy_model()
    nn.init.constant_(broken[0].weight, math.nan)
    for words, arguments in (
        (r"validation=0\.1", {"data": toy_data(90, validation=0)}),
        ("very first loss is nan", {"model": lambda: broken}),
        (r"^The rise of OneCycle over 0\.3 of 2 steps",
         {"schedule": Schedule("one cycle", warmup=0.3), "epochs": 1}),
    ):  # fmt: skip
        with pytest.raises(CourseError, match=words):
            quick(**arguments)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"optimizer": "SGD"}, "SGD . momentum, RMSprop, Adam, AdamW"),
        ({"peak": 0.0}, "peak=0.0"),
        ({"peak": math.nan}, "peak=nan"),
        ({"epochs": 0}, "epochs=0"),
        ({"pictures": -1}, "pictures=-1"),
    ],
)
def test_settings_that_make_no_sense(settings, text):
    with pytest.raises(CourseError, match=text):
        RatePlan(**settings)


def test_label_and_table():
    run = quick(schedule=Schedule("cosine", warmup=0.25), epochs=4)
    assert run.plan.label == "SGD + momentum 0.02, cosine, warm-up 0.25"
    (row,) = rates_as_frame([run]).to_dict("records")
    assert row["schedule"] == "cosine, warm-up 0.25" and row["epochs"] == 4
    assert rates_as_frame([]).empty
