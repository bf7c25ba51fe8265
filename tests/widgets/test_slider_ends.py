"""Every panel: at both ends of each control, and when its code fails, a picture or a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from unittest.mock import Mock, PropertyMock

import ipywidgets as widgets
import numpy as np
import pytest
import torch

from course_utils import widgets as panels
from course_utils.core.errors import CourseError
from course_utils.models import load_pretrained
from course_utils.widgets.background import WhenIdle
from course_utils.widgets.drawing_panel.field import DrawingField
from course_utils.widgets.kernel_playground.kernel_grid import KernelGrid
from course_utils.widgets.panel import Panel
from tests.notebooks.pictures import fault_of
from tests.widgets.messages import click, move

# A panel that computes with each move gets a small network.
SMALL = {
    "initialisation_panel": {"images": torch.rand(4, 1, 8, 8), "width": 8},
    "one_click_lab": {"picture_size": 64},
    "silence_panel": {"model": load_pretrained("first_cnn")},
}


@pytest.fixture(scope="module", params=panels.__all__)
def panel(request) -> Iterator[Panel]:
    with pytest.MonkeyPatch.context() as patch:
        # What a panel adds when it is left alone would be drawn between any two moves.
        patch.setattr(WhenIdle, "ask", lambda _: None)
        yield getattr(panels, request.param)(**SMALL.get(request.param, {}))


def ends(control: widgets.Widget) -> list[Any]:
    """Return the values at the ends of a control's range; of a list, all."""
    if isinstance(control, KernelGrid):
        return [np.zeros((1, 1)), np.full((5, 5), -1e5)]
    if isinstance(control, DrawingField):
        return [np.full_like(control.value, shade) for shade in (0, 255)]
    if isinstance(control, widgets.Text):
        return ["", "no such folder ☂ " * 20]
    if isinstance(control, widgets.FileUpload):
        file = {"name": "notes.txt", "type": "", "size": 3, "content": memoryview(b"abc")}
        return [(), (file | {"last_modified": datetime.now()},)]
    if hasattr(control, "options"):
        values = [option[1] if isinstance(option, tuple) else option for option in control.options]
        is_range = all(isinstance(value, (int, float)) for value in values)
        return [values[0], values[-1]] if is_range else values
    if isinstance(control, widgets.FloatLogSlider):
        return [control.base**control.min, control.base**control.max]
    if hasattr(control, "max"):
        return [control.min, control.max]
    assert isinstance(control, widgets.Checkbox), f"how far does a {type(control).__name__} go?"
    return [False, True]


def check(panel: Panel, change: dict[str, Any]) -> None:
    assert panel.exception is None or isinstance(panel.exception, CourseError), panel.error
    assert panel.summary.strip(), change
    assert len(panel.shown_picture) > 100, change
    if panel.exception is not None:
        assert panel._message.layout.display is None, "the sentence can be seen"


def snapped(control: widgets.Widget) -> float:
    """Return the value at which the page puts the handle: the step that is nearest."""
    is_log = isinstance(control, widgets.FloatLogSlider)
    value = math.log(control.value, control.base) if is_log else control.value
    steps = round((value - control.min) / control.step)
    value = min(control.max, control.min + steps * control.step)
    return control.base**value if is_log else value


def test_no_slider_moves_by_itself_to_the_nearest_step(panel):
    for name, control in panel.controls.items():
        if hasattr(control, "step") and hasattr(control, "max"):
            assert snapped(control) == pytest.approx(control.value), name


def test_a_slider_between_two_steps_would_be_noticed():
    for slider, there in (
        (widgets.FloatLogSlider(value=0.03, min=-4, max=0, step=0.05), 10**-1.5),
        (widgets.FloatSlider(value=1 / 3, min=0, max=1, step=0.05), 0.35),
        (widgets.IntSlider(value=5, min=0, max=9, step=2), 4),
    ):
        assert snapped(slider) == pytest.approx(there) != slider.value


def test_every_control_can_go_to_both_ends(panel):
    for name, control in panel.controls.items():
        assert isinstance(control, KernelGrid) or control.description.strip(), f"{name}: no label"
    check(panel, {})
    assert panel.exception is None
    start = panel.settings
    back: dict[str, Any] = {}  # the last control goes back in the refresh of the next one
    for name, values in [(name, ends(control)) for name, control in panel.controls.items()]:
        for end in values:
            panel.set(**back, **{name: end})
            check(panel, {name: end})
            assert fault_of(panel.shown_picture) == "", (name, end)
            back = {}
        back = {name: start[name]}
    panel.set(**start)
    assert panel.exception is None, panel.error


@pytest.mark.parametrize("end", [0, -1])
def test_all_controls_can_go_to_one_end_together(panel, end, monkeypatch):
    start = panel.settings
    with monkeypatch.context() as patch:  # the test above draws the pictures of single ends
        patch.setattr(panel, "picture", lambda _: b"not drawn" * 20)
        for name, control in panel.controls.items():
            panel.set(**{name: ends(control)[end]})
            check(panel, {name: end})
    panel.refresh()
    check(panel, {"all": end})
    for _ in range(4):
        if panel.nearest:
            panel.apply_nearest()
            check(panel, {"nearest": end})
    panel.set(**start)
    assert panel.exception is None, panel.error


def all_buttons(widget: widgets.Widget) -> list[widgets.Button]:
    inside = [found for one in getattr(widget, "children", ()) for found in all_buttons(one)]
    return [widget, *inside] if isinstance(widget, widgets.Button) else inside


def a_move(panel: Panel) -> tuple[widgets.Widget, dict[str, Any]]:
    """Return a control and what the page sends when a reader moves it: a slider, or a list."""
    for control in panel.controls.values():
        if isinstance(control, widgets.IntSlider):
            other = control.min if control.value != control.min else control.max
            return control, {"value": other}
    chosen = next(c for c in panel.controls.values() if len(getattr(c, "options", ())) > 1)
    return chosen, {"index": 0 if chosen.index else 1}


@pytest.mark.parametrize(
    "method", ["compute", "adjust", "picture", "describe", "code", "_show", "refresh"]
)
def test_an_exception_after_a_move_is_shown(panel, method, monkeypatch):
    control, state = a_move(panel)
    with monkeypatch.context() as patch:
        patch.setattr(panel, method, Mock(side_effect=ZeroDivisionError("<x> / 0")))
        move(control, **state)
        assert panel.error == "Unexpected ZeroDivisionError: <x> / 0"
        assert "&lt;x&gt;" in panel._error.value and panel._message.layout.display is None
    panel.refresh()
    assert panel.error == ""


def test_an_exception_after_a_click_is_shown(panel, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # a button may write a file
    buttons = [one for one in all_buttons(panel) if one.description != "Ask Python"]
    assert panel._nearest_button in buttons
    for button in buttons:
        panel.error = ""
        with monkeypatch.context() as patch:
            for name in ("_say", "_history_or_none", "apply_nearest", "_start"):
                if hasattr(panel, name):
                    patch.setattr(panel, name, Mock(side_effect=ZeroDivisionError("no")))
            if hasattr(panel, "running"):
                broken = PropertyMock(side_effect=ZeroDivisionError("no"))
                patch.setattr(type(panel), "running", broken)
            patch.setattr(panel, "_nearest", {"nothing": 1})
            click(button)
            assert panel.error and panel._message.layout.display is None, button.description
    panel.refresh()
