"""The pruning panel: remove channels layer by layer, and see what it costs and what it saves."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets
from torch import nn

from course_utils.core import CourseError, one_thread
from course_utils.data import Dataset, load_dataset
from course_utils.models import load_pretrained
from course_utils.training import Step, fit, one_cycle
from course_utils.widgets.background import BackgroundRun, RunsInBackground, WhenIdle
from course_utils.widgets.controls import code_toggle, row_of
from course_utils.widgets.panel import Panel, choice_slider, int_slider
from course_utils.widgets.pruning_panel.picture import WIDTH, describe, draw, percent
from course_utils.widgets.pruning_panel.pruned import LayerPruner, Pruned, Tuned

_NETWORK, _PEAK = "small_resnet", 4e-3
_OWN = ("epochs", "on_step", "stop", "progress")  # arguments of `fit` that the panel passes


class PruningPanel(RunsInBackground, Panel):
    """Remove a share of the channels of each layer; accuracy and cost follow at once.

    There is a slider for each group of coupled layers, named after its first layer. It stops only
    at shares that `prune` can remove. The picture compares accuracy and cost with those of the
    whole network, and has a curve for each group: the accuracy when it alone is cut. Each cut
    network is recalibrated before it is measured. The curves appear while nothing is moved.

    "Half the cost" sets equal shares that halve the multiply-adds. Fine-tune trains a copy of the
    pruned network in the background, and its accuracy stands beside the one before. The network
    that was given does not change.

    Args:
        model: your own network. Default: the residual network of chapter 4.
        data: accuracy is measured on its validation pictures. Default: Fashion-MNIST.
        shares: first values of the sliders: layer -> share of its channels, or one share for all;
            rounded as `prune` does.
        pictures: how many validation pictures, the same number of each class.
        divisible_by, floor: as for `prune`.
        recalibrate_on: training pictures with which BatchNorm's statistics are computed again after
            each cut; 0 for none.
        fine_tune: arguments of `fit`. Default: a schedule of one cycle that rises to 0.004.
        settings: first value of the control `epochs`.

    Attributes:
        tuned: the last fine-tuned network with its shares; None before.

    Raises:
        CourseError: no layer can lose channels; network and data do not fit together, or there are
            no validation pictures; a share is not possible.
    """

    _busy = "Fine-tuning is on its way already: let it end, or press Stop first."

    def __init__(
        self,
        model: nn.Module | None = None,
        data: Dataset | None = None,
        *,
        shares: float | Mapping[str, float] | None = None,
        pictures: int = 500,
        divisible_by: int = 8,
        floor: int = 8,
        recalibrate_on: int = 300,
        fine_tune: Mapping[str, Any] | None = None,
        **settings: Any,
    ):
        self._own = model is not None, data is not None
        model = load_pretrained(_NETWORK) if model is None else model
        self.data = load_dataset("fashion-mnist") if data is None else data
        rounding = {"divisible_by": divisible_by, "floor": floor}
        counts = {"pictures": pictures, "recalibrate_on": recalibrate_on}
        self._pruner = LayerPruner(model, self.data, **counts, **rounding)
        for name in _OWN:
            if name in (fine_tune or {}):
                raise CourseError(f"The panel itself passes {name}= to fit: leave it out.")
        self._fine_tune = None if fine_tune is None else dict(fine_tune)
        self.tuned: Tuned | None = None
        self._step: Step | None = None
        self._curves = WhenIdle(self._complete_curves, on_error=self.refresh, patience=0.3)
        self._worker: threading.Thread | None = None

        controls = {group.name: self._slider(group) for group in self._pruner.groups}
        controls["epochs"] = int_slider("epochs", 2, 1, 10)
        first = {} if shares is None else self._pruner.rounded(shares)

        hint = "Equal shares for all layers, so that half of the multiply-adds are left"
        halve = self._button("Prune to half the cost", self.halve, hint, "scissors", in_row=False)
        halve.layout.width = "auto"
        hint = "Train a copy of the pruned network"
        self._tune_button = self._button("Fine-tune", self.fine_tune, hint, "play", "success")
        self._tune_button.layout.flex = "1 0 102px"  # else its word is cut
        hint = "Stop before the next step"
        self._stop_button = self._button("Stop", self.stop, hint, "stop", "warning")
        reset = self._button("Reset", self.reset, "All channels back, no fine-tuning")
        self._bar = widgets.IntProgress(min=0, max=1, layout={"width": "auto"})
        self._status = widgets.HTML()
        self._show_state()
        row = row_of(self._tune_button, self._stop_button, reset)
        extra = (halve, row, self._bar, self._status)
        shown = {"title": "Pruning panel", "width": WIDTH, "extra": extra}
        super().__init__(controls, **shown, initial=first | settings)
        self.children[1].children[0].children += (code_toggle(self._code),)

    # What the buttons do; cells and tests call the same

    def cut(self, shares: float | Mapping[str, float]) -> None:
        """Set all sliders, rounded as `prune` does; layers without a share get all channels back.

        Args:
            shares: layer -> share of its channels, or one share for all layers.

        Raises:
            CourseError: a share is not possible, or belongs to no layer that can lose channels.
        """
        self.set(**self._pruner.rounded(shares))

    def halve(self) -> None:
        """Set equal shares that halve the multiply-adds.

        Raises:
            CourseError: no share reaches this.
        """
        self.set(**self._pruner.shares_for(0.5))
        self._say("All layers lose the same share, rounded to what each can lose.")

    def reset(self) -> None:
        """Set all sliders to 0, end a running training and forget the last one."""
        self.stop()
        self.wait()
        self.tuned, self._failure = None, None
        self._bar.value = 0
        self._say("")
        self.cut({})

    def fine_tune(self, wait: bool = False) -> None:
        """Train a copy of the pruned network in the background, with the settings as they are now.

        If one is being trained already, only the status line says so.

        Args:
            wait: return only when the training has ended.

        Raises:
            CourseError: no channel is removed.
        """
        if self._refused():
            return
        shares, epochs = self._shares(), self.settings["epochs"]
        if not shares:
            raise CourseError("No channel is removed yet: move the slider of a layer first.")
        work = functools.partial(self._work, shares, epochs)
        run = BackgroundRun(
            lambda: work(run), on_tick=self._on_tick, on_end=self._shown(self._on_end)
        )
        self._run, self._step = run, None
        self._say("Trying what computes fastest here …")
        self._show_state(running=True)
        self.refresh()  # takes away the last run's error
        run.start()
        if wait:
            self.wait()

    @property
    def model(self) -> nn.Module:
        """The network with the shares of the sliders, fine-tuned if that was done for them."""
        tuned = self.tuned
        if tuned is not None and tuned.shares == self._shares():
            return tuned.model
        return self._pruner.network(self._shares())

    def wait_for_curves(self, timeout: float | None = None) -> bool:
        """Wait until the curves are complete; return False if `timeout` seconds are too few."""
        return self._curves.wait(timeout)

    # What the panel shows

    def compute(self, *, epochs: int, **shares: float) -> Pruned:
        error, self._curves.exception = self._curves.exception, None
        if error is not None:
            raise error
        result = self._pruner.pruned(shares, self.tuned)
        if not self._pruner.is_complete and threading.current_thread() is not self._worker:
            self._curves.ask()
        return result

    def picture(self, result: Pruned) -> bytes:
        return draw(result)

    def describe(self, result: Pruned) -> str:
        return describe(result)

    def describe_unmeasured(self, result: Pruned) -> str:
        return describe(result, measured=False)

    def code(self, result: Pruned) -> str:
        own_model, own_data = self._own
        tuned, given = result.tuned, self._fine_tune
        imports = [] if own_model else ["from course_utils.models import load_pretrained"]
        model = "# model: the network that you gave the panel"
        lines = [model if own_model else f'model = load_pretrained("{_NETWORK}")']
        if not result.removed:
            return "\n".join([*imports, "", *lines, "# all layers keep their channels"]) + "\n"
        imports = ["import torch", "", "from course_utils.compress import prune", *imports]
        lines.append(f"example_input = torch.zeros{tuple(self._pruner.example.shape)}")
        lines.append("shares = {")
        lines += [f'    "{layer}": {share:g},' for layer, share in result.removed.items()]
        rounding = self._pruner.rounding.items()
        more = "".join(f", {name}={value}" for name, value in rounding if value != 8)
        lines += ["}", f"pruned = prune(model, shares, example_input=example_input{more})"]
        count = self._pruner.recalibrate_on
        if count or tuned:
            if not own_data:
                imports.insert(3, "from course_utils.data import load_dataset")
            load = "# data: the pictures that you gave the panel"
            lines.append(load if own_data else 'data = load_dataset("fashion-mnist")')
        if count:
            imports[2] += ", recalibrate"
            images = f"data.normalise(data.train.few({count}).images)"
            lines.append(f"pruned = recalibrate(pruned, {images})")
        if tuned:
            imports.append(
                "from course_utils.training import fit" + ", one_cycle" * (given is None)
            )
            stopped = "" if tuned.complete else "  # the panel's was stopped early"
            lines += ["fit(", "    pruned,", "    data,", f"    epochs={tuned.epochs},{stopped}"]
            if given is None:
                cycle = f"lambda optimizer, steps: one_cycle(optimizer, steps, {_PEAK})"
                lines += [f"    learning_rate={_PEAK},", f"    scheduler={cycle},", ")"]
            else:
                lines += ["    **fine_tune,  # the arguments that you gave the panel", ")"]
        return "\n".join([*imports, "", *lines]) + "\n"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        self.wait_for_curves(60)  # the static picture of a notebook should have the whole curves
        return super()._repr_mimebundle_(**kwargs)

    # Inside

    def _slider(self, group: Any) -> widgets.SelectionSlider:
        options = [(percent(share), share) for share in self._pruner.options[group.name]]
        slider = choice_slider(group.name, options, 0.0)
        slider.tooltip = ", ".join(group.layers)
        return slider

    def _shares(self) -> dict[str, float]:
        """Return the shares of the sliders, without those of 0."""
        return {n: share for n, share in self.settings.items() if n != "epochs" and share}

    def _complete_curves(self, outdated: Callable[[], bool]) -> None:
        self._worker = threading.current_thread()
        drawn = None
        with one_thread():
            for layer in self._pruner.complete():
                if outdated():
                    return
                if layer != drawn:  # each curve is drawn when it begins, and all at the end
                    drawn = layer
                    self.refresh()
        if not outdated():
            self.refresh()

    def _work(self, shares: Mapping[str, float], epochs: int, run: BackgroundRun) -> Tuned | None:
        def on_step(step: Step) -> None:
            self._step = step
            run.tick()

        arguments = self._fine_tune
        if arguments is None:
            cycle = functools.partial(one_cycle, peak=_PEAK)
            arguments = {"learning_rate": _PEAK, "scheduler": cycle}
        model = self._pruner.network(shares)
        own = {"epochs": epochs, "stop": run.stopping, "on_step": on_step, "progress": False}
        history = fit(model, self.data, **arguments, **own)
        if not history.step_loss:
            return None
        measured = self._pruner.measure(model)
        return Tuned(shares, epochs, not run.stopping.is_set(), measured, model)

    def _on_tick(self) -> None:
        step = self._step
        self._bar.max, self._bar.value = step.steps, step.step
        self._say(f"Fine-tuning: epoch {step.epoch} of {step.epochs}")

    def _on_end(self) -> None:
        run, step = self._run, self._step
        if run.exception is not None:
            self._failure = run.exception
            self._say("Ended by an error.")
        elif run.result is None:
            self._say(f"{run.why_stopped} before the first step.")
        else:
            self.tuned = run.result
            self._bar.max, self._bar.value = step.steps, step.step
            where = f"step {step.step:,} of {step.steps:,}"
            done = "Done." if self.tuned.complete else f"{run.why_stopped} after {where}."
            self._say(done)
        self._show_state()
        self.refresh()

    def _show_state(self, running: bool = False) -> None:
        self._tune_button.disabled, self._stop_button.disabled = running, not running


def pruning_panel(
    model: nn.Module | None = None, data: Dataset | None = None, **keywords: Any
) -> PruningPanel:
    """Open the pruning panel; the arguments are those of `PruningPanel`."""
    return PruningPanel(model, data, **keywords)
