"""The drawing panel: draw a garment, and watch what a network takes it for."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor, nn

from course_utils.core import CourseError, check_network
from course_utils.data import Dataset, like_fashion_mnist, load_dataset
from course_utils.models import load_pretrained
from course_utils.widgets.drawing_panel.field import DrawingField
from course_utils.widgets.drawing_panel.picture import WIDTH, draw
from course_utils.widgets.drawing_panel.seen_drawing import SeenDrawing, see_drawing
from course_utils.widgets.panel import Panel, choice
from course_utils.widgets.photograph_upload import photograph_upload

BLANK = "a blank page"


class DrawingPanel(Panel):
    """Draw a garment, or take a photograph of one; the network says at once what it sees.

    Args:
        model: your own network for grey pictures. Default: the trained network of notebook 02_2.
        data: pictures to start from, and the names of the classes. Default: Fashion-MNIST.
        settings: first values of the controls: `start`, "a blank page" or the name of a class, and
            `drawing`, a uint8 array as large as the pictures.

    Raises:
        CourseError: `model` is not a network, the pictures are not grey squares, or a control
            cannot have a value.
    """

    set_first = ("start",)  # it changes the drawing

    def __init__(
        self, model: nn.Module | None = None, data: Dataset | None = None, **settings: Any
    ):
        self.model = load_pretrained("first_cnn") if model is None else model
        check_network(self.model)
        self._data = load_dataset("fashion-mnist") if data is None else data
        channels, height, width = self._data.image_shape
        if channels != 1 or height != width:
            raise CourseError(
                "One draws in grey on a square page, but the pictures of this data set have the "
                f"shape {channels} × {height} × {width}."
            )
        self._field = DrawingField(height)
        self._upload = photograph_upload(
            self._take_photograph, self._shown, tooltip="of a garment, plain background"
        )
        start = choice("start from", [BLANK, *self._data.classes])
        controls = {"drawing": self._field, "start": start}
        self._adapt_to(start, self._start)
        buttons = widgets.HBox([self._button("Start again", self._start_again), self._upload])
        super().__init__(
            controls, title="Drawing panel", width=WIDTH, extra=(buttons,), initial=settings
        )

    def compute(self, *, start: str, drawing: np.ndarray) -> SeenDrawing:
        return see_drawing(self.model, torch.tensor(drawing)[None], self._data)

    def picture(self, result: SeenDrawing) -> bytes:
        return draw(result)

    def describe(self, result: SeenDrawing) -> str:
        name, share = result.first
        return f"{self._begun()}: the network sees {name}, {share:.0%}."

    def describe_unmeasured(self, result: SeenDrawing) -> str:
        return f"{self._begun()}: the network sees {result.first[0]}."

    def code(self, result: SeenDrawing) -> str:
        return "model(data.normalise(torch.tensor(panel.settings['drawing'])[None, None]))"

    def _begun(self) -> str:
        start = self.controls["start"].value
        same = np.array_equal(self._field.value, self._page_of(start))
        return start if same else f"your drawing, begun with {start}"

    def _page_of(self, start: str) -> np.ndarray:
        """Return the page to start from: black, or the first test picture of a class."""
        test = self._data.test
        if start == BLANK:
            return np.zeros(self._data.image_shape[1:], dtype=np.uint8)
        found = (test.labels == self._data.classes.index(start)).nonzero()
        if not len(found):
            raise CourseError(f"There is no test picture of the class {start!r}.")
        return test.images[found[0, 0], 0].numpy()

    def _start(self, start: str) -> None:
        self._field.value = self._page_of(start)

    def _start_again(self) -> None:
        with self._one_refresh():
            self._start(self.controls["start"].value)

    def _take_photograph(self, _name: str, photograph: Tensor) -> None:
        drawing = like_fashion_mnist(photograph, self._data.image_shape[1])
        with self._one_refresh():
            self._field.value = drawing.numpy()


def drawing_panel(
    model: nn.Module | None = None, data: Dataset | None = None, **settings: Any
) -> DrawingPanel:
    """Open the drawing panel; the arguments are those of `DrawingPanel`."""
    return DrawingPanel(model, data, **settings)
