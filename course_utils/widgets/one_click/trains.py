"""The button "Train briefly" of the one-click lab: copies before and after, in the background."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from course_utils.training import Step
from course_utils.widgets.background import BackgroundRun, RunsInBackground
from course_utils.widgets.one_click.brief_training import (
    BrieflyTrained,
    train_briefly,
    training_size,
)
from course_utils.widgets.one_click.edit_history import EditHistory, Edits
from course_utils.widgets.one_click.measured_network import MeasuredNetwork


class TrainsBriefly(RunsInBackground):
    """A part of `OneClickLab`, which has the methods and widgets that are used here."""

    _bar: widgets.FloatProgress
    error: str
    result: Any

    def train(self, wait: bool = False) -> None:
        """Train copies of the network before and after the edit, briefly, in the background.

        The panel says why if it cannot train: another training is under way, the settings cannot
        work, or the outputs are not scores of the data's classes. With `wait`, return only when the
        training has ended.
        """
        if self._refused():
            return
        if self.error:
            self._say("These settings cannot work, so there is nothing to train.")
            return
        if reason := self.result.before.why_no_accuracy:
            self._say(f"This network cannot be trained here. {reason}")
            return
        history = self._history()
        missing = history.not_trained(self.result)
        if not missing:
            self._say("That is done already: the table has both accuracies.")
            return
        self._run = run = BackgroundRun(
            lambda: self._train(run, history, missing),
            on_tick=self._on_tick,
            on_end=self._shown(self._on_end),
        )
        self._bar.value = 0
        self._say("Training …")
        run.start()
        self._show_state()
        if wait:
            self.wait()

    @property
    def trained(self) -> BrieflyTrained | None:
        """The briefly trained copy of `model`; None if there is none."""
        return self._history().trained_copy(self.result)

    def _train(
        self, run: BackgroundRun, history: EditHistory, missing: dict[Edits, MeasuredNetwork]
    ) -> bool:
        """Train a copy of each network; return True if no training was stopped."""
        images = training_size(history.original)  # the same for all, to compare them
        for number, (edits, network) in enumerate(missing.items()):

            def on_step(step: Step, number: int = number) -> None:
                self._share = (number + step.step / step.steps) / len(missing)
                run.tick()

            trained = train_briefly(network, images=images, stop=run.stopping, on_step=on_step)
            if trained is None:
                return False
            history.trained[edits] = trained
        return True

    def _on_tick(self) -> None:
        self._bar.value = self._share

    def _on_end(self) -> None:
        run = self._run
        self._failure = run.exception
        self.refresh()
        if run.exception is not None:
            self._say("Ended by an error.")
        elif run.result:
            self._bar.value = 1
            self._say("Trained: the table has both accuracies.")
        else:
            self._say(f"{run.why_stopped}: a training that is not finished does not count.")
