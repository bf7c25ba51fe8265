"""The messages of JupyterLab's page to a widget; an exception in the answer would be lost."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets


def click(button: widgets.Button) -> None:
    _send(button, method="custom", content={"event": "click"})


def move(control: widgets.Widget, **state: Any) -> None:
    """Send a control's new state."""
    _send(control, method="update", state=state)


def _send(widget: widgets.Widget, **data: Any) -> None:
    widget._handle_msg({"content": {"data": data}, "buffers": []})
