"""The shared part of panels that compare runs: on one that only counts, and on the real ones."""

from __future__ import annotations

import base64
import itertools
import threading
from typing import NamedTuple

import pytest

from course_utils.core.errors import CourseError
from course_utils.training.history import Step
from course_utils.widgets import background
from course_utils.widgets.comparing import ComparesRuns
from course_utils.widgets.panel import Panel, int_slider
from course_utils.widgets.regularisation_panel import panel as regularisation
from course_utils.widgets.schedule_panel import panel as schedule
from tests.toys import toy_data, toy_model


class Count(NamedTuple):
    to: int

    @property
    def label(self) -> str:
        return f"to {self.to}"


class View(NamedTuple):
    to: int
    going: int | None
    runs: tuple[Count, ...]


class Counter(ComparesRuns, Panel):
    """A run counts up; 13 is refused, 14 fails during the run."""

    def __init__(self):
        self.hold, self.begun = threading.Event(), threading.Event()
        self.hold.set()
        controls, buttons = {"to": int_slider("to", 3, 1, 20)}, self.build_buttons()
        super().__init__(controls, title="Counter", width=10, extra=buttons)

    def compute(self, to):
        return View(to, self.going, tuple(self.runs))

    def picture(self, result):
        return b""

    def describe_no_run(self, result):
        return f"Nothing yet, next {result.to}."

    def describe_last_run(self, result):
        return f"counted {result.runs[-1].to}."

    def plan(self, *, to):
        if to == 13:
            raise CourseError("13 is unlucky.")
        return Count(to)

    def train_one(self, plan, run):
        for number in range(1, plan.to + 1):
            self.going = number
            self.on_step(Step(number, plan.to, 1, 1, 0.0, 0.1))
            self.begun.set()
            while not self.hold.wait(0.01):
                if run.stopping.is_set():
                    return None
            if plan.to == 14:
                raise RuntimeError("no memory left")
        return plan


@pytest.fixture
def panel(panels):
    panels.append(Counter())
    return panels[-1]


def test_runs_are_gathered_and_forgotten(panel):
    panel._train_button.click()
    assert panel.wait(120)
    panel.set(to=5)
    panel.train(wait=True)
    assert panel.runs == [Count(3), Count(5)] and panel.error == ""
    assert panel.result == View(5, None, (Count(3), Count(5)))
    assert panel.summary == "2 runs. The last, to 5: counted 5."
    assert (panel._bar.value, panel._bar.max, panel.status) == (5, 5, "")
    panel._clear_button.click()
    assert panel.runs == [] and panel.result == View(5, None, ())
    assert panel.summary == "Nothing yet, next 5."


def test_a_run_on_its_way_is_told_and_can_be_stopped(panel):
    panel.hold.clear()
    panel.train()
    assert panel.begun.wait(120)
    assert panel.status == "to 3: epoch 1 of 1"
    assert panel.summary == "The first run is on its way."
    assert panel._train_button.disabled and not panel._stop_button.disabled
    panel.train()
    assert "on its way" in panel.status
    panel._stop_button.click()
    assert panel.wait(120)
    assert panel.runs == [] and panel.going is None
    assert panel.status == "Stopped: no run to compare."
    assert panel._stop_button.disabled and not panel._train_button.disabled


def test_another_panel_that_begins_ends_the_run_and_so_does_clear(panel):
    panel.hold.clear()
    panel.train()
    Counter().train(wait=True)
    assert panel.wait(120)
    assert panel.status == "Another panel began to train: no run to compare."
    panel.train()
    panel.clear()
    assert panel.runs == [] and not panel.running and panel.status == ""


@pytest.mark.parametrize(
    ("to", "text"), [(13, "13 is unlucky."), (14, "Unexpected RuntimeError: no memory left")]
)
def test_errors_are_shown_and_then_over(panel, to, text):
    panel.set(to=to)
    panel.train(wait=True)
    assert panel.error == text and panel.runs == []
    panel.set(to=2)
    assert panel.error == ""
    panel.train(wait=True)
    assert panel.runs == [Count(2)]


@pytest.fixture(params=["regularisation", "schedule"])
def kind(request):
    """A panel's module and the name of its training function, a first label, and the panel."""
    if request.param == "schedule":
        panel = schedule.SchedulePanel(toy_data(train=180), model=toy_model, epochs=2)
        return (schedule, "train_with"), "SGD + momentum 0.03, cosine", panel
    data, model = toy_data(train=90), lambda dropout: toy_model(dropout=dropout)
    panel = regularisation.RegularisationPanel(data, model=model, pictures=90, epochs=2)
    return (regularisation, "train_regularised"), "no method", panel


@pytest.fixture
def real(kind, panels, monkeypatch):
    """A panel that draws once, because a picture takes longer than these trainings."""
    panels.append(kind[2])
    monkeypatch.setattr(kind[2], "picture", lambda _: b"not drawn")
    return kind[2]


def test_stop_is_quick_and_leaves_no_run(kind, real, hold_steps, monkeypatch):
    steps, gate = [], hold_steps(*kind[0])
    monkeypatch.setattr(real, "on_step", steps.append)
    real.train()
    assert gate.arrived.wait(120)
    real.stop()
    assert real.wait(120)
    assert len(steps) == 1, "no further step begins after the stop"
    assert real.runs == [] and real.error == ""
    assert real.status == "Stopped: no run to compare."


def test_a_run_on_its_way_is_shown(real, monkeypatch):
    monkeypatch.setattr(background, "monotonic", itertools.count(0, 0.1).__next__)
    seen = []
    monkeypatch.setattr(real, "picture", lambda view: seen.append(view.going) or b"")
    real.set(epochs=4)
    plan = real.plan(**real.settings)
    real.train(wait=True)
    assert any(going is not None and going.label == plan.label for going in seen)
    assert seen[-1] is None
    assert real.runs[0].history.epoch[-1] == 4
    assert real._bar.value == real._bar.max


def test_an_exception_in_the_thread_is_shown(kind, real, monkeypatch):
    monkeypatch.setattr(*kind[0], lambda *_, **__: 1 / 0)
    real.train(wait=True)
    assert real.error == "Unexpected ZeroDivisionError: division by zero"
    real.set(epochs=1)
    assert real.error == ""


def test_the_committed_text_has_no_measured_number(kind, real):
    assert real._repr_mimebundle_()["text/plain"] == f"{real.title}: runs: none yet"
    assert "No run yet" in real.summary
    real.train(wait=True)
    bundle = real._repr_mimebundle_()
    assert bundle["text/plain"] == f"{real.title}: runs: {kind[1]}"
    assert base64.b64decode(bundle["image/png"]) == real.shown_picture
