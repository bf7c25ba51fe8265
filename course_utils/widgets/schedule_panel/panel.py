"""The schedule panel: the reader shapes the course of the learning rate, and trains with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn

from course_utils.data import Dataset, load_dataset
from course_utils.training import (
    COMPARED_OPTIMIZERS,
    SHAPES,
    History,
    RatePlan,
    RateRun,
    Schedule,
    Step,
    rates_as_frame,
    schedule_curve,
    train_with,
)
from course_utils.widgets.background import BackgroundRun
from course_utils.widgets.comparing import ComparesRuns
from course_utils.widgets.controls import steps_slider
from course_utils.widgets.panel import Panel, choice, float_slider, int_slider
from course_utils.widgets.schedule_panel.picture import WIDTH, ScheduleView, draw

if TYPE_CHECKING:
    import pandas

# Peaks that a reader would write. A slider with steps on a log scale would miss 0.03.
_PEAKS = (*(float(f"{m}e{k}") for k in range(-4, 0) for m in (1, 1.5, 2, 3, 4, 5, 6, 7, 8)), 1.0)
_FACTORS = (0.001, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
_SCHEDULE = ("warmup", "every", "gamma", "final", "patience")


class SchedulePanel(ComparesRuns, Panel):
    """Schedule panel: shape the learning rate, press Train, and compare with other runs.

    Every run starts from the same weights and sees the same pictures in the same order, so the
    learning rate is the only difference. Controls that the shape does not use are switched off.

    Args:
        data: with validation pictures. Default: Fashion-MNIST.
        model: function that returns a network with fresh weights. Default: `SimpleCNN`.
        pictures: number of training pictures in each epoch.
        seed: of weights and pictures.
        settings: first values of the controls: the arguments of `Schedule`, and peak, optimizer and
            epochs of `RatePlan`.

    Attributes:
        runs: all runs so far, the first one first.

    Raises:
        CourseError: a name in `settings` is not a control of the panel, or cannot have that value.
    """

    def __init__(
        self,
        data: Dataset | None = None,
        *,
        model: Callable[[], nn.Module] | None = None,
        pictures: int = 3000,
        seed: int = 0,
        **settings: Any,
    ):
        self.data = load_dataset("fashion-mnist") if data is None else data
        self._model, self._seed = model, seed
        self._pictures = min(pictures, len(self.data.train))

        plain, budget = Schedule(), RatePlan()
        controls = {
            "shape": choice("shape", list(SHAPES), "cosine"),
            "peak": steps_slider("peak", _PEAKS, budget.peak),
            "warmup": float_slider("warmup", plain.warmup, 0.0, 0.9, 0.05),
            "every": float_slider("every", round(plain.every, 2), 0.05, 1.0, 0.01),
            "gamma": steps_slider("gamma", _FACTORS, plain.gamma),
            "final": steps_slider("final", _FACTORS, plain.final),
            "patience": int_slider("patience", plain.patience, 0, 5),
            "optimizer": choice("optimizer", list(COMPARED_OPTIMIZERS)),
            "epochs": int_slider("epochs", budget.epochs, 1, 20),
        }
        shown = {"title": "Schedule panel", "width": WIDTH, "extra": self.build_buttons()}
        super().__init__(controls, **shown, initial=settings)

    def frame(self) -> pandas.DataFrame:
        """Return one row for each run: the plan and the validation accuracy."""
        return rates_as_frame(self.runs)

    # What the panel shows

    def compute(self, **settings: Any) -> ScheduleView:
        plan = self.plan(**settings)
        steps = -(-plan.pictures // 64) * plan.epochs
        curve = schedule_curve(plan.schedule, steps, peak=plan.peak)
        return ScheduleView(plan, tuple(curve), tuple(self.runs), self.going)

    def adjust(self, result: ScheduleView) -> None:
        used = SHAPES[result.plan.schedule.shape]
        for name in _SCHEDULE:
            self.controls[name].disabled = name not in used

    def picture(self, result: ScheduleView) -> bytes:
        return draw(result)

    def describe_no_run(self, result: ScheduleView) -> str:
        return f"{result.plan.label}. No run yet: press Train."

    def describe_last_run(self, result: ScheduleView) -> str:
        last = result.runs[-1]
        if last.diverged:
            return f"diverged. {last.diverged}"
        text = f"{last.validation_accuracy:.1%} on the validation pictures."
        complete = [run for run in result.runs if not run.diverged]
        best = max(complete, key=lambda run: run.validation_accuracy)
        if best is not last:
            text += f" The best had {best.validation_accuracy:.1%}: {best.plan.label}."
        return text

    def code(self, result: ScheduleView) -> str:
        plan, plain = result.plan, RatePlan()
        changed = [
            f"{name}={getattr(plan, name)!r}"
            for name in ("peak", "optimizer", "epochs", "pictures")
            if getattr(plan, name) != getattr(plain, name)
        ]
        return f"train_with(RatePlan({', '.join([plan.schedule.code, *changed])}), data)"

    # What a run is

    def plan(
        self, *, shape: str, peak: float, optimizer: str, epochs: int, **others: Any
    ) -> RatePlan:
        used = {name: others[name] for name in SHAPES[shape]}
        rate = float(f"{peak:.2g}")  # a peak set from code may have more digits
        return RatePlan(Schedule(shape, **used), rate, optimizer, epochs, self._pictures)

    def train_one(self, plan: RatePlan, run: BackgroundRun) -> RateRun | None:
        seen = History()

        def on_step(step: Step) -> None:
            seen.step_learning_rate.append(step.learning_rate)
            seen.step_loss.append(step.loss)
            self.going = RateRun(plan, seen)
            self.on_step(step)

        def on_epoch(history: History) -> None:
            seen.validation_accuracy.append(history.validation_accuracy[-1])
            seen.epoch.append(history.epoch[-1])

        return train_with(
            plan,
            self.data,
            model=self._model,
            seed=self._seed,
            stop=run.stopping,
            on_step=on_step,
            on_epoch=on_epoch,
        )


def schedule_panel(data: Dataset | None = None, **keywords: Any) -> SchedulePanel:
    """Open the schedule panel; the arguments are those of `SchedulePanel`."""
    return SchedulePanel(data, **keywords)
