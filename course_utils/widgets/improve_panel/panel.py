"""The improve panel: one click searches for a better network; every candidate is a point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from torch import nn

from course_utils.core import CourseError, seeded
from course_utils.data import Dataset, load_dataset
from course_utils.models import SimpleCNN
from course_utils.training import Precision
from course_utils.widgets.background import BackgroundRun, RunsInBackground
from course_utils.widgets.controls import code_toggle, row_of
from course_utils.widgets.improve_panel import controls, words
from course_utils.widgets.improve_panel.picture import WIDTH, ImproveView, Scale, draw
from course_utils.widgets.improve_panel.work import Progress, search, train_all
from course_utils.widgets.panel import Panel

if TYPE_CHECKING:
    from course_utils.metrics import Evaluation
    from course_utils.search import Budget, Improvement, SideBySide, Tried


class ImprovePanel(RunsInBackground, Panel):
    """Search for a better network; each candidate becomes a point.

    Choose a candidate by a click on its point, or from the list: the panel shows its settings, and
    code that makes and trains it. "Train it" trains it once more from the start. Beside it the
    given network is trained for as many epochs, with the article's settings.

    Search and trainings learn from the training images and compare on the validation images. Only
    `evaluate` uses the test images.

    Args:
        model: the network to start from; it is not changed. Default: a `SimpleCNN` for the images,
            with random weights.
        data: with validation images. Default: Fashion-MNIST.
        budget: of the search: a number of candidates, or a text, as for `improve`.
        precision: as for `improve`.
        settings: first values of the controls: the settings that may vary (`out_channels`,
            `kernel_size`, `depth`, `stride`, `groups`, `dilation`, `training`: True or False),
            `seed`, `epochs`.

    Attributes:
        result: the `Improvement`, during a search the result so far; None before.
        side_by_side: the trainings of "Train it", a `SideBySide`; None before the first.

    Raises:
        CourseError: `budget` is not a budget; a name in `settings` is not a control, or the control
            cannot have that value.
    """

    _busy = "A search or a training is on its way already: wait for its end, or press Stop first."

    def __init__(
        self,
        model: nn.Module | None = None,
        data: Dataset | None = None,
        *,
        budget: int | str | Budget = 12,
        precision: str | Precision = "float32",
        **settings: Any,
    ):
        # This imports Optuna now, so that the first click does not wait for it.
        from course_utils.search import Budget, improve  # noqa: F401

        self.data = load_dataset("fashion-mnist") if data is None else data
        if model is None:
            model = seeded(partial(SimpleCNN.for_data, self.data), 0)
        self.model = model
        self._budget, self._precision = Budget.of(budget), precision
        self._found: Improvement | None = None
        self.side_by_side: SideBySide | None = None
        self._last: tuple[int, int] | None = None  # of the last Train it: candidate, epochs
        self._build_views()
        made = controls.build_controls(self._budget)
        super().__init__(made, title="Improve panel", width=WIDTH, initial=settings)
        self._arrange()
        self._show_state()

    # What the buttons do; cells and tests call the same

    def improve(self, wait: bool = False) -> None:
        """Search in the background with the settings as they are now; forget the last search.

        With `wait`, return only when the search has ended.
        """
        if self._refused():
            return
        if not controls.varied(self.settings):
            self.refresh()  # this shows the error
            return
        self._forget()
        options = {"varied": controls.varied(self.settings), "seed": self.settings["seed"]}
        options |= {"precision": self._precision, "on_change": self._take_found}
        work = partial(search, self.model, self.data, str(self._budget_now), **options)
        self._begin(work, self._on_searched, wait)

    def train(self, wait: bool = False) -> None:
        """Train the chosen candidate and the given network in the background.

        With `wait`, return only when both have ended.
        """
        from course_utils.search import SideBySide

        if self._refused():
            return
        if self._found is None:
            self._say("There is no candidate yet: press Improve first.")
            return
        candidate = self._chosen(self._found)
        if not candidate.number:
            self._say("Choose another point: the given network is trained beside it anyway.")
            return
        if self.side_by_side is None:
            self.side_by_side = SideBySide(self._found, self.data, self._precision)
        epochs = self.settings["epochs"] or candidate.epochs
        self._last = candidate.number, epochs
        missing = self.side_by_side.missing(candidate, epochs)
        if not missing:
            self._say("That is done already: see the table.")
            return
        report = self._take_progress
        work = partial(train_all, self.side_by_side, missing, epochs, on_progress=report)
        self._begin(work, self._on_trained, wait)

    def clear(self) -> None:
        """Forget all candidates and trainings, and stop the work that is on its way."""
        self.stop()
        self.wait()
        self._forget()
        self._say("")
        self._show_state()
        self.refresh()

    def choose(self, number: int | str) -> None:
        """Choose a candidate and show its settings.

        Args:
            number: 0 is the given network, "best" the best candidate.

        Raises:
            CourseError: there is no candidate of that number.
        """
        with self._quiet():  # the list may not have the newest candidate yet
            controls.offer(self.controls["candidate"], self._found)
        self.set(candidate=number)

    def evaluate(self) -> dict[tuple[int, int], Evaluation]:
        """Evaluate all networks of "Train it" on the test images, and show the table.

        Returns:
            (candidate, epochs) -> evaluation.

        Raises:
            CourseError: nothing is trained yet, or a search or training is on its way.
        """
        if self.running or self.side_by_side is None:
            raise CourseError(
                "The test images are for the end: choose a candidate and train it first."
            )
        tested = self.side_by_side.evaluate()
        self.refresh()
        return tested

    @property
    def network(self) -> nn.Module | None:
        """The last network of "Train it", else the best candidate; None before a search."""
        if self.side_by_side is not None and self._last in self.side_by_side.trained:
            return self.side_by_side.trained[self._last].model
        return None if self._found is None else self._found.network

    @property
    def view(self) -> ImproveView:
        """The content of the picture."""
        return self._view(self.result)

    @property
    def shown_points(self) -> str:
        """HTML of the buttons on the points."""
        return self._points.value

    @property
    def shown_tables(self) -> str:
        """HTML of the tables below the picture: chosen candidate, trained networks."""
        return self._values.value + self._trained_table.value

    # What the panel shows

    def compute(self, **settings: Any) -> Improvement | None:
        """Return the result of the search so far.

        Raises:
            CourseError: nothing may vary.
        """
        if not self.running and not controls.varied(settings):
            error = CourseError(
                "Nothing may vary, so there is nothing to search: tick at least one of "
                f"{', '.join(controls.VARIED)}."
            )
            error.nearest = {"out_channels": True}
            raise error
        return self._found

    def adjust(self, result: Improvement | None) -> None:
        controls.offer(self.controls["candidate"], result)
        view = self._view(result)
        self._points.value = controls.point_buttons(Scale(view).places(view), view.chosen)
        self._values.value = words.values_table(result, view.chosen) if result else ""
        side = self.side_by_side
        self._trained_table.value = words.trained_table(side) if side else ""

    def picture(self, result: Improvement | None) -> bytes:
        return draw(self._view(result))

    def describe(self, result: Improvement | None) -> str:
        if result is not None:
            return words.summary(result, self._chosen(result))
        return f"No candidate yet. May vary: {self._may_vary()}; budget {self._budget_now}."

    def code(self, result: Improvement | None) -> str:
        if (chosen := self._chosen(result)) and chosen.number:
            return result.code(chosen)
        varied, seed = controls.varied(self.settings), self.settings["seed"]
        return words.search_code(varied, self._budget_now, seed)

    def describe_unmeasured(self, result: Improvement | None) -> str:
        done = "no search yet" if result is None else "every candidate is a point"
        return f"may vary: {self._may_vary()}; budget {self._budget_now}; {done}"

    # Inside

    def _chosen(self, found: Improvement | None) -> Tried | None:
        if found is None:
            return None
        ones = {one.number: one for one in (found.start, *found.tried)}
        return ones.get(self.controls["candidate"].value, found.best)

    def _view(self, found: Improvement | None) -> ImproveView:
        planned = self._budget_now.trials or 0
        if found is None:
            return ImproveView(planned=planned)
        front = tuple(found.pareto_front())
        return ImproveView(found.start, tuple(found.tried), front, self._chosen(found), planned)

    @property
    def _budget_now(self) -> Budget:
        unit = "seconds" if self._budget.trials is None else "trials"
        return replace(self._budget, **{unit: self.controls["budget"].value})

    def _may_vary(self) -> str:
        return ", ".join(controls.varied(self.settings)) or "nothing"

    def _forget(self) -> None:
        self._found, self._last, self.side_by_side = None, None, None
        self._bar.value = 0

    def _begin(
        self, work: Callable[..., Any], say_end: Callable[[BackgroundRun], None], wait: bool
    ) -> None:
        """Run `work(stop=…)` in the background."""
        run = BackgroundRun(
            lambda: work(stop=run.stopping),
            on_tick=self._on_tick,
            on_end=self._shown(lambda: self._on_end(run, say_end)),
        )
        self._run, self._progress, self._drawn = run, Progress(), -1
        self._bar.value = 0
        self._say("Starting …")
        self.refresh()  # clears the error of the last run
        run.start()
        self._show_state()
        if wait:
            self.wait()

    def _take_found(self, found: Improvement, progress: Progress) -> None:
        self._found = found
        if progress.text:  # else the search has ended, and `_on_end` draws it
            self._take_progress(progress)

    def _take_progress(self, progress: Progress) -> None:
        self._progress = progress
        self._run.tick()

    def _on_tick(self) -> None:
        self._bar.value = self._progress.share
        self._say(self._progress.text)
        count = 0 if self._found is None else len(self._found.tried)
        if count != self._drawn:  # else the picture would be the same
            self._drawn = count
            self.refresh()

    def _on_end(self, run: BackgroundRun, say_end: Callable[[BackgroundRun], None]) -> None:
        if run.exception is not None:
            self._failure = run.exception
            self._say("Ended by an error.")
        else:
            say_end(run)
        self._show_state()
        self.refresh()

    def _on_searched(self, run: BackgroundRun) -> None:
        self._found = run.result
        self._say(words.search_ended(run.result, run.why_stopped))
        if run.result is not None and not run.result.stopped:
            self._bar.value = 1

    def _on_trained(self, run: BackgroundRun) -> None:
        if run.result:
            self._bar.value = 1
            self._say("Trained: the table has both.")
        else:
            self._say(f"{run.why_stopped}: a training that is not finished does not count.")

    # Inside: widgets

    def _build_views(self) -> None:
        search, kept = "Search for a better network", "The best so far is kept"
        self._improve_button = self._button("Improve", self.improve, search, "magic", "success")
        self._stop_button = self._button("Stop", self.stop, kept, "stop", "warning")
        self._clear_button = self._button("Clear", self.clear, "Forget all candidates")
        beside = "Train it beside the network as given"
        self._train_button = self._button("Train it", self.train, beside, "play", "success")
        self._bar = widgets.FloatProgress(min=0, max=1, layout={"width": "auto"})
        self._status = widgets.HTML()
        self._points, self._values, self._trained_table = (widgets.HTML() for _ in range(3))
        for table in (self._values, self._trained_table):
            table.add_class("course-tables")

    def _arrange(self) -> None:
        """Put later controls lower, the points over the picture, and the tables below it."""
        left, right = self.children[1].children
        self._code_button = code_toggle(self._code)
        later = [self.controls[name] for name in ("candidate", "epochs")]
        vary = widgets.HTML("What may vary:")
        vary.add_class("course-vary")
        left.children = (
            vary,
            *(control for control in self.controls.values() if control not in later),
            row_of(self._improve_button, self._stop_button, self._clear_button),
            self._bar,
            self._status,
            *later,
            row_of(self._train_button, self._code_button),
        )
        self._lay_over_picture(self._points)
        tables = (self._values, self._trained_table)
        right.children = (self._stage, self._summary, *tables, self._code)

    def _show_state(self) -> None:
        with self._lock:  # the run may end at the same time
            running = self.running
            self._improve_button.disabled, self._stop_button.disabled = running, not running
            self._train_button.disabled = running or self._found is None


def improve_panel(
    model: nn.Module | None = None, data: Dataset | None = None, **settings: Any
) -> ImprovePanel:
    """Return a live search for a better network; the arguments are those of `ImprovePanel`."""
    return ImprovePanel(model, data, **settings)
