from __future__ import annotations

import pytest

from course_utils.training import SHAPES, History, RatePlan, RateRun, Schedule, schedule_curve
from course_utils.widgets.schedule_panel.panel import SchedulePanel, schedule_panel
from course_utils.widgets.schedule_panel.picture import ROWS, ScheduleView, draw
from tests.toys import toy_data, toy_model


@pytest.fixture
def drawn(panels):
    panels.append(SchedulePanel(toy_data(train=180), model=toy_model, epochs=2))
    return panels[-1]


@pytest.fixture
def panel(drawn, monkeypatch):
    """A panel that draws nothing, because a picture takes longer than many trainings."""
    monkeypatch.setattr(drawn, "picture", lambda *_: b"no picture")
    return drawn


def test_each_train_adds_a_run(drawn):
    panel, before = drawn, drawn.shown_picture
    panel.train(wait=True)
    panel.set(shape="step", optimizer="AdamW", peak=0.002)
    panel.train(wait=True)
    assert panel.error == ""
    labels = ["SGD + momentum 0.03, cosine", "AdamW 0.002, step, every 0.33"]
    assert [run.plan.label for run in panel.runs] == labels
    assert [len(run.history.epoch) for run in panel.runs] == [2, 2]
    assert panel.result.runs == tuple(panel.runs) and panel.result.going is None
    assert panel.summary.startswith(f"2 runs. The last, {labels[1]}:")
    assert len(panel.frame()) == 2
    assert panel.shown_picture == draw(panel.result) != before


def test_the_curve_follows_the_sliders_and_the_run_the_curve(panel):
    panel.set(shape="cosine", warmup=0.5, final=0.1, peak=0.05, epochs=4)
    want = schedule_curve(Schedule("cosine", warmup=0.5, final=0.1), 12, peak=0.05)
    assert panel.result.curve == tuple(want)
    panel.train(wait=True)
    assert panel.runs[0].history.step_learning_rate == pytest.approx(want)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_can_be_trained_at_both_ends_of_its_sliders(panel, shape):
    ends = {name: (panel.controls[name].min, panel.controls[name].max)
            for name in ("warmup", "every", "patience")}  # fmt: skip
    # torch's ReduceLROnPlateau refuses a gamma of 1.
    ends |= {"peak": (1e-4, 1.0), "gamma": (0.001, 0.9), "final": (0.001, 1.0)}
    for end in (0, 1):
        used = {name: ends[name][end] for name in ("peak", *SHAPES[shape])}
        panel.set(shape=shape, epochs=4, **used)  # fewer are too few for the shares
        off = {name for name, control in panel.controls.items() if control.disabled}
        assert off == set(ends) - {"peak", *SHAPES[shape]}
        panel.train(wait=True)
        assert panel.error == "" and panel.runs[-1].plan.schedule.shape == shape
    assert len(panel.runs) == 2


def test_what_the_shape_does_not_use_is_left_out(panel):
    panel.set(shape="plateau", warmup=0.5, gamma=0.5)
    assert panel.error == ""
    assert panel.result.plan.schedule == Schedule("plateau", gamma=0.5)


def test_the_code_makes_the_same_plan(panel):
    panel.set(shape="one cycle", warmup=0.4, peak=0.1234567, optimizer="Adam", epochs=5)
    code = panel.code(panel.result)
    plan = eval(code.removeprefix("train_with(").removesuffix(", data)"))
    assert plan == panel.result.plan and plan.peak == 0.12 and plan.pictures == 180


def test_a_rate_that_is_too_high_is_a_run_like_others(panel):
    panel.set(peak=1e30)
    panel.train(wait=True)
    assert panel.error == "" and panel.runs[0].diverged
    assert "diverged. The loss became" in panel.summary
    panel.set(peak=0.01)
    panel.train(wait=True)
    assert panel.summary.startswith("2 runs.") and "The best" not in panel.summary


def test_a_rise_of_too_few_steps_is_answered_in_words(panel):
    panel.set(shape="one cycle", warmup=0.3, epochs=1)
    assert "needs at least 2" in panel.error
    panel.train(wait=True)
    assert "needs at least 2" in panel.error and panel.runs == []
    panel.set(epochs=4)
    assert panel.error == ""


def test_the_default_is_the_real_pictures():
    panel = schedule_panel()
    assert panel.error == "" and panel.result.plan == RatePlan(Schedule("cosine"))
    assert len(panel.result.curve) == 4 * 47


def view(count: int, accuracy: float = 0.8, diverged: str = "") -> ScheduleView:
    plan = RatePlan(Schedule("cosine", warmup=0.1))
    histories = [
        History(
            epoch=[1, 2],
            validation_accuracy=[accuracy, accuracy - 0.01 * k],
            step_loss=[2.0, 1.0, 0.5 + 0.1 * k],
            step_learning_rate=[0.1] * 3,
        )
        for k in range(count)
    ]
    runs = tuple(RateRun(plan, history, diverged) for history in histories)
    return ScheduleView(plan, (0.1, 0.05), runs)


def test_the_picture_shows_every_run_and_then_the_last_ones():
    pictures = [draw(view(count)) for count in (0, 1, ROWS, ROWS + 1)]
    assert len(set(pictures)) == len(pictures)


def test_the_picture_of_extremes():
    for accuracy in (0.0, 1.0, float("nan")):
        assert draw(view(2, accuracy, "The loss became nan."))
    empty, longer = RateRun(RatePlan(), History()), RateRun(RatePlan(epochs=9), History())
    assert draw(ScheduleView(RatePlan(), (0.1,), (empty, longer), empty))
