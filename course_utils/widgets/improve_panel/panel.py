"""The improve panel: one click searches for a better network, and shows every candidate."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from torch import nn

from course_utils.core import CourseError, seeded
from course_utils.data import Dataset, load_dataset
from course_utils.models import SimpleCNN
from course_utils.training import Precision, Step
from course_utils.widgets.background import BackgroundRun, RunsInBackground
from course_utils.widgets.controls import button, row_of
from course_utils.widgets.improve_panel.controls import (
    VARIED,
    build_controls,
    chosen_of,
    code_toggle,
    offer,
    point_buttons,
    space_of,
    varied,
)
from course_utils.widgets.improve_panel.picture import (
    WIDTH,
    ImproveView,
    Scale,
    draw,
    view_of,
)
from course_utils.widgets.improve_panel.tables import (
    search_code,
    summary,
    trained_table,
    values_table,
)
from course_utils.widgets.panel import Panel

if TYPE_CHECKING:
    from course_utils.metrics import Evaluation
    from course_utils.search import Budget, Improvement, SideBySide, Tried


class ImprovePanel(RunsInBackground, Panel):
    """Improve panel: Improve searches for a better network; each candidate becomes a point.

    A candidate is chosen by a click on its point, or from the list: its values, and code that makes
    and trains it. "Train it" trains it anew, and beside it the network as it was given, with the
    article's settings and for as many epochs.

    The search and the trainings learn from the training pictures and compare on the validation
    pictures. The test pictures are looked at only when `evaluate` asks for it.

    Args:
        model: the network to start from; it is left as it is. Default: a `SimpleCNN` for the
            pictures, with fresh weights.
        data: with validation pictures. Default: Fashion-MNIST.
        budget: of the search: seconds, or a text such as "24 trials".
        precision: as for `fit`.
        settings: first values of the controls: what may vary (`out_channels`, `kernel_size`,
            `depth`, `stride`, `groups`, `dilation`, `training`: True or False), `seed`, `epochs`.

    Attributes:
        result: the `Improvement`, while a search is on its way what it has found so far; None
            before.
        side_by_side: what "Train it" has trained, a `SideBySide`; None before a search.

    Raises:
        CourseError: no budget; a name in `settings` is not a control, or cannot have that value.
    """

    _busy = "Something is on its way already: wait for its end, or press Stop first."

    def __init__(
        self,
        model: nn.Module | None = None,
        data: Dataset | None = None,
        *,
        budget: float | str | Budget = 60,
        precision: str | Precision = "auto",
        **settings: Any,
    ):
        # `improve` brings Optuna, for which the first click must not wait.
        from course_utils.search import Budget, improve  # noqa: F401

        self.data = load_dataset("fashion-mnist") if data is None else data
        if model is None:
            model = seeded(partial(SimpleCNN.for_data, self.data), 0)
        self.model = model
        self._budget, self._precision = Budget.of(budget), precision
        self._found: Improvement | None = None
        self.side_by_side: SideBySide | None = None
        self._last: tuple[int, int] | None = None  # asked for by Train it: candidate, epochs
        self._failure: BaseException | None = None
        self._build_views()
        super().__init__(
            build_controls(self._budget), title="Improve panel", width=WIDTH, initial=settings
        )
        self._arrange()
        self._show_state()

    # What the buttons do; cells and tests call the same

    def improve(self, wait: bool = False) -> None:
        """Search in the background, with the settings as they are now; what was found is forgotten.

        Args:
            wait: return only when the search has ended.
        """
        if self._refused():
            return
        if not varied(self.settings):
            self.refresh()  # this says so
            return
        self._forget()
        settings, budget = self.settings, str(self._budget_now)
        self._begin(lambda run: self._search(run, settings, budget), self._on_searched)
        if wait:
            self.wait()

    def train(self, wait: bool = False) -> None:
        """Train the chosen candidate, and the network as it was given, in the background.

        Args:
            wait: return only when both have ended.
        """
        from course_utils.search import SideBySide

        if self._refused():
            return
        if self._found is None:
            self._say("There is no candidate yet: press Improve first.")
            return
        one = self._chosen(self._found)
        if not one.number:
            self._say("Choose another point: the network as given is trained beside it anyway.")
            return
        if self.side_by_side is None:
            self.side_by_side = SideBySide(self._found, self.data, self._precision)
        epochs = self.settings["epochs"] or one.epochs
        self._last = one.number, epochs
        todo = self.side_by_side.missing(one, epochs)
        if not todo:
            self._say("That is done already: see the table.")
            return
        self._begin(lambda run: self._train(run, todo, epochs), self._on_trained)
        if wait:
            self.wait()

    def clear(self) -> None:
        """Forget all candidates and trainings; what is on its way ends."""
        self.stop()
        self.wait()
        self._forget()
        self._say("")
        self._show_state()
        self.refresh()

    def choose(self, number: int | str) -> None:
        """Ring a candidate and show its values; 0 is the network as given, "best" the best one.

        Raises:
            CourseError: there is no candidate of that number.
        """
        with self._quiet():
            offer(self.controls["candidate"], self._found)  # the list may be a moment late
        self.set(candidate=number)

    def evaluate(self) -> dict[tuple[int, int], Evaluation]:
        """Measure all networks that "Train it" has trained on the test pictures, and show it.

        Returns:
            (candidate, epochs) -> evaluation.

        Raises:
            CourseError: nothing has been trained yet, or a training is on its way.
        """
        if self.running or self.side_by_side is None:
            raise CourseError("The test pictures are for the end: choose, and train it first.")
        tested = self.side_by_side.evaluate()
        self.refresh()
        return tested

    @property
    def network(self) -> nn.Module | None:
        """The candidate trained last by "Train it", else the best of the search; None before."""
        if self.side_by_side is not None and self._last in self.side_by_side.trained:
            return self.side_by_side.trained[self._last].model
        return None if self._found is None else self._found.network

    # What the panel shows

    def compute(self, **settings: Any) -> Improvement | None:
        """What has been found so far.

        Raises:
            CourseError: nothing may vary.
        """
        error, self._failure = self._failure, None
        if error is not None:
            raise error
        if not self.running and not varied(settings):
            error = CourseError(
                "Nothing may vary, so there is nothing to search: tick at least one of "
                f"{', '.join(VARIED)}."
            )
            error.nearest = {"out_channels": True}
            raise error
        return self._found

    def adjust(self, result: Improvement | None) -> None:
        offer(self.controls["candidate"], result)
        view = self._view(result)
        self._points.value = point_buttons(Scale(view).places(view), view.chosen)
        self._values.value = values_table(result, view.chosen) if result else ""
        self._trained_table.value = trained_table(self.side_by_side) if self.side_by_side else ""

    def picture(self, result: Improvement | None) -> bytes:
        return draw(self._view(result))

    def describe(self, result: Improvement | None) -> str:
        if result is not None:
            return summary(result, self._chosen(result))
        return f"No candidate yet. May vary: {self._may_vary()}; budget {self._budget_now}."

    def code(self, result: Improvement | None) -> str:
        chosen = self._chosen(result)
        if chosen is not None and chosen.number:
            return result.code(chosen)
        return search_code(varied(self.settings), self._budget_now, self.settings["seed"])

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """As of every panel, but the text has no measured number: those differ by processor."""
        bundle = super()._repr_mimebundle_(**kwargs)
        done = "no search yet" if self._found is None else "every candidate is a point"
        text = f"may vary: {self._may_vary()}; budget {self._budget_now}; {done}"
        bundle["text/plain"] = f"{self.title}: {self.error or text}"
        return bundle

    # Inside

    def _chosen(self, found: Improvement | None) -> Tried | None:
        return chosen_of(found, self.controls["candidate"].value)

    def _view(self, found: Improvement | None) -> ImproveView:
        return view_of(found, self._chosen(found), self._budget_now.seconds or 1.0)

    @property
    def _budget_now(self) -> Budget:
        unit = "seconds" if self._budget.trials is None else "trials"
        return replace(self._budget, **{unit: self.controls["budget"].value})

    def _may_vary(self) -> str:
        return ", ".join(varied(self.settings)) or "nothing"

    def _forget(self) -> None:
        self._found, self._last, self.side_by_side = None, None, None
        self._bar.value = 0

    def _begin(
        self, work: Callable[[BackgroundRun], Any], say_end: Callable[[BackgroundRun], None]
    ) -> None:
        run = BackgroundRun(
            lambda: work(run), on_tick=self._on_tick, on_end=lambda: self._on_end(run, say_end)
        )
        self._run, self._share, self._shown = run, 0.0, -1
        self._bar.value = 0
        self._say("Starting …")
        self.refresh()  # an error of the last time is over
        run.start()
        self._show_state()

    def _search(
        self, run: BackgroundRun, settings: dict[str, Any], amount: str
    ) -> Improvement | None:
        """What was found; None if it was stopped before anything was."""
        from course_utils.search import Budget, StoppedEarly, improve

        budget, begun = Budget.of(amount), time.perf_counter()

        def on_change(found: Improvement) -> None:
            self._found = found
            self._share = budget.used(time.perf_counter() - begun, len(found.tried))
            self._now = found.now
            if found.now:  # else it has ended, and is drawn once more anyway
                run.tick()

        try:
            return improve(
                self.model,
                self.data,
                budget,
                space=space_of(varied(settings), self.model, self.data),
                precision=self._precision,
                seed=settings["seed"],
                stop=run.stopping,
                on_change=on_change,
            )
        except StoppedEarly:
            return None

    def _train(self, run: BackgroundRun, todo: list[Tried], epochs: int) -> bool:
        """Train one after the other; False if one was stopped."""
        for number, one in enumerate(todo):
            name = f"candidate {one.number}" if one.number else "the network as given"

            def on_step(step: Step, name: str = name, number: int = number) -> None:
                self._share = (number + step.step / step.steps) / len(todo)
                self._now = f"{name}: epoch {step.epoch} of {step.epochs}"
                run.tick()

            if not self.side_by_side.train(one, epochs, stop=run.stopping, on_step=on_step):
                return False
        return True

    def _on_tick(self) -> None:
        self._bar.value = min(1.0, self._share)
        self._say(self._now)
        count = 0 if self._found is None else len(self._found.tried)
        if count != self._shown:  # else the picture would be the same
            self._shown = count
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
        if run.result is None:
            self._say(f"{_why(run)} before anything was found.")
        elif run.result.stopped:
            self._say(f"{_why(run)}: the best so far is kept.")
        else:
            self._bar.value = 1
            self._say(f"Done: {len(run.result.tried)} candidates. Choose a point, and train it.")

    def _on_trained(self, run: BackgroundRun) -> None:
        if run.result:
            self._bar.value = 1
            self._say("Trained: the table has both.")
        else:
            self._say(f"{_why(run)}: what is not finished does not count.")

    # Inside: what the panel is made of

    def _build_views(self) -> None:
        search = "Search for a better network"
        self._improve_button = button("Improve", self.improve, search, "magic", "success")
        self._stop_button = button("Stop", self.stop, "The best so far is kept", "stop", "warning")
        self._clear_button = button("Clear", self.clear, "Forget all candidates")
        beside = "Train it beside the network as given"
        self._train_button = button("Train it", self.train, beside, "play", "success")
        self._bar = widgets.FloatProgress(min=0, max=1, layout={"width": "auto"})
        self._status = widgets.HTML()
        self._points, self._values, self._trained_table = (widgets.HTML() for _ in range(3))
        self._points.add_class("course-overlay")
        for table in (self._values, self._trained_table):
            table.add_class("course-tables")

    def _arrange(self) -> None:
        """What is used later stands lower; the points lie over the picture, the tables below it."""
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
        image, message = self._stage.children
        self._stage.children = (image, self._points, message)
        tables = (self._values, self._trained_table)
        right.children = (self._stage, self._summary, *tables, self._code)

    def _show_state(self) -> None:
        with self._lock:  # the run may end in the meantime
            running = self.running
            self._improve_button.disabled, self._stop_button.disabled = running, not running
            self._train_button.disabled = running or self._found is None


def _why(run: BackgroundRun) -> str:
    return "Another panel began to train" if run.displaced else "Stopped"


def improve_panel(
    model: nn.Module | None = None, data: Dataset | None = None, **settings: Any
) -> ImprovePanel:
    """A live search for a better network; the arguments are those of `ImprovePanel`."""
    return ImprovePanel(model, data, **settings)
