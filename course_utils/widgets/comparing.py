"""Panels in which each press on Train adds one more run to a comparison."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from course_utils.core import CourseError
from course_utils.training import Step
from course_utils.widgets.background import BackgroundRun, RunsInBackground
from course_utils.widgets.controls import row_of


class ComparesRuns(RunsInBackground):
    """A panel's part in a comparison of runs: Train, Stop and Clear, and the list of runs.

    Mix it in before `Panel`. The panel calls `build_buttons` before `Panel.__init__` and shows the
    returned widgets below its controls. Its `compute` calls `raise_failure` first, and returns an
    object with `runs`. It implements the methods under "What a panel implements".

    Attributes:
        runs: all runs so far, the first one first; each has a `label`.
        going: the run under way, as far as it is known; None if there is none.
    """

    _busy = "A run is on its way: wait for its end, or press Stop first."

    runs: list[Any]
    going: Any = None
    _step: Step | None = None

    # What a panel implements

    def plan(self, **settings: Any) -> Any:
        """Return what to train with these settings: an object with a `label`.

        Raises:
            CourseError: these settings cannot work.
        """
        raise NotImplementedError

    def train_one(self, plan: Any, run: BackgroundRun) -> Any:
        """Train once, in the thread of `run`, calling `on_step`; return None if it was stopped."""
        raise NotImplementedError

    def describe_no_run(self, result: Any) -> str:
        """Return the summary while there is no run and none is under way."""
        raise NotImplementedError

    def describe_last_run(self, result: Any) -> str:
        """Return the summary of the last run, without its label."""
        raise NotImplementedError

    # What the panel shows

    def describe(self, result: Any) -> str:
        if result.runs:
            number = f"{len(result.runs)} run{'s' * (len(result.runs) > 1)}"
            last = self.describe_last_run(result)
            return f"{number}. The last, {result.runs[-1].label}: {last}"
        return "The first run is on its way." if self.running else self.describe_no_run(result)

    def describe_unmeasured(self, result: Any) -> str:
        return f"runs: {'; '.join(run.label for run in result.runs) or 'none yet'}"

    # What the buttons do; cells and tests call the same

    def train(self, wait: bool = False) -> None:
        """Train in the background with the settings as they are now; the run is then added.

        While one is under way, a second one is refused with a sentence. With `wait`, return only
        when the run has ended.
        """
        if self._refused():
            return
        try:
            plan = self.plan(**self.settings)
        except CourseError as error:
            self._failure = error
            self.refresh()
            return
        work, on_tick = lambda: self.train_one(plan, run), lambda: self._on_tick(plan)
        run = BackgroundRun(work, on_tick=on_tick, on_end=self._shown(self._on_end))
        self._run, self._step = run, None
        self._say("Trying what computes fastest here …")
        self._show_state(running=True)
        self.refresh()  # clears the error of the last run
        run.start()
        if wait:
            self.wait()

    def clear(self) -> None:
        """Forget all runs, and stop the one under way."""
        self.stop()
        self.wait()
        self.runs.clear()
        self._say("")
        self.refresh()

    # What a panel calls

    def build_buttons(self) -> tuple[widgets.Widget, ...]:
        """Return the buttons, the progress bar and the status line, for below the controls."""
        self.runs = []
        self._train_button = self._button("Train", self.train, "One more run", "play", "success")
        self._stop_button = self._button("Stop", self.stop, "End the run early", "stop", "warning")
        self._clear_button = self._button("Clear", self.clear, "Forget all runs")
        self._bar = widgets.IntProgress(min=0, max=1, layout={"width": "auto"})
        self._status = widgets.HTML()
        self._show_state()
        buttons = row_of(self._train_button, self._stop_button, self._clear_button)
        return buttons, self._bar, self._status

    def on_step(self, step: Step) -> None:
        """Remember a step of `fit`, and redraw now and then."""
        self._step = step
        self._run.tick()

    # Inside

    def _on_tick(self, plan: Any) -> None:
        step = self._step
        self._bar.max, self._bar.value = step.steps, step.step
        self._say(f"{plan.label}: epoch {step.epoch} of {step.epochs}")
        self.refresh()

    def _on_end(self) -> None:
        run, self.going = self._run, None
        if run.exception is not None:
            self._failure = run.exception
            self._say("Ended by an error.")
        elif run.result is None:
            # A part of a run cannot be compared with whole runs, so it is not kept.
            self._say(f"{run.why_stopped}: no run to compare.")
        else:
            self.runs.append(run.result)
            self._say("")
            self._bar.value = self._bar.max
        self._show_state()
        self.refresh()

    def _show_state(self, running: bool = False) -> None:
        self._train_button.disabled, self._stop_button.disabled = running, not running
