"""Buttons on which a double click counts as one click.

The kernel handles the second click of a double click when it has finished with the first, however
long that took. So a double click on Undo would take back two steps. But the page writes into each
message when it was sent, and this tells a double click from two clicks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import ipywidgets as widgets
from IPython import get_ipython

DOUBLE_CLICK = 0.5
"""Seconds between two clicks, from which on both count; usual in operating systems."""


def button(
    description: str,
    action: Callable[[], Any],
    tooltip: str | None = None,
    icon: str = "",
    style: str = "",
    in_row: bool = True,
) -> widgets.Button:
    """Return a button that calls `action` without arguments, once for a double click.

    With `in_row` the buttons of a row are equally wide.
    """
    layout = {"flex": "1 1 0", "min_width": "62px", "max_width": "120px"} if in_row else {}
    look = {"icon": icon, "button_style": style, "tooltip": tooltip, "layout": layout}
    made = widgets.Button(description=description, **look)
    clicks = OneForDouble(action)
    made.on_click(clicks.on_click)
    made.observe(clicks.on_disabled, names="disabled")
    return made


def clicked_at() -> float:
    """Return when the page sent the click that is handled now, in seconds since 1970.

    Outside a widget's message, e.g. when Python calls `click()`, it is the present time.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    header = kernel.get_parent("shell").get("header", {}) if kernel is not None else {}
    if header.get("msg_type") == "comm_msg" and isinstance(header.get("date"), datetime):
        return header["date"].timestamp()
    return time.time()


class OneForDouble:
    """A handler of clicks that calls `action` once for a double click.

    A click counts if the page sent it `DOUBLE_CLICK` or more after the last one that counted.
    Clicks by Python have no such time, so they count from the end of the action. The first click on
    a button that has been disabled meanwhile always counts.
    """

    def __init__(self, action: Callable[[], Any]) -> None:
        self._action, self._last = action, -math.inf

    def on_click(self, _button: widgets.Button) -> None:
        # The clock of another browser may be behind, therefore the absolute value.
        if abs(clicked_at() - self._last) < DOUBLE_CLICK:
            return
        try:
            self._action()
        finally:
            self._last = clicked_at()

    def on_disabled(self, change: Any) -> None:
        if not change["new"]:
            self._last = -math.inf
