"""The training panel: a network learns in the background, and all other controls stay live."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
from torch import Tensor, nn

from course_utils.core import CourseError
from course_utils.data import Dataset, load_dataset
from course_utils.experiments import first_cnn_recipe
from course_utils.metrics import Evaluation, evaluate
from course_utils.models import SimpleCNN
from course_utils.training import History, ResumableTraining, Step, all_done_message
from course_utils.widgets.background import BackgroundRun, RunsInBackground
from course_utils.widgets.controls import row_of
from course_utils.widgets.panel import Panel
from course_utils.widgets.training_panel.controls import (
    LEARNING_RATES,
    build_controls,
    code_for,
    fit_arguments,
)
from course_utils.widgets.training_panel.picture import (
    WIDTH,
    FirstLayer,
    TrainingView,
    draw,
    first_layer,
    kernels_of,
    maps_of,
)


class TrainingPanel(RunsInBackground, Panel):
    """Training panel: Train, Stop, Reset; loss, accuracy and the first layer while it learns.

    Train runs `fit` in a thread. Stop ends it before the next step; Train then goes on after the
    last complete epoch. With unchanged controls the result is exactly that of a training without
    interruption, otherwise the new settings are used for the epochs that are left. When all epochs
    are done, Train goes on if the slider asks for more. Reset restores the first weights.

    The test pictures are used only by `evaluate` and its button, Test.

    Args:
        model: the network; it is trained in place. Default: a `SimpleCNN` for the pictures, and
            `course_utils.experiments.first_cnn_recipe` for what is not in `arguments`.
        data: pictures to learn from. Default: Fashion-MNIST.
        goal: accuracy on the test pictures to reach, in [0, 1]. Default: none, or 0.88 if model and
            data are the default.
        reference: a name, and validation accuracies after each epoch of another training, which the
            chart shows as a broken line. Default: none.
        arguments: of `fit`; an argument with a control becomes the control's first value.
            `optimizer` and `scheduler` may also be names from the panel's lists.

    Attributes:
        model, data: as above.
        history: of all training since the last Reset; None before.
        test: the last `Evaluation` on the test pictures; None before.
        looks: how often the test pictures were used.

    Raises:
        CourseError: an argument that the panel itself passes to `fit`, or a ready optimizer.
    """

    def __init__(
        self,
        model: nn.Module | None = None,
        data: Dataset | None = None,
        *,
        goal: float | None = None,
        reference: tuple[str, Sequence[float]] | None = None,
        **arguments: Any,
    ):
        name, accuracies = reference or ("", ())
        self._reference = (name, tuple(accuracies)) if reference else None
        if model is None and data is None and goal is None:
            goal = 0.88
        self.data = load_dataset("fashion-mnist") if data is None else data
        if model is None:
            # The recipe's schedule has its own peak; the panel's "one cycle" has the slider's.
            arguments = first_cnn_recipe() | {"scheduler": "one cycle"} | arguments
            model = SimpleCNN.for_data(self.data, seed=arguments["seed"])
        self.model, self.goal = model, goal
        self.test: Evaluation | None = None
        self.looks = 0
        controls, initial, self._rest = build_controls(arguments)
        seed = self._rest.pop("seed", 0)
        self._training = ResumableTraining(model, self.data, seed=seed)
        self._layer = _look_at_start(model, self.data)

        self._train_button = self._button("Train", self.train, "Begin or go on", "play", "success")
        hint = "Stop before the next step"
        self._stop_button = self._button("Stop", self.stop, hint, "stop", "warning")
        self._reset_button = self._button("Reset", self.reset, "Back to the first weights")
        self._test_button = self._button("Test", self._on_test, "Measure the test accuracy")
        self._bar = widgets.IntProgress(min=0, max=1, layout={"width": "auto"})
        self._status = widgets.HTML()
        buttons = (self._train_button, self._stop_button, self._reset_button, self._test_button)
        extra = (row_of(*buttons), self._bar, self._status)
        shown = {"title": "Training panel", "width": WIDTH, "extra": extra}
        super().__init__(controls, **shown, initial=initial)
        self._show_state()

    # What the buttons do; cells and tests call the same

    def train(self, wait: bool = False) -> None:
        """Train in the background with the present settings, or go on with a stopped training.

        If a training is already running, or all epochs are done, only the status line says so.

        Args:
            wait: return only when the training has ended.
        """
        if self._refused():
            return
        settings = self.settings
        if self._training.epochs_done >= settings["epochs"]:
            self._say(all_done_message(self._training.epochs_done, settings["epochs"]))
            return
        run = BackgroundRun(
            lambda: self._work(run, settings),
            on_tick=self._on_tick,
            on_end=self._shown(self._on_end),
        )
        self._run, self._step, self._began = run, None, None
        self.test = None
        self._say("Trying what computes fastest here …")
        self._show_state(running=True)
        self.refresh()  # takes away the last run's error
        run.start()
        if wait:
            self.wait()

    def reset(self) -> None:
        """Restore the first weights, and end a running training."""
        self.stop()
        self.wait()
        self._training.reset()
        self.test, self._failure = None, None
        self._layer = _look_at_start(self.model, self.data)
        self._bar.value = 0
        self._say("")
        self._show_state()
        self.refresh()

    def evaluate(self) -> Evaluation:
        """Measure the trained network on the test pictures, show the result and return it.

        Raises:
            CourseError: the training is not finished, so the test pictures have to wait.
        """
        if not self.finished:
            until = "train all epochs first, and use the validation accuracy until then"
            raise CourseError(f"The test pictures are for the end: {until}.")
        if self.test is None:
            self.test = evaluate(self.model, self.data.test, mean=self.data.mean, std=self.data.std)
            self.looks += 1
            why = "if you choose settings by them, their accuracy is too optimistic"
            often = f"Look number {self.looks} at the test pictures: {why}."
            self._say(often if self.looks > 1 else "Tested.")
        self.refresh()
        return self.test

    @property
    def finished(self) -> bool:
        """True if there was a training since the last Reset, and all its epochs are done."""
        return not self.running and self._training.finished

    @property
    def history(self) -> History | None:
        """The history of all training since the last Reset, as one; None before."""
        return self._training.history

    # What the panel shows

    def compute(self, **settings: Any) -> TrainingView:
        training = self._training
        positions, losses = tuple(training.positions), tuple(training.losses)
        count = min(len(positions), len(losses))
        history = training.history or History()
        done = len(history.epoch)
        validation = tuple(history.validation_accuracy[:done])
        return TrainingView(
            epochs=training.planned if self.running else max(settings["epochs"], done),
            positions=positions[:count],
            losses=losses[:count],
            epoch=tuple(history.epoch[:done]),
            train_accuracy=tuple(history.train_accuracy[:done]),
            validation_accuracy=validation if len(self.data.validation) else (),
            layer=self._layer,
            reference=self._reference,
        )

    def picture(self, result: TrainingView) -> bytes:
        return draw(result)

    def describe(self, result: TrainingView) -> str:
        if not result.epoch:
            return f"{self._about()}. Press Train."
        text = f"{_epochs(len(result.epoch), result.epochs)}: training accuracy"
        text += f" {result.train_accuracy[-1]:.1%}"
        if result.validation_accuracy:
            text += f", validation accuracy {result.validation_accuracy[-1]:.1%}"
        if self.test is not None:
            text += f". Test accuracy {self.test}"
            if self.goal is not None:
                text += f"; at least {self.goal:.0%}: {self._reached()}"
        return text + "."

    def code(self, result: TrainingView) -> str:
        return code_for(self.settings, self._rest)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Return the bundle of every panel; its text has no measured number, because they vary."""
        bundle = super()._repr_mimebundle_(**kwargs)
        view, text = self.result, self._about()
        if self.error:
            text = self.error
        elif view.epoch:
            text += f"; {_epochs(len(view.epoch), view.epochs)}"
            if self.test is not None and self.goal is not None:
                text += f"; test accuracy at least {self.goal:.0%}: {self._reached()}"
        bundle["text/plain"] = f"{self.title}: {text}"
        return bundle

    # Inside

    def _about(self) -> str:
        count = sum(p.numel() for p in self.model.parameters())
        pictures = f"{len(self.data.train):,} pictures of {self.data.title}"
        return f"{type(self.model).__name__}, {count:,} parameters, {pictures}"

    def _reached(self) -> str:
        return "yes" if self.test.accuracy >= self.goal else "no"

    def _work(self, run: BackgroundRun, settings: dict[str, Any]) -> None:
        image = _sample(self.data)
        found = first_layer(self.model)

        def on_step(step: Step) -> None:
            self._step = step
            if self._began is None:
                self._began = step.step, time.monotonic()
            if run.due:
                self._look(found, image)
            run.tick()

        arguments = fit_arguments(settings, self._rest)
        self._training.train(arguments, key=settings, stop=run.stopping, on_step=on_step)
        self._look(found, image)

    def _look(self, found: tuple[str, nn.Module] | None, image: Tensor) -> None:
        """Copy the first layer as it is now; called in the training's thread, between two steps."""
        if found is not None and self._layer is not None:
            now, maps = kernels_of(found[1], self.data.image_shape), maps_of(found[1], image)
            self._layer = dataclasses.replace(self._layer, now=now, maps=maps)

    def _on_tick(self) -> None:
        step = self._step
        self._bar.max, self._bar.value = step.steps, step.step
        first, began = self._began
        seconds = time.monotonic() - began
        text = f"epoch {step.epoch} of {step.epochs}"
        if step.step - first > 10 and seconds > 0.5:
            left = (step.steps - step.step) * seconds / (step.step - first)
            text += f", about {math.ceil(left)} s left"
        self._say(text)
        self.refresh()

    def _on_end(self) -> None:
        run, training = self._run, self._training
        self.refresh()
        error = run.exception
        if error is not None:
            self._failure = error
            if getattr(error, "suggestion", None):
                rates = [rate for rate in LEARNING_RATES if rate <= error.suggestion]
                error.nearest = {"learning_rate": max(rates, default=LEARNING_RATES[0])}
            self._say("Ended by an error.")
        elif training.finished:
            self._say("Done. Test measures the accuracy on the test pictures.")
        else:
            why = " because another panel began to train" if run.displaced else ""
            self._say(f"Stopped{why}. Go on continues after epoch {training.epochs_done}.")
        if self._step is not None:
            self._bar.max, self._bar.value = self._step.steps, self._step.step
        self._show_state()
        if error is not None:
            self.refresh()

    def _on_test(self) -> None:
        try:
            self.evaluate()
        except CourseError as error:
            self._say(str(error))

    def _show_state(self, running: bool = False) -> None:
        self._train_button.disabled, self._stop_button.disabled = running, not running
        going_on = self._training.planned and not self._training.finished
        self._train_button.description = "Go on" if going_on else "Train"
        self._test_button.disabled = running or not self._training.finished


def _epochs(done: int, planned: int) -> str:
    every = f"{done} epoch{'s' * (done != 1)} done"
    return every if done == planned else f"{done} of {planned} epochs"


def _sample(data: Dataset) -> Tensor:
    """Return one picture as input of the first layer, normalised: float (C, H, W)."""
    part = data.validation if len(data.validation) else data.train
    return data.normalise(part.images[0])


def _look_at_start(model: nn.Module, data: Dataset) -> FirstLayer | None:
    name, layer = first_layer(model) or ("", None)
    kernels = None if layer is None else kernels_of(layer, data.image_shape)
    if kernels is None:
        return None
    if not name or name.isdigit():
        name = type(layer).__name__
    image = _sample(data)
    return FirstLayer(name, kernels, kernels, image, maps_of(layer, image))


def training_panel(
    model: nn.Module | None = None, data: Dataset | None = None, **keywords: Any
) -> TrainingPanel:
    """Open the training panel; the arguments are those of `TrainingPanel`."""
    return TrainingPanel(model, data, **keywords)
