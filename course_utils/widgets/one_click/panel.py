"""The one-click lab: edit any convolution of a network with sliders; the other layers follow."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from torch import nn

from course_utils.compress import to_onnx
from course_utils.conv import EditReport, ImpossibleSetting, NetworkGraph
from course_utils.core import CourseError
from course_utils.data import Dataset, load_dataset
from course_utils.models import Card
from course_utils.widgets.controls import code_toggle, row_of
from course_utils.widgets.one_click import controls
from course_utils.widgets.one_click.edit_history import EditHistory
from course_utils.widgets.one_click.edit_result import ALL_MAPS, NO_CLASS, EditResult
from course_utils.widgets.one_click.geometry import WIDTH, drawings
from course_utils.widgets.one_click.held_out import as_input
from course_utils.widgets.one_click.networks import YOURS, networks
from course_utils.widgets.one_click.picture import click_areas, draw, height_of
from course_utils.widgets.one_click.shown_photographs import load_photographs
from course_utils.widgets.one_click.trains import TrainsBriefly
from course_utils.widgets.one_click.words import summary
from course_utils.widgets.panel import Panel
from course_utils.widgets.saved_weights import how_to_load, new_file, save_weights

_PICTURES = 32  # the most that the slider shows


class OneClickLab(TrainsBriefly, Panel):
    """Choose a network and a layer, and move the sliders; all coupled layers follow.

    The slider "width ×" changes all layers at once: the width multiplier of Howard et al. (2017).

    The layer is chosen from the list or by a click on the drawn network. Of blocks that repeat one
    is drawn; a click on "× 3", or the list `drawing`, shows all three. A click on a map, or the
    list `map`, shows it large, with its kernel and its strongest places; a click on a class, or the
    list `grad_cam`, shows which pixels speak for it. The lab never changes a network that it is
    given: each edit makes a new one.

    - Apply: the next edit starts from the edited network.
    - Undo puts the sliders back; if they have not been moved, it takes the last applied edit back.
    - Save weights writes the weights of the edited network into a file, and says how to load them;
      Save as ONNX writes the whole network.
    - Train briefly trains copies of the network before and after the edit, in the background.

    Args:
        model: your own network, chosen at first. Default: the trained network of notebook 02_2.
        data: its images are shown to the networks, adapted to the channels and the size that a
            network accepts. Default: Fashion-MNIST.
        models: more networks, by the names of their variables.
        card: of `model`: its classes, and how it takes pictures. Default: the one with which
            `load_pretrained` made it.
        photographs: your own, for networks that have a card with other classes than the data: path
            of a picture, name of one in `PHOTOGRAPHS`, or a tensor (3, height, width); or a list of
            them, or a dict of them by name. Default: those of the course.
        picture_size: side of the photographs in pixels. Default: 128, where the network takes it,
            because its own size (often 224) takes three times as long.
        settings: first values of the controls: `network`, `layer`, `picture`, `width`,
            `drawing`, `map`, `grad_cam`, and the arguments of `nn.Conv2d`.

    Raises:
        CourseError: `model` or one of `models` is not a network; a photograph cannot be used; a
            name in `settings` is not a control, or the control cannot have that value.
    """

    set_first = ("network", "layer")  # they change all other controls

    def __init__(
        self,
        model: nn.Module | None = None,
        data: Dataset | None = None,
        *,
        models: Mapping[str, nn.Module] | None = None,
        card: Card | None = None,
        photographs: Any = None,
        picture_size: int | None = None,
        **settings: Any,
    ):
        self.data = load_dataset("fashion-mnist") if data is None else data
        self._networks = networks(model, models)
        if card is not None and not (model is not None and isinstance(card, Card)):
            raise CourseError("card is for your own model: give both, the card as a Card.")
        self._card, self._side = card, picture_size
        # The reader's own are read now, so that an error is raised here; the course's when needed.
        self._photographs = photographs if photographs is None else load_photographs(photographs)
        self._histories: dict[str, EditHistory | CourseError] = {}
        self._layer_buttons = widgets.HTML()
        self._build_buttons()
        labels = {name: one.label for name, one in self._networks.items()}
        self.controls = controls.build_controls(labels)  # the observers need them before `Panel`
        self._fit_network()
        self._adapt_to(self.controls["network"], lambda _: self._fit_network())
        self._adapt_to(self.controls["layer"], lambda _: self._fit_layer())
        self._adapt_to(self.controls["map"], self._show_map)
        self._adapt_to(self.controls["grad_cam"], self._show_class)
        super().__init__(self.controls, title="One-click lab", width=WIDTH, initial=settings)
        self._lay_over_picture(self._layer_buttons)
        self._code_button = code_toggle(self._code)
        left = self.children[1].children[0]
        left.children += (*self._button_rows, self._code_button, self._bar, self._status)

    # What the buttons do; cells and tests call the same

    def apply(self) -> None:
        """Let the next edit start from the edited network."""
        with self._lock:
            if self.error or self.result.report is None:
                self._say("There is no edit to apply: move a slider first.")
                return
            self._history().apply(self.result)
            self._start_from_current("Applied: the next edit starts from here.")

    def undo(self) -> None:
        """Put the sliders back; if they have not been moved, take the last applied edit back."""
        with self._lock:
            history = self._history_or_none()
            if history is None:
                self._say("There is no network to edit.")
            elif self._moved(history):
                self._start_from_current("The sliders are back.")
            elif history.can_undo:
                history.undo()
                self._start_from_current("The last edit is taken back.")
            else:
                self._say("There is nothing to undo.")

    def redo(self) -> None:
        """Apply again the edit that was taken back last."""
        with self._lock:
            history = self._history_or_none()
            if history is not None and history.can_redo:
                history.redo()
                self._start_from_current("The edit is applied again.")
            else:
                self._say("There is nothing to redo.")

    def save_onnx(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the edited network into an ONNX file, which runs without Python; return the path.

        Args:
            path: of the file, which is replaced. Default: a new file in the current folder.

        Raises:
            CourseError: the settings cannot work, the network cannot be exported, or the file
                cannot be written.
        """
        with self._lock:
            self._require_network()
            path = path or new_file(self.controls["network"].value, ".onnx")
            return to_onnx(self.model, as_input(self.model, self.result.before.example), path)

    def save_weights(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the weights of the edited network, as `state_dict()` returns them; return the path.

        `torch.load(path)` reads them, and `load_state_dict` loads them into the network that the
        code under the picture makes.

        Args:
            path: of the file, which is replaced. Default: a new file in the current folder.

        Raises:
            CourseError: the settings cannot work, or the file cannot be written.
        """
        with self._lock:
            self._require_network()
            return save_weights(self.model, path or new_file(self.controls["network"].value))

    @property
    def model(self) -> nn.Module:
        """The edited network that the picture shows."""
        return self.result.after.model

    @property
    def report(self) -> EditReport | None:
        """The report of the edit; None if the sliders change nothing."""
        return self.result.report

    # What the panel shows

    def compute(
        self, *, network: str, layer: str, picture: int, width: float, **settings: Any
    ) -> EditResult:
        """Return the result of the edit that the sliders describe.

        Raises:
            CourseError: there is no such layer, or the lab cannot use the network.
        """
        try:
            result = self._history(network).preview(layer, settings, picture, width)
        except ImpossibleSetting as impossible:
            with self._quiet():
                controls.make_room(self.controls, impossible.nearest)
            raise
        return replace(result, **{name: settings[name] for name in ("drawing", "map", "grad_cam")})

    def picture(self, result: EditResult) -> bytes:
        return draw(result)

    def describe(self, result: EditResult) -> str:
        return summary(result)

    def describe_unmeasured(self, result: EditResult) -> str:
        return summary(result, measured=False)

    def code(self, result: EditResult) -> str:
        return self._history().code(result)

    def adjust(self, result: EditResult) -> None:
        controls.fit_to_maps(self.controls, *map(len, result.maps))
        height = height_of(result.before, result.drawing)
        areas = click_areas(result)
        self._layer_buttons.value = controls.click_buttons(areas, self.controls, height)

    def refresh(self) -> None:
        super().refresh()
        if not self.running:  # the line is about the former settings
            self._say("")
            self._bar.value = 0
        self._show_state()

    # Inside: the chosen network and layer

    def _history(self, network: str | None = None) -> EditHistory:
        network = network or self.controls["network"].value
        if network not in self._histories:
            try:
                self._histories[network] = EditHistory(
                    self._networks[network],
                    self.data,
                    card=self._card if network == YOURS else None,
                    photographs=self._photographs,
                    side=self._side,
                )
            except CourseError as error:
                self._histories[network] = error  # so that the slow check runs once
        if isinstance(history := self._histories[network], CourseError):
            raise history
        return history

    def _history_or_none(self) -> EditHistory | None:
        """Return None where the lab cannot use the network; the panel shows the reason."""
        try:
            return self._history()
        except Exception:
            return None

    def _fit_network(self) -> None:
        """Offer the layers of the chosen network."""
        history = self._history_or_none()
        layers = list(history.current.convs) if history else []
        self.controls["layer"].options = layers or ["none"]
        pictures = len(history.original.held_out) if history else _PICTURES
        # A slider needs two values; one that is too large shows the last picture.
        self.controls["picture"].max = min(_PICTURES, max(2, pictures)) - 1
        graph = history.current.graph if history else NetworkGraph((), ())
        drawn = drawings(graph)
        self.controls["drawing"].options = [(label, one) for one, label in drawn.items()]
        self.controls["width"].value = 1.0
        controls.fit_to_classes(self.controls, history.original.classes if history else ())
        if layers:
            self._fit_layer()

    def _fit_layer(self) -> None:
        """Set the sliders to the chosen layer of the current network."""
        history, layer = self._history_or_none(), self.controls["layer"].value
        if history is not None and layer in history.current.convs:
            controls.fit_to_layer(self.controls, history.current.convs[layer])

    def _show_map(self, chosen: str) -> None:
        if chosen != ALL_MAPS:
            self.controls["grad_cam"].value = NO_CLASS

    def _show_class(self, chosen: int) -> None:
        if chosen != NO_CLASS:
            self.controls["map"].value = ALL_MAPS

    def _moved(self, history: EditHistory) -> bool:
        """Return whether a slider asks for a change of the current network."""
        settings = self.settings
        layer = settings["layer"]
        return settings["width"] != 1 or bool(history.changes(layer, controls.wanted_of(settings)))

    def _start_from_current(self, text: str) -> None:
        """Show the layer in the network that the next edit starts from."""
        with self._one_refresh():
            self.controls["width"].value = 1.0
            self._fit_layer()
        self._say(text)

    def _save(self, save: Callable[[], Path]) -> None:
        try:
            path = save()
        except CourseError as error:
            self._say(str(error))
        else:
            self._say(how_to_load(path))

    def _require_network(self) -> None:
        if self.error:
            raise CourseError("These settings cannot work, so there is nothing to save.")

    # Inside: buttons

    def _build_buttons(self) -> None:
        self._apply_button = self._button(
            "Apply", self.apply, "Edit the edited network further", "check"
        )
        self._undo_button = self._button(
            "Undo", self.undo, "Sliders back, or the last edit", "undo"
        )
        self._redo_button = self._button("Redo", self.redo, "Apply the undone edit again", "repeat")
        train = "Train copies, before and after"
        self._train_button = self._button("Train briefly", self.train, train, "play", "success")
        self._train_button.layout.max_width = "160px"
        self._stop_button = self._button("Stop", self.stop, "Stop the training", "stop", "warning")
        save = "Write the edited network's weights into a file"
        self._save_button, self._onnx_button = (
            self._button(text, partial(self._save, action), tip, "download")
            for text, action, tip in (
                ("Save weights", self.save_weights, save),
                ("Save as ONNX", self.save_onnx, "Write a file that runs without Python; seconds"),
            )
        )
        self._onnx_button.layout.max_width = "160px"
        self._bar = widgets.FloatProgress(min=0, max=1, layout={"width": "auto"})
        self._status = widgets.HTML()
        self._button_rows = (
            row_of(self._apply_button, self._undo_button, self._redo_button),
            row_of(self._train_button, self._stop_button),
            row_of(self._save_button, self._onnx_button),
        )

    def _show_state(self) -> None:
        running, history = self.running, self._history_or_none()
        edited = not self.error and self.result.report is not None
        moved = edited or bool(self.error)
        self._train_button.disabled = running or history is None
        self._stop_button.disabled = not running
        self._save_button.disabled = self._onnx_button.disabled = bool(self.error)
        self._apply_button.disabled = not edited
        self._undo_button.disabled = history is None or not (moved or history.can_undo)
        self._redo_button.disabled = history is None or not history.can_redo


def one_click_lab(
    model: nn.Module | None = None,
    data: Dataset | None = None,
    *,
    models: Mapping[str, nn.Module] | None = None,
    card: Card | None = None,
    photographs: Any = None,
    picture_size: int | None = None,
    **settings: Any,
) -> OneClickLab:
    """Return a live panel that edits any convolution; the arguments are those of `OneClickLab`."""
    shown = {"card": card, "photographs": photographs, "picture_size": picture_size}
    return OneClickLab(model, data, models=models, **shown, **settings)
