from __future__ import annotations

import contextlib
import math
import warnings
from functools import partial

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from course_utils.core import CourseError
from course_utils.training import SCHEDULES, SHAPES, Schedule, schedule_curve
from course_utils.training.schedules import WARMUP_START
from tests.toys import toy_model
from tests.training.toy_fit import quick

shares = st.floats(0.001, 1)
peaks = st.floats(1e-5, 10)


@settings(max_examples=40)
@given(st.integers(1, 60), shares, shares, peaks)
def test_each_shape_is_its_formula(n, final, gamma, peak):
    length, low = max(1, round(final * n)), final * peak
    for schedule, rate in (
        (Schedule("cosine", final=final),
         lambda t: low + (peak - low) * (1 + math.cos(math.pi * t / n)) / 2),
        (Schedule("step", every=final, gamma=gamma), lambda t: peak * gamma ** (t // length)),
        (Schedule("exponential", final=final), lambda t: peak * final ** (t / n)),
    ):  # fmt: skip
        curve = schedule_curve(schedule, n, peak=peak)
        assert curve == pytest.approx([rate(t) for t in range(n)], rel=1e-4), schedule.shape


@settings(max_examples=25)
@given(st.integers(2, 60), st.floats(0.01, 0.99), peaks, st.sampled_from(list(SHAPES)[:4]))
def test_warmup_rises_to_the_peak_and_hands_over(n, warmup, peak, shape):
    rise = round(warmup * n)
    assume(1 <= rise < n)
    curve = schedule_curve(Schedule(shape, warmup=warmup), n, peak=peak)
    want = [peak * (WARMUP_START + (1 - WARMUP_START) * t / rise) for t in range(rise)]
    assert curve[:rise] == pytest.approx(want, rel=1e-4)
    assert curve[rise:] == pytest.approx(
        schedule_curve(Schedule(shape), n - rise, peak=peak), rel=1e-4
    )


@settings(max_examples=25)
@given(st.integers(3, 60), st.floats(0.0, 0.99), st.floats(1e-4, 0.02), peaks)
def test_one_cycle_is_torchs(n, warmup, final, peak):
    assume(not warmup or warmup * n >= 2)
    curve = schedule_curve(Schedule("one cycle", warmup=warmup, final=final), n, peak=peak)
    assert max(curve) <= peak * (1 + 1e-6) and curve[-1] == pytest.approx(final * peak, rel=1e-3)
    settings = {"pct_start": warmup, "final_div_factor": 1 / 25 / final}
    torchs = schedule_curve(lambda o, n: lr_scheduler.OneCycleLR(o, peak, n, **settings), n)
    assert curve == pytest.approx(torchs, rel=1e-4)


def test_every_named_schedule_begins_and_ends_where_it_should():
    for name, schedule in SCHEDULES.items():
        curve = schedule_curve(schedule, 100, peak=0.2)
        assert max(curve) == pytest.approx(0.2, rel=1e-3), name
        assert min(curve) > 0, name
    assert schedule_curve(SCHEDULES["ReduceLROnPlateau"], 5) == [1.0] * 5


def test_any_function_has_a_curve():
    curve = schedule_curve(lambda o, n: lr_scheduler.StepLR(o, 2, 0.5), 6, peak=4)
    assert curve == [4, 4, 2, 2, 1, 1]
    with pytest.raises(CourseError, match="cannot be made"):
        schedule_curve(lambda o: None, 6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_fit_follows_the_curve_without_a_warning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settings = {"batch_size": 4, "optimizer": torch.optim.Adam, "learning_rate": 0.01}
        history = quick(toy_model(), epochs=3, scheduler=SCHEDULES[name], **settings)
    curve = schedule_curve(SCHEDULES[name], 45, peak=0.01)
    if name != "ReduceLROnPlateau":
        assert history.step_learning_rate == pytest.approx(curve)


def test_plateau_drops_when_the_loss_stalls():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = Schedule("plateau", gamma=0.5, patience=1)(optimizer, 10)
    rates = []
    for loss in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0):
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1, 1, 1, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize("shape", list(SHAPES))
def test_parameter_groups_keep_their_own_rates(shape):
    weights = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    groups = [{"params": [weights[0]], "lr": 1.0}, {"params": [weights[1]], "lr": 0.1}]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    scheduler = Schedule(shape)(optimizer, 10)
    for _ in range(3):
        high, low = (group["lr"] for group in optimizer.param_groups)
        assert high == pytest.approx(10 * low, rel=0.1)
        optimizer.step()
        scheduler.step(*([1.0] if shape == "plateau" else []))


@pytest.mark.parametrize(
    ("make", "cycles"),
    [
        (torch.optim.SGD, False),
        (partial(torch.optim.SGD, momentum=0.9), True),
        (torch.optim.RMSprop, False),
        (torch.optim.AdamW, True),
        (torch.optim.Adagrad, False),
    ],
)
def test_one_cycle_adds_no_momentum_to_an_optimizer_without(make, cycles):
    optimizer = make([torch.zeros(1, requires_grad=True)], lr=1.0)
    before = optimizer.param_groups[0].get("momentum")
    scheduler = SCHEDULES["OneCycle"](optimizer, 10)
    assert scheduler.cycle_momentum == cycles
    assert cycles or optimizer.param_groups[0].get("momentum") == before


def test_labels_and_code():
    labels = ["constant", "exponential", "cosine, warm-up 0.1", "plateau"]
    assert [s.label for s in SCHEDULES.values()][::2] == labels
    assert SCHEDULES["OneCycle"].label == "one cycle, rise 0.3"
    assert Schedule("step", every=0.5, final=0.5).label == "step, every 0.5"
    for schedule in SCHEDULES.values():
        assert eval(schedule.code) == schedule
    assert Schedule("cosine", warmup=0.1).code == "Schedule('cosine', warmup=0.1)"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"shape": "linear"}, "no schedule 'linear'"),
        ({"warmup": 1.0}, "warmup=1: it is a share"),
        ({"warmup": 3}, "warmup=3"),
        ({"warmup": -0.1}, "warmup=-0.1"),
        ({"warmup": float("nan")}, "warmup=nan"),
        ({"shape": "plateau", "warmup": 0.1}, "has no warm-up"),
        ({"shape": None}, "no schedule None"),
        ({"shape": ["step"]}, "no schedule"),
        ({"shape": "plateau", "gamma": 1.0}, "gamma=1: .*share below 1"),
        ({"shape": "plateau", "gamma": float("nan")}, "gamma=nan"),
        ({"shape": "plateau", "patience": 1.5}, "patience=1.5"),
        *(({name: "0.5"}, f"{name}='0.5'") for name in ("warmup", "every", "gamma", "final")),
        *(({name: None}, f"{name}=None") for name in ("warmup", "every", "gamma", "final")),
        ({"every": 0.0}, "every=0"),
        ({"gamma": 0.0}, "gamma=0"),
        ({"final": 1.5}, "final=1.5"),
        ({"patience": -1}, "patience=-1"),
    ],
)
def test_settings_that_make_no_sense(arguments, text):
    with pytest.raises(CourseError, match=text):
        Schedule(**arguments)


@pytest.mark.parametrize(
    ("schedule", "n", "peak", "text"),
    [
        (Schedule("cosine", warmup=0.1), 4, 1, "over 0.1 of 4 steps would last 0 of them"),
        (Schedule("cosine", warmup=0.9), 4, 1, "would last 4 of them"),
        (Schedule("one cycle", warmup=0.25), 4, 1, "exactly 1, torch divides by zero"),
        (Schedule("one cycle", warmup=0.25), 3, 1, r"0\.75 of them.*rise over 0\.5 or more"),
        (Schedule(), 0, 1, "steps=0"),
        *((Schedule(), 3, peak, "positive number") for peak in (0, -1, math.inf, math.nan)),
    ],
)
def test_too_few_steps_and_impossible_peaks(schedule, n, peak, text):
    with pytest.raises(CourseError, match=text):
        schedule_curve(schedule, n, peak=peak)


def test_a_rate_of_nothing_cannot_be_scheduled():
    with pytest.raises(CourseError, match="learning rate of 0 cannot"):
        Schedule()(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0), 5)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_schedule_accepts_torch_accepts(shape):
    """Each setting at both of its ends, and whole numbers in place of shares."""
    ends = {"warmup": (0, 0.999), "every": (1e-9, 1), "gamma": (1e-320, 1), "final": (1e-320, 1)}
    for name in SHAPES[shape]:
        for value in ends.get(name, (0, 10**9)):
            for steps in (1, 2, 3, 40):
                with contextlib.suppress(CourseError):
                    assert min(schedule_curve(Schedule(shape, **{name: value}), steps)) >= 0
