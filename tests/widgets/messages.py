"""The messages of JupyterLab's page to a widget; an exception in the answer would be lost."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any

import ipywidgets as widgets
from PIL import Image


def click(button: widgets.Button) -> None:
    _send(button, method="custom", content={"event": "click"})


def move(control: widgets.Widget, **state: Any) -> None:
    """Send a control's new state."""
    _send(control, method="update", state=state)


def upload(panel: Any, picture: Image.Image | bytes, name: str = "shirt.png") -> None:
    """Send a file to the panel's button for photographs."""
    content = picture
    if not isinstance(picture, bytes):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        content = buffer.getvalue()
    file = {"name": name, "content": memoryview(content), "type": "", "size": len(content)}
    panel._upload.value = (file | {"last_modified": datetime.now()},)


def _send(widget: widgets.Widget, **data: Any) -> None:
    widget._handle_msg({"content": {"data": data}, "buffers": []})
