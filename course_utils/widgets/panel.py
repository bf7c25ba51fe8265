"""The base of every live panel: controls, one picture, one summary line, one error line.

A panel is a function made visible. `Panel.compute` takes the controls' values and returns a result;
`picture` and `describe` show it. All three are pure, so a panel is tested by setting values, and
used without a browser.

An exception in a widget's callback vanishes in JupyterLab. Here it cannot: whatever `compute`
raises is shown as a sentence in the panel itself and kept in `Panel.error`.
"""

from __future__ import annotations

import base64
import contextlib
import html
import math
import reprlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
from traitlets import TraitError

from course_utils.core import CourseError, one_thread
from course_utils.widgets.page import GAP, SIDE_WIDTH, heading

LABEL_WIDTH = "104px"


class Panel(widgets.VBox):
    """Controls -> one pure function -> result -> picture, with errors answered in words.

    Subclasses override `compute`, `picture` and `describe`, build their controls, and call
    `super().__init__`.

    Args:
        controls: name -> widget with a `value`. The names are the keyword arguments of `compute`.
        title: heading of the panel.
        width: width of the picture in CSS pixels. The picture should have just as many pixels.
        extra: further widgets (buttons, progress bars) shown after the controls.
        side_by_side: controls to the left of the picture where the page is wide enough, or always
            above it.
        initial: values that the controls get before anything is computed, as by `set`.

    Raises:
        CourseError: a name in `initial` is not a control, or cannot have that value.

    Attributes:
        result: what `compute` returned last.
        error: the sentence shown now, "" when all is well.
        exception: the exception behind `error`, or None.
    """

    picture_format = "png"
    set_first: tuple[str, ...] = ()  # controls that move others, so they get their values first
    picture_is_photo = False  # the browser smooths photographs; feature maps keep square pixels

    def __init__(
        self,
        controls: Mapping[str, widgets.Widget],
        *,
        title: str,
        width: int,
        extra: tuple[widgets.Widget, ...] = (),
        side_by_side: bool = True,
        initial: Mapping[str, Any] | None = None,
    ):
        self.controls = dict(controls)
        self.title = title
        self.result: Any = None
        self.error, self.exception = "", None
        self._nearest: dict[str, Any] = {}
        # A callback runs in the main thread or in a subshell's, depending on ipykernel's version.
        self._lock = threading.RLock()
        self._held = 0

        self._picture = widgets.Image(format=self.picture_format, layout={"width": f"{width}px"})
        self._picture.add_class("course-picture")
        if self.picture_is_photo:
            self._picture.add_class("course-photo")
        self._code, self._summary, self._error = (
            _with_class(widgets.HTML(), f"course-{name}") for name in ("code", "summary", "error")
        )
        self._nearest_button = widgets.Button(description="Nearest that works", icon="magic")
        self._nearest_button.add_class("course-nearest")
        self._nearest_button.on_click(lambda _: self.apply_nearest())
        # The message lies over the picture, which is out of date then: nothing on the page jumps.
        self._message = _with_class(
            widgets.VBox([self._error, self._nearest_button], layout={"display": "none"}),
            "course-message",
        )

        self._set_controls(initial or {})
        for control in self.controls.values():
            control.observe(self._on_change, names="value")
        beside = f"0 0 calc(({width + SIDE_WIDTH + 2 * GAP}px - 100%) * 999)"
        left = widgets.Box(
            [*self.controls.values(), *extra],
            layout={"flex": beside if side_by_side else "0 0 100%"},
        )
        self._stage = _with_class(widgets.VBox([self._picture, self._message]), "course-stage")
        right = widgets.VBox(
            [self._stage, self._code, self._summary], layout={"width": f"{width + 8}px"}
        )
        body = widgets.Box(
            [_with_class(left, "course-controls"), _with_class(right, "course-view")]
        )
        super().__init__([widgets.HTML(heading(title)), _with_class(body, "course-body")])
        self.add_class("course-panel")
        self.refresh()

    # What a panel is made of

    def compute(self, **settings: Any) -> Any:
        """The pure function behind the panel.

        Raises:
            CourseError: for settings that cannot work.
        """
        raise NotImplementedError

    def picture(self, result: Any) -> bytes:
        """The encoded picture (`picture_format`) of a result."""
        raise NotImplementedError

    def describe(self, result: Any) -> str:
        """One line of plain text that says what the picture shows; screen readers read it, too."""
        raise NotImplementedError

    def code(self, result: Any) -> str:
        """Python that the reader may copy to get the same thing outside the panel; "" for none."""
        return ""

    def adjust(self, result: Any) -> None:
        """Fit the controls to a new result, e.g. the end of a slider; this refreshes nothing."""

    # What a reader of the notebook calls

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
        """Set several controls as a reader would by hand, with one recomputation at the end.

        Raises:
            CourseError: for a control that the panel has not, or a value it cannot take.
        """
        with self._one_refresh():
            self._set_controls(values)

    def apply_nearest(self) -> None:
        """What the button "Nearest that works" does."""
        if self._nearest:
            self.set(**self._nearest)

    def refresh(self) -> None:
        """Recompute and show; called by every change of a control."""
        with self._lock:
            try:
                with one_thread():
                    self.result = result = self.compute(**self.settings)
                    with self._quiet():
                        self.adjust(result)
                    shown = self.picture(result), self.describe(result), self.code(result)
            except CourseError as error:
                self._show_error(error, str(error), getattr(error, "nearest", {}))
            except Exception as error:  # shown to the reader instead of lost in the browser
                self._show_error(error, f"Unexpected {type(error).__name__}: {error}", {})
            else:
                self._show(*shown)

    # Inside

    def _set_controls(self, values: Mapping[str, Any]) -> None:
        for name in values:
            if name not in self.controls:
                known = ", ".join(self.controls)
                raise CourseError(f"This panel has no control {name!r}; it has {known}.")
        first = [name for name in self.set_first if name in values]
        for name in dict.fromkeys([*first, *values]):
            _set_value(name, self.controls[name], values[name])

    def _on_change(self, _change: Any) -> None:
        # The lock makes a change by another thread wait instead of being taken for one of our own.
        with self._lock:
            if not self._held:
                self.refresh()

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        with self._lock:
            self._held += 1
            try:
                yield
            finally:
                self._held -= 1

    @contextlib.contextmanager
    def _one_refresh(self) -> Iterator[None]:
        try:
            with self._quiet():
                yield
        finally:
            self.refresh()

    def _show(self, picture: bytes, text: str, code: str) -> None:
        if self.exception is not None:
            self.error, self.exception, self._nearest = "", None, {}
            self._error.value = ""
            self._message.layout.display = "none"
            self._picture.remove_class("course-stale")
        self._picture.value = picture
        self._summary.value = html.escape(text)
        self._code.value = html.escape(code)

    def _show_error(self, error: Exception, sentence: str, nearest: Mapping[str, Any]) -> None:
        self.error, self.exception = sentence, error
        self._nearest = dict(nearest) if set(nearest) <= set(self.controls) else {}
        lines = sentence.splitlines()
        if self._nearest:  # then the button says it
            lines = [line for line in lines if not line.startswith("Nearest setting")]
        self._error.value = html.escape("\n".join(lines))
        if self._nearest:
            change = ", ".join(f"{name} = {value}" for name, value in self._nearest.items())
            self._nearest_button.description = f"Nearest that works: {change}"
        self._nearest_button.layout.display = None if self._nearest else "none"
        self._message.layout.display = None
        self._picture.add_class("course-stale")  # the picture is the last one that worked
        self._code.value = self._summary.value = ""

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """A live widget where a kernel runs; elsewhere (GitHub, print) the picture and its line."""
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        bundle = bundle[0] if isinstance(bundle, tuple) else bundle
        bundle["text/plain"] = f"{self.title}: {self.summary}"
        if self._picture.value:
            bundle[f"image/{self.picture_format}"] = base64.b64encode(self._picture.value).decode()
        return bundle


def _with_class(widget: widgets.DOMWidget, name: str) -> widgets.DOMWidget:
    widget.add_class(name)
    return widget


def _set_value(name: str, control: widgets.Widget, value: Any) -> None:
    """Set a control; a slider that is too short grows, as the nearest setting may lie beyond it."""
    try:
        if isinstance(control, widgets.FloatLogSlider) and value > 0:
            exponent = math.log(value, control.base)  # the slider's ends are exponents
            control.max, control.min = max(control.max, exponent), min(control.min, exponent)
        elif hasattr(control, "max") and isinstance(value, (int, float)):
            control.max, control.min = max(control.max, value), min(control.min, value)
        elif (
            isinstance(control, widgets.SelectionSlider)
            and isinstance(value, int)
            and value not in _option_values(control)
        ):
            control.options = (*control.options, (str(value), value))
        control.value = value
    except TraitError as error:
        choices = ", ".join(map(repr, _option_values(control)))
        reason = f"choose one of {choices}" if choices else str(error)
        given = " ".join(reprlib.repr(value).split())
        raise CourseError(f"The control {name!r} cannot be {given}: {reason}.") from error


def _option_values(control: widgets.Widget) -> list[Any]:
    options = getattr(control, "options", ())
    return [option[1] if isinstance(option, tuple) else option for option in options]


def int_slider(
    description: str, value: int, minimum: int, maximum: int, step: int = 1
) -> widgets.IntSlider:
    """A slider with the course's common look: label of fixed width, keyboard as usual."""
    return widgets.IntSlider(
        value=value,
        min=minimum,
        max=maximum,
        step=step,
        description=description,
        style={"description_width": LABEL_WIDTH},
    )


def float_slider(
    description: str,
    value: float,
    minimum: float,
    maximum: float,
    step: float,
    readout_format: str = ".2f",
) -> widgets.FloatSlider:
    """As `int_slider`, for real numbers."""
    return widgets.FloatSlider(
        value=value,
        min=minimum,
        max=maximum,
        step=step,
        description=description,
        readout_format=readout_format,
        style={"description_width": LABEL_WIDTH},
    )


def choice_slider(
    description: str, options: Sequence[tuple[str, Any]], value: Any
) -> widgets.SelectionSlider:
    """A slider over a few values, each with its label: (label, value)."""
    return widgets.SelectionSlider(
        options=options,
        value=value,
        description=description,
        style={"description_width": LABEL_WIDTH},
    )


def choice(description: str, options: Any, value: Any = None) -> widgets.Dropdown:
    """A drop-down list with the course's common look."""
    control = widgets.Dropdown(
        options=options,
        description=description,
        style={"description_width": LABEL_WIDTH},
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
        style={"description_width": LABEL_WIDTH},
    )
