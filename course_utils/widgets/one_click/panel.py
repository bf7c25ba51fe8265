"""The one-click lab: edit any convolution of any network with sliders, and the rest follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
from torch import nn

from course_utils.conv import EditReport, ImpossibleSetting
from course_utils.core import CourseError
from course_utils.data import Dataset, load_dataset
from course_utils.training import Step
from course_utils.widgets.background import BackgroundRun, RunsInBackground
from course_utils.widgets.controls import button, row_of
from course_utils.widgets.one_click.controls import (
    build_controls,
    fit_to_layer,
    layer_buttons,
    make_room,
    wanted_of,
)
from course_utils.widgets.one_click.drawing import WIDTH
from course_utils.widgets.one_click.look import (
    Look,
    Trained,
    brief_pictures,
    no_accuracy,
    train_briefly,
)
from course_utils.widgets.one_click.networks import networks
from course_utils.widgets.one_click.picture import draw, height_of, places
from course_utils.widgets.one_click.session import Edits, Session
from course_utils.widgets.one_click.table import summary
from course_utils.widgets.panel import Panel


class OneClickLab(RunsInBackground, Panel):
    """One-click lab: choose a network and a layer, move the sliders; all that is coupled follows.

    The layer is chosen from the list or by a click on the drawn network. No network that is given
    to the lab is ever changed: each edit makes another one.

    - Apply lets the next edit start from the edited network.
    - Undo puts the sliders back; if they have not been moved, it takes the last applied edit back.
    - Train briefly trains copies of the network before and after the edit, in the background.

    Args:
        model: your own network, to begin with. Default: the trained network of notebook 02_2.
        data: whose pictures the networks are shown; a network that takes other channels or sizes
            gets them adapted. Default: Fashion-MNIST.
        models: more networks, by the names of their variables.
        settings: first values of the controls: `network`, `layer`, `picture`, and the arguments of
            `nn.Conv2d`.

    Raises:
        CourseError: something given is no network; a name in `settings` is not a control, or cannot
            have that value.
    """

    set_first = ("network", "layer")  # they move all other controls

    def __init__(
        self,
        model: nn.Module | None = None,
        data: Dataset | None = None,
        *,
        models: Mapping[str, nn.Module] | None = None,
        **settings: Any,
    ):
        self.data = load_dataset("fashion-mnist") if data is None else data
        self._networks = networks(model, models)
        self._sessions: dict[str, Session | CourseError] = {}
        self._failure: BaseException | None = None
        self._layers = widgets.HTML()  # lies over the picture: the drawn layers as buttons
        self._layers.add_class("course-layers")
        self._build_buttons()
        controls = build_controls({name: one.label for name, one in self._networks.items()})
        self.controls = controls  # the observers need them before the base class has them
        self._fit_network()
        controls["network"].observe(lambda _: self._take_network(), "value")
        controls["layer"].observe(lambda _: self._take_layer(), "value")
        super().__init__(
            controls,
            title="One-click lab",
            width=WIDTH,
            extra=self._extra,
            initial=settings,
        )
        stage = self._stage
        stage.children = (stage.children[0], self._layers, *stage.children[1:])
        self._code.add_class("course-lines")
        self._show_code()

    # What the buttons do; cells and tests call the same

    def apply(self) -> None:
        """Let the next edit start from the edited network."""
        with self._lock:
            if self.error or self.result.report is None:
                self._say("There is no edit to apply: move a slider first.")
                return
            self._session().apply(self.result)
            self._begin_again("Applied: the next edit starts from here.")

    def undo(self) -> None:
        """Put the sliders back; if they have not been moved, take the last applied edit back."""
        with self._lock:
            session = self._session_or_none()
            if session is None:
                self._say("There is no network to edit.")
            elif session.changes(self.settings["layer"], wanted_of(self.settings)):
                self._begin_again("The sliders are back.")
            elif session.can_undo:
                session.undo()
                self._begin_again("The last edit is taken back.")
            else:
                self._say("There is nothing to undo.")

    def redo(self) -> None:
        """Apply again the edit that was taken back last."""
        with self._lock:
            session = self._session_or_none()
            if session is not None and session.can_redo:
                session.redo()
                self._begin_again("The edit is done again.")
            else:
                self._say("There is nothing to do again.")

    def train(self, wait: bool = False) -> None:
        """Train copies of the network before and after the edit, briefly, in the background.

        What cannot be trained is refused in words: a second training beside the first, settings
        that cannot work, outputs that are not the data's classes.

        Args:
            wait: return only when it has ended.
        """
        if self._refused():
            return
        if self.error:
            self._say("These settings cannot work, so there is nothing to train.")
            return
        if reason := no_accuracy(self.result.before):
            self._say(f"There is nothing to train it for. {reason}")
            return
        session = self._session()
        missing = session.to_train(self.result)
        if not missing:
            self._say("That is done already: the table has both accuracies.")
            return
        self._run = run = BackgroundRun(
            lambda: self._work(run, session, missing), on_tick=self._on_tick, on_end=self._on_end
        )
        self._bar.value = 0
        self._say("Training …")
        run.start()
        self._show_state()
        if wait:
            self.wait()

    @property
    def model(self) -> nn.Module:
        """The edited network that the picture shows."""
        return self.result.after.model

    @property
    def report(self) -> EditReport | None:
        """What the sliders' edit did; None if they change nothing."""
        return self.result.report

    @property
    def trained(self) -> Trained | None:
        """The copy of `model` that was trained briefly; None if there is none."""
        return self._session().trained(self.result)

    # What the panel shows

    def compute(self, *, network: str, layer: str, picture: int, **wanted: Any) -> Look:
        """The edit that the sliders ask for.

        Raises:
            CourseError: there is no such layer, or the lab cannot use the network.
        """
        error, self._failure = self._failure, None
        if error is not None:
            raise error
        try:
            return self._session(network).look(layer, wanted, picture)
        except ImpossibleSetting as impossible:
            with self._quiet():
                make_room(self.controls, impossible.nearest)
            raise

    def picture(self, result: Look) -> bytes:
        return draw(result)

    def describe(self, result: Look) -> str:
        return summary(result)

    def code(self, result: Look) -> str:
        return self._session().code(result)

    def adjust(self, result: Look) -> None:
        bench = result.before
        self._layers.value = layer_buttons(places(bench), result.layer, height_of(bench))

    def refresh(self) -> None:
        super().refresh()
        if not self.running:  # what was said is of other settings
            self._say("")
            self._bar.value = 0
        self._show_state()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """As of every panel, but the text has no measured number: those differ by processor."""
        bundle = super()._repr_mimebundle_(**kwargs)
        text = self.error or summary(self.result, measured=False)
        bundle["text/plain"] = f"{self.title}: {text}"
        return bundle

    # Inside: the chosen network and layer

    def _session(self, network: str | None = None) -> Session:
        network = network or self.controls["network"].value
        if network not in self._sessions:
            try:
                self._sessions[network] = Session(self._networks[network], self.data)
            except CourseError as error:
                self._sessions[network] = error  # finding out took a while
        session = self._sessions[network]
        if isinstance(session, CourseError):
            raise session
        return session

    def _session_or_none(self) -> Session | None:
        """None where the lab cannot use the network; the panel shows why."""
        try:
            return self._session()
        except Exception:
            return None

    def _take_network(self) -> None:
        with self._quiet():
            self._fit_network()

    def _take_layer(self) -> None:
        with self._quiet():
            self._fit_layer()

    def _fit_network(self) -> None:
        """Offer the layers of the chosen network."""
        session = self._session_or_none()
        layers = list(session.bench.convs) if session else []
        self.controls["layer"].options = layers or ["none"]
        if layers:
            self._fit_layer()

    def _fit_layer(self) -> None:
        """Let the sliders show the chosen layer as it is."""
        session, layer = self._session_or_none(), self.controls["layer"].value
        if session is not None and layer in session.bench.convs:
            fit_to_layer(self.controls, session.bench.convs[layer])

    def _begin_again(self, text: str) -> None:
        """Show the layer as it is now in the network that the next edit starts from."""
        with self._one_refresh():
            self._fit_layer()
        self._say(text)

    # Inside: training

    def _work(self, run: BackgroundRun, session: Session, missing: dict[Edits, Any]) -> bool:
        """Train a copy for each bench; True if none was stopped."""
        pictures = brief_pictures(session.first)  # the same for all, so that they can be compared
        for number, (edits, bench) in enumerate(missing.items()):

            def on_step(step: Step, number: int = number) -> None:
                self._progress = number * step.steps + step.step, len(missing) * step.steps
                run.tick()

            trained = train_briefly(bench, pictures=pictures, stop=run.stopping, on_step=on_step)
            if trained is None:
                return False
            session.trainings[edits] = trained
        return True

    def _on_tick(self) -> None:
        self._bar.value, self._bar.max = 0, self._progress[1]
        self._bar.value = self._progress[0]

    def _on_end(self) -> None:
        run = self._run
        self._failure = run.exception
        self.refresh()
        if run.exception is not None:
            self._say("Ended by an error.")
        elif run.result:
            self._bar.value = self._bar.max
            self._say("Trained: the table has both accuracies.")
        else:
            other = " because another panel began to train" if run.displaced else ""
            self._say(f"Stopped{other}: what is not finished does not count.")

    # Inside: buttons

    def _build_buttons(self) -> None:
        self._apply_button = button("Apply", self.apply, "Go on from the edited network", "check")
        self._undo_button = button("Undo", self.undo, "Sliders back, or the last edit", "undo")
        self._redo_button = button("Redo", self.redo, "Do again what was undone", "repeat")
        self._train_button = button(
            "Train briefly", self.train, "Train copies, before and after", "play", "success"
        )
        self._train_button.layout.max_width = "160px"
        self._stop_button = button("Stop", self.stop, "Stop the training", "stop", "warning")
        self._code_button = widgets.ToggleButton(
            description="Show me the code", icon="code", layout={"width": "auto"}
        )
        self._code_button.observe(lambda _: self._show_code(), names="value")
        self._bar = widgets.IntProgress(min=0, max=1, layout={"width": "auto"})
        self._status = widgets.HTML()
        self._extra = (
            row_of(self._apply_button, self._undo_button, self._redo_button),
            row_of(self._train_button, self._stop_button),
            self._code_button,
            self._bar,
            self._status,
        )

    def _show_code(self) -> None:
        shown = self._code_button.value
        self._code.layout.display = None if shown else "none"
        self._code_button.description = "Hide the code" if shown else "Show me the code"

    def _show_state(self) -> None:
        running, session = self.running, self._session_or_none()
        edited = not self.error and self.result.report is not None
        moved = edited or bool(self.error)
        self._train_button.disabled = running or session is None
        self._stop_button.disabled = not running
        self._apply_button.disabled = not edited
        self._undo_button.disabled = session is None or not (moved or session.can_undo)
        self._redo_button.disabled = session is None or not session.can_redo


def one_click_lab(
    model: nn.Module | None = None,
    data: Dataset | None = None,
    *,
    models: Mapping[str, nn.Module] | None = None,
    **settings: Any,
) -> OneClickLab:
    """A live panel that edits any convolution; the arguments are those of `OneClickLab`."""
    return OneClickLab(model, data, models=models, **settings)
