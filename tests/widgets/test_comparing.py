"""What the panels that compare runs have in common, on a panel that only counts."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from course_utils.errors import CourseError
from course_utils.history import Step
from course_utils.widgets.comparing import ComparesRuns
from course_utils.widgets.panel import Panel, int_slider


@dataclass(frozen=True)
class Count:
    to: int

    @property
    def label(self) -> str:
        return f"to {self.to}"


class Counter(ComparesRuns, Panel):
    """A run counts up; 13 is no plan, 14 fails on its way."""

    def __init__(self):
        self.hold = threading.Event()
        self.hold.set()
        super().__init__(
            {"to": int_slider("to", 3, 1, 20)},
            title="Counter",
            width=10,
            extra=self.build_buttons(),
        )

    def compute(self, to):
        self.raise_failure()
        return to, self.going, tuple(self.runs)

    def picture(self, result):
        return b""

    def describe(self, result):
        return str(result)

    def plan(self, *, to):
        if to == 13:
            raise CourseError("13 is unlucky.")
        return Count(to)

    def train_one(self, plan, run):
        for number in range(1, plan.to + 1):
            self.going = number
            self.on_step(Step(number, plan.to, 1, 1, 0.0, 0.1))
            while not self.hold.wait(0.01):
                if run.stopping.is_set():
                    return None
            if plan.to == 14:
                raise CourseError("14 broke down.")
        return plan.to


@pytest.fixture
def panel():
    panel = Counter()
    yield panel
    panel.hold.set()
    panel.stop()
    assert panel.wait(10)


def test_runs_are_gathered_and_forgotten(panel):
    panel.train(wait=True)
    panel.set(to=5)
    panel.train(wait=True)
    assert panel.runs == [3, 5] and panel.result == (5, None, (3, 5)) and panel.error == ""
    assert (panel._bar.value, panel._bar.max, panel._status.value) == (5, 5, "")
    panel.clear()
    assert panel.runs == [] and panel.result == (5, None, ())


def test_a_run_on_its_way_is_told_and_can_be_stopped(panel):
    panel.hold.clear()
    panel.train()
    while panel.going is None or "epoch" not in panel._status.value:
        threading.Event().wait(0.01)
    assert panel._status.value == "to 3: epoch 1 of 1"
    assert panel._train_button.disabled and not panel._stop_button.disabled
    panel.train()
    assert "on its way" in panel._status.value
    panel.stop()
    assert panel.wait(10)
    assert panel.runs == [] and panel.going is None
    assert panel._status.value == "Stopped: no run to compare."
    assert panel._stop_button.disabled and not panel._train_button.disabled


def test_another_panel_that_begins_is_named(panel):
    panel.hold.clear()
    panel.train()
    Counter().train(wait=True)
    assert panel.wait(10)
    assert panel._status.value == "Another panel began to train: no run to compare."


@pytest.mark.parametrize(("to", "text"), [(13, "13 is unlucky."), (14, "14 broke down.")])
def test_errors_are_shown_and_then_over(panel, to, text):
    panel.set(to=to)
    panel.train(wait=True)
    assert panel.error == text and panel.runs == []
    panel.set(to=2)
    assert panel.error == ""
    panel.train(wait=True)
    assert panel.runs == [2]
