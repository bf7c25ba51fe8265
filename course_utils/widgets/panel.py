"""The base of every live panel: controls, one picture, one summary line, one error line.

A panel is a function made visible. `Panel.compute` takes the controls' values and returns a result; `picture` and
`describe` show it. All three are pure, so a panel is tested by setting values, and used without a browser.

An exception in a widget's callback vanishes in JupyterLab. Here it cannot: whatever `compute` raises is shown as a
sentence in the panel itself and kept in `Panel.error`.
"""

from __future__ import annotations

import base64
import contextlib
import html
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import ipywidgets as widgets

from course_utils.errors import CourseError

_STYLE = """<style>
.course-panel { padding: 4px 0; }
.course-panel .widget-label, .course-panel .widget-readout { color: var(--jp-ui-font-color1, #222); }
.course-picture { image-rendering: pixelated; max-width: 100%; height: auto; border-radius: 3px; }
.course-photo { image-rendering: auto; }
.course-stale { opacity: 0.35; }
.course-code { font-family: var(--jp-code-font-family, monospace); font-size: 13px; user-select: all; }
.course-summary, .course-error, .course-code { line-height: 1.45; color: var(--jp-ui-font-color1, #222); }
.course-error-text { border-left: 4px solid #de8f05; padding: 4px 10px; margin: 4px 0; white-space: pre-line; }
</style>"""


class Panel(widgets.VBox):
    """Controls -> one pure function -> result -> picture, with errors answered in words.

    Subclasses override `compute`, `picture` and `describe`, build their controls, and call `super().__init__`.

    Args:
        controls: name -> widget with a `value`. The names are the keyword arguments of `compute`.
        title: heading of the panel.
        width: width of the picture in CSS pixels. The picture should have just as many pixels.
        extra: further widgets (buttons, progress bars) shown under the controls.
        side_by_side: controls to the left of the picture (wide panels) or above it.

    Attributes:
        result: what `compute` returned last.
        error: the sentence shown now, "" when all is well.
        exception: the exception behind `error`, or None.
    """

    picture_format = "png"
    picture_is_photo = False  # photographs are smoothed by the browser, feature maps keep square pixels

    def __init__(
        self,
        controls: Mapping[str, widgets.Widget],
        *,
        title: str,
        width: int,
        extra: tuple[widgets.Widget, ...] = (),
        side_by_side: bool = True,
    ):
        self.controls = dict(controls)
        self.title = title
        self.result: Any = None
        self.error, self.exception = "", None
        self._nearest: dict[str, Any] = {}
        # A callback may run in the main thread or in a subshell's, depending on ipykernel's version.
        self._lock = threading.RLock()
        self._held = 0

        self._picture = widgets.Image(format=self.picture_format, layout={"width": f"{width}px"})
        self._picture.add_class("course-picture")
        if self.picture_is_photo:
            self._picture.add_class("course-photo")
        self._code, self._summary, self._error = widgets.HTML(), widgets.HTML(), widgets.HTML()
        for widget, name in ((self._code, "code"), (self._summary, "summary"), (self._error, "error")):
            widget.add_class(f"course-{name}")
        self._nearest_button = widgets.Button(
            description="Nearest that works", icon="magic", layout={"display": "none", "width": "auto"}
        )
        self._nearest_button.add_class("course-nearest")
        self._nearest_button.on_click(lambda _: self.apply_nearest())

        for control in self.controls.values():
            control.observe(self._on_change, names="value")
        heading = widgets.HTML(f"{_STYLE}<b>{html.escape(title)}</b>")
        left = widgets.VBox([*self.controls.values(), *extra])
        right = widgets.VBox([self._picture], layout={"align_items": "flex-start"})
        box = widgets.HBox if side_by_side else widgets.VBox
        body = box([left, right], layout={"flex_flow": "row wrap", "grid_gap": "8px 20px"} if side_by_side else {})
        super().__init__([heading, body, self._error, self._nearest_button, self._code, self._summary])
        self.add_class("course-panel")
        self.refresh()

    # What a panel is made of ------------------------------------------------------------------------------------

    def compute(self, **settings: Any) -> Any:
        """The pure function behind the panel. Raises `CourseError` for settings that cannot work."""
        raise NotImplementedError

    def picture(self, result: Any) -> bytes:
        """The encoded picture (`picture_format`) of a result."""
        raise NotImplementedError

    def describe(self, result: Any) -> str:
        """One line of plain text that says what the picture shows; also its text for screen readers."""
        raise NotImplementedError

    def code(self, result: Any) -> str:
        """Python that the reader may copy to get the same thing outside the panel; "" for none."""
        return ""

    # What a reader of the notebook calls ------------------------------------------------------------------------

    @property
    def settings(self) -> dict[str, Any]:
        """Name -> value of every control."""
        return {name: control.value for name, control in self.controls.items()}

    @property
    def summary(self) -> str:
        """The line under the picture, or the error when the settings cannot work."""
        return self.error or self.describe(self.result)

    @property
    def nearest(self) -> dict[str, Any]:
        """Changes of the settings that make them work; empty when they do or when none is known."""
        return dict(self._nearest)

    def set(self, **values: Any) -> None:
        """Set several controls as a reader would by hand, with one recomputation at the end."""
        for name in values:
            if name not in self.controls:
                raise CourseError(f"This panel has no control {name!r}; it has {', '.join(self.controls)}.")
        with self._one_refresh():
            for name, value in values.items():
                _set_value(self.controls[name], value)

    def apply_nearest(self) -> None:
        """What the button "Nearest that works" does."""
        if self._nearest:
            self.set(**self._nearest)

    def refresh(self) -> None:
        """Recompute and show; called by every change of a control."""
        with self._lock:
            try:
                self.result = self.compute(**self.settings)
                picture, text, code = self.picture(self.result), self.describe(self.result), self.code(self.result)
            except CourseError as error:
                self._show_error(error, str(error), getattr(error, "nearest", {}))
            except Exception as error:  # noqa: BLE001 - shown to the reader instead of lost in the browser
                self._show_error(error, f"Unexpected {type(error).__name__}: {error}", {})
            else:
                self._show(picture, text, code)

    # Inside -----------------------------------------------------------------------------------------------------

    def _on_change(self, _change: Any) -> None:
        if not self._held:
            self.refresh()

    @contextlib.contextmanager
    def _one_refresh(self) -> Iterator[None]:
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        self.refresh()

    def _show(self, picture: bytes, text: str, code: str) -> None:
        if self.exception is not None:
            self.error, self.exception, self._nearest = "", None, {}
            self._error.value = ""
            self._nearest_button.layout.display = "none"
            self._picture.remove_class("course-stale")
        self._picture.value = picture
        self._picture.tooltip = text
        self._summary.value = f'<div role="status" aria-live="polite">{html.escape(text)}</div>'
        self._code.value = html.escape(code)

    def _show_error(self, error: Exception, sentence: str, nearest: Mapping[str, Any]) -> None:
        self.error, self.exception = sentence, error
        self._nearest = dict(nearest) if set(nearest) <= set(self.controls) else {}
        self._error.value = f'<div role="alert" class="course-error-text">{html.escape(sentence)}</div>'
        if self._nearest:
            change = ", ".join(f"{name} = {value}" for name, value in self._nearest.items())
            self._nearest_button.description = f"Nearest that works: {change}"
        self._nearest_button.layout.display = "" if self._nearest else "none"
        self._picture.add_class("course-stale")  # the picture is the last one that worked
        self._code.value = self._summary.value = ""

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """A live widget where a kernel runs; elsewhere (GitHub, print, nbval) the picture and its line."""
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        bundle = bundle[0] if isinstance(bundle, tuple) else bundle
        bundle["text/plain"] = f"{self.title}: {self.summary}"
        if self._picture.value:
            bundle[f"image/{self.picture_format}"] = base64.b64encode(self._picture.value).decode()
        return bundle


def _set_value(control: widgets.Widget, value: Any) -> None:
    """Set a control; a slider too short for the value grows, as the nearest setting may lie beyond its end."""
    if hasattr(control, "max") and isinstance(value, (int, float)):
        control.max, control.min = max(control.max, value), min(control.min, value)
    elif hasattr(control, "options") and value not in _option_values(control):
        control.options = (*control.options, (str(value), value))
    control.value = value


def _option_values(control: widgets.Widget) -> list[Any]:
    return [option[1] if isinstance(option, tuple) else option for option in control.options]


def int_slider(description: str, value: int, minimum: int, maximum: int, step: int = 1) -> widgets.IntSlider:
    """A slider with the course's common look: label of fixed width, number readable, keyboard as usual."""
    return widgets.IntSlider(
        value=value,
        min=minimum,
        max=maximum,
        step=step,
        description=description,
        style={"description_width": "110px"},
        layout={"width": "320px"},
    )


def float_slider(
    description: str, value: float, minimum: float, maximum: float, step: float, readout_format: str = ".2f"
) -> widgets.FloatSlider:
    """As `int_slider`, for real numbers."""
    return widgets.FloatSlider(
        value=value,
        min=minimum,
        max=maximum,
        step=step,
        description=description,
        readout_format=readout_format,
        style={"description_width": "110px"},
        layout={"width": "320px"},
    )


def choice(description: str, options: Any, value: Any = None) -> widgets.Dropdown:
    """A drop-down list with the course's common look."""
    control = widgets.Dropdown(
        options=options,
        description=description,
        style={"description_width": "110px"},
        layout={"width": "320px"},
    )
    if value is not None:
        control.value = value
    return control


def toggle(description: str, value: bool) -> widgets.Checkbox:
    """An on/off control with the course's common look."""
    return widgets.Checkbox(
        value=value,
        description=description,
        indent=True,
        style={"description_width": "110px"},
        layout={"width": "320px"},
    )
