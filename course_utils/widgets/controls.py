"""Buttons and sliders that the panels which train have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from course_utils.widgets.panel import choice_slider


def button(
    description: str, action: Callable[[], Any], tooltip: str, icon: str = "", style: str = ""
) -> widgets.Button:
    """A button that calls `action` without arguments."""
    made = widgets.Button(
        description=description,
        icon=icon,
        button_style=style,
        tooltip=tooltip,
        layout={"flex": "1 1 0", "min_width": "62px", "max_width": "120px"},
    )
    made.on_click(lambda _: action())
    return made


def row_of(*buttons: widgets.Button) -> widgets.HBox:
    """Buttons side by side."""
    return widgets.HBox(list(buttons))


def steps_slider(
    description: str, values: Sequence[float], value: float
) -> widgets.SelectionSlider:
    """A slider over a few values that are not evenly spaced."""
    return choice_slider(description, [(f"{one:g}", one) for one in values], value)
