"""Buttons and sliders that several panels share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets

from course_utils.widgets.panel import choice_slider


def row_of(*buttons: widgets.Button) -> widgets.HBox:
    """Return the buttons side by side."""
    return widgets.HBox(list(buttons))


def steps_slider(
    description: str, values: Sequence[float], value: float
) -> widgets.SelectionSlider:
    """Return a slider over a few values that are not evenly spaced."""
    return choice_slider(description, [(f"{one:g}", one) for one in values], value)


def code_toggle(code: widgets.HTML) -> widgets.ToggleButton:
    """Return a button that shows and hides the lines of `code`; they are hidden at first."""
    code.add_class("course-lines")
    made = widgets.ToggleButton(icon="code", layout={"width": "auto"})

    def show(_change: Any = None) -> None:
        code.layout.display = None if made.value else "none"
        made.description = "Hide the code" if made.value else "Show me the code"

    made.observe(show, names="value")
    show()
    return made
