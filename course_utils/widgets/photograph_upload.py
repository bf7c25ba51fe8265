"""A button that loads a photograph of the reader into a panel."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from torch import Tensor

from course_utils.data import load_photograph

Action = Callable[[], Any]


def photograph_upload(
    take: Callable[[str, Tensor], Any],
    guard: Callable[[Action], Action],
    description: str = "a photograph",
    tooltip: str | None = None,
) -> widgets.FileUpload:
    """Return a button that opens a file and calls `take(name, photograph)`.

    Args:
        take: gets the file's name without its ending, and the photograph, uint8 (3, H, W).
        guard: returns an action so that its exceptions are shown, as `Panel._shown` does.
    """
    upload = widgets.FileUpload(accept="image/*", description=description, tooltip=tooltip)

    def read() -> None:
        if not upload.value:
            return
        [file] = upload.value
        upload.value = ()  # or the same file could not be taken again
        opened = io.BytesIO(bytes(file["content"]))
        opened.name = file["name"]
        take(Path(file["name"]).stem, load_photograph(opened))

    guarded = guard(read)
    upload.observe(lambda _: guarded(), names="value")
    return upload
