"""The ladder panel: the stored ladder as one picture, and any rung trained again by a button."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_utils import plots
from course_utils.core import MINUS, CourseError
from course_utils.data import Dataset
from course_utils.experiments import (
    PLANS,
    Ladder,
    Machine,
    Plan,
    Rung,
    climb,
    load_ladder,
    rung_named,
    rungs_of,
)
from course_utils.widgets.background import BackgroundRun
from course_utils.widgets.comparing import ComparesRuns
from course_utils.widgets.controls import code_toggle
from course_utils.widgets.panel import Panel, choice, int_slider

WIDTH = 700


@dataclass(frozen=True)
class Wish:
    """The rung and the seed that a press on the button trains."""

    rung: Rung
    seed: int

    @property
    def label(self) -> str:
        """Of the rung and the seed, for texts."""
        return f"{self.rung.name}, seed {self.seed}"


@dataclass(frozen=True)
class Trained:
    """A rung that the reader trained. `correct` of `total` test pictures were right."""

    rung: str
    seed: int
    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        """Share of the test pictures that were right."""
        return self.correct / self.total

    @property
    def label(self) -> str:
        """Of the rung and the seed, for texts."""
        return f"{self.rung}, seed {self.seed}"


@dataclass(frozen=True)
class LadderView:
    """The stored ladder, the chosen rung, and the trainings of the reader."""

    ladder: Ladder
    rung: Rung
    runs: tuple[Trained, ...] = ()


class LadderPanel(ComparesRuns, Panel):
    """The ladder of the case study; choose a rung, and train it again with a seed of your own.

    A training runs in the background, and its accuracy becomes an orange diamond beside the stored
    results. A rung that needs another one (its teacher, say) has that trained first. After Stop the
    same rung and seed go on where they were.

    Args:
        data: "fashion_mnist_small" or "cifar10".
        ladder: Results in place of the stored ones.
        plan: Sizes of the rungs in place of the course's, for `ladder`.
        pictures: Data in place of the plan's.
        settings: First values of the controls: `rung` (its name) and `seed`.

    Attributes:
        runs: The reader's own trainings, the first one first.

    Raises:
        CourseError: If there is no such ladder, or a control cannot have a value.
    """

    def __init__(
        self,
        data: str = "fashion_mnist_small",
        *,
        ladder: Ladder | None = None,
        plan: Plan | None = None,
        pictures: Dataset | None = None,
        **settings: Any,
    ):
        self._ladder = load_ladder(data) if ladder is None else ladder
        self._plan = PLANS[data] if plan is None else plan
        self._pictures, self._data = pictures, data
        self._rungs = rungs_of(self._plan)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        names = [(f"{n}  {name}", name) for n, name in enumerate(self._ladder.names, 1)]
        controls = {
            "rung": choice("rung", names),
            "seed": int_slider("seed", 3, 0, 20),
        }
        shown = {"title": "Ladder panel", "width": WIDTH, "extra": self.build_buttons()}
        self._train_button.tooltip = "Train the chosen rung again, with this seed"
        super().__init__(controls, **shown, initial=settings)
        self.children[1].children[0].children += (code_toggle(self._code),)

    # What the panel shows

    def compute(self, *, rung: str, seed: int) -> LadderView:
        return LadderView(self._ladder, rung_named(rung, self._rungs), tuple(self.runs))

    def picture(self, result: LadderView) -> bytes:
        own: dict[str, list[float]] = {}
        for run in result.runs:
            own.setdefault(run.rung, []).append(run.accuracy)
        chart = plots.ladder_rows(result.ladder.chart(), own, chosen=result.rung.name, width=WIDTH)
        return chart.to_png()

    def describe(self, result: LadderView) -> str:
        mine = [run for run in result.runs if run.rung == result.rung.name]
        text = self.describe_unmeasured(result)
        if mine:
            found = ", ".join(f"{run.accuracy:.1%} with seed {run.seed}" for run in mine)
            text += f" Your own: {found}."
        return text

    def describe_unmeasured(self, result: LadderView) -> str:
        ladder, name = result.ladder, result.rung.name
        number, mean = ladder.names.index(name), ladder.accuracy(name)
        text = f"{name}: {result.rung.adds}. {mean.middle:.1%} ({mean.low:.1%} to {mean.high:.1%})"
        if number:
            before = ladder.names[number - 1]
            gain = ladder.gain(name, before)
            middle, low, high = (f"{100 * v:+.1f}" for v in (gain.middle, gain.low, gain.high))
            text += f", {middle} points over {before} ({low} to {high})"
        return f"{text.replace('-', MINUS)}."

    def code(self, result: LadderView) -> str:
        return (
            f"plan = PLANS[{self._data!r}]\n"
            f"rung = rung_named({result.rung.name!r}, rungs_of(plan))\n"
            f"climb(rung, plan, {self.controls['seed'].value}, folder)"
        )

    # What a run is

    def plan(self, *, rung: str, seed: int) -> Wish:
        for run in self.runs:
            if (run.rung, run.seed) == (rung, seed):
                raise CourseError(
                    f"{run.label} is trained already, and would come to the same result: choose "
                    "another seed."
                )
        return Wish(rung_named(rung, self._rungs), seed)

    def train_one(self, plan: Wish, run: BackgroundRun) -> Trained | None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="course-ladder-")
        for rung in _needed(plan.rung, self._rungs):
            found = climb(
                rung,
                self._plan,
                plan.seed,
                Path(self._folder.name),
                Machine.chosen(),
                data=self._pictures,
                stop=run.stopping,
                on_step=self.on_step,
            )
            if found is None or run.stopping.is_set():
                return None
        return Trained(plan.rung.name, plan.seed, found.test.correct, found.test.total)


def _needed(rung: Rung, rungs: tuple[Rung, ...]) -> list[Rung]:
    """Return the rungs to train for one, the last one is itself."""
    other = rung.teacher or rung.weights_of
    return [*([rung_named(other, rungs)] if other else []), rung]


def ladder_panel(data: str = "fashion_mnist_small", **keywords: Any) -> LadderPanel:
    """Open the ladder panel; the arguments are those of `LadderPanel`."""
    return LadderPanel(data, **keywords)
