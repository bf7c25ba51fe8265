"""The base of every live panel: controls, one picture, one summary line, one error line.

A panel shows a function. `Panel.compute` takes the values of the controls and returns a result;
`picture` and `describe` show it. All three are pure, so a panel can be tested and used without a
browser.

JupyterLab hides an exception in a widget's callback. A panel does not: it shows the exception as a
sentence and keeps it in `Panel.error`.
"""

from __future__ import annotations

import base64
import contextlib
import html
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ipywidgets as widgets

from course_utils.core import (
    CourseError,
    error_line,
    garbage_later,
    is_out_of_memory,
    memory_sentence,
    one_thread,
)
from course_utils.widgets.clicks import button
from course_utils.widgets.connection import Connection
from course_utils.widgets.control_values import set_value, value_of
from course_utils.widgets.page import GAP, SIDE_WIDTH, heading

LABEL_WIDTH = "104px"


class Panel(widgets.VBox):
    """Controls -> one pure function -> result -> picture, with errors shown as sentences.

    Subclasses override `compute`, `picture` and `describe`, build their controls, and call
    `super().__init__`.

    Args:
        controls: name -> widget with a `value`. The names are the keyword arguments of `compute`.
        title: heading of the panel.
        width: width of the picture in CSS pixels. The picture should have the same width in pixels.
        extra: further widgets (buttons, progress bars) shown after the controls.
        initial: values for the controls, set before the first computation.

    Raises:
        CourseError: a name in `initial` is not a control, or cannot have that value.

    Attributes:
        result: the last value that `compute` returned.
        error: the sentence shown now, "" if there is no error.
        exception: the exception behind `error`, or None.
    """

    set_first: tuple[str, ...] = ()  # controls that change others are set first
    _failure: BaseException | None = None  # of other work than `refresh`, which shows it

    def __init__(
        self,
        controls: Mapping[str, widgets.Widget],
        *,
        title: str,
        width: int,
        extra: tuple[widgets.Widget, ...] = (),
        initial: Mapping[str, Any] | None = None,
    ):
        self.controls = dict(controls)
        self.title = title
        self.result: Any = None
        self.error, self.exception = "", None
        self._nearest: dict[str, Any] = {}
        # ipykernel runs callbacks in the main thread or in another one, depending on its version.
        self._lock = threading.RLock()
        self._held = 0

        self._picture = widgets.Image(format="png", layout={"width": f"{width}px"})
        self._picture.add_class("course-picture")
        self._code, self._summary, self._error = (
            _with_class(widgets.HTML(), f"course-{name}") for name in ("code", "summary", "error")
        )
        self._nearest_button = _with_class(
            self._button("Nearest that works", self.apply_nearest, icon="magic", in_row=False),
            "course-nearest",
        )
        # The message covers the outdated picture, so nothing on the page moves.
        self._message = _with_class(
            widgets.VBox([self._error, self._nearest_button], layout={"display": "none"}),
            "course-message",
        )

        self._set_controls(initial or {})
        for control in self.controls.values():
            control.observe(self._on_change, names="value")
        # In a page that is wide enough this width is negative, so the controls get their least
        # width; else it is huge, so they fill a row of their own above the picture.
        beside = f"0 0 calc(({width + SIDE_WIDTH + 2 * GAP}px - 100%) * 999)"
        left = widgets.Box([*self.controls.values(), *extra], layout={"flex": beside})
        self._stage = _with_class(widgets.VBox([self._picture, self._message]), "course-stage")
        right = widgets.VBox(
            [self._stage, self._code, self._summary], layout={"width": f"{width + 8}px"}
        )
        body = widgets.Box(
            [_with_class(left, "course-controls"), _with_class(right, "course-view")]
        )
        body = _with_class(body, "course-body")
        super().__init__([widgets.HTML(heading(title)), body, Connection()])
        self.add_class("course-panel")
        self.refresh()

    # What a panel implements

    def compute(self, **settings: Any) -> Any:
        """Return the result for these settings, without side effects.

        Raises:
            CourseError: these settings cannot work.
        """
        raise NotImplementedError

    def picture(self, result: Any) -> bytes:
        """Return the picture of a result as a PNG."""
        raise NotImplementedError

    def describe(self, result: Any) -> str:
        """Return one line of plain text about the picture; screen readers read it, too."""
        raise NotImplementedError

    def describe_unmeasured(self, result: Any) -> str:
        """Return the summary for committed notebooks, without numbers that vary by processor."""
        return self.describe(result)

    def code(self, result: Any) -> str:
        """Return Python code that makes the same result outside the panel; "" for none."""
        return ""

    def adjust(self, result: Any) -> None:
        """Adapt the controls to a new result, e.g. the end of a slider, without a refresh."""

    # What a reader of the notebook calls

    @property
    def settings(self) -> dict[str, Any]:
        """The values of the controls by name."""
        return {name: value_of(control) for name, control in self.controls.items()}

    @property
    def summary(self) -> str:
        """The line under the picture, or the error if the settings cannot work."""
        return self.error or self.describe(self.result)

    @property
    def shown_picture(self) -> bytes:
        """The PNG on the page; during an error, the last picture that worked."""
        return bytes(self._picture.value)

    @property
    def shown_code(self) -> str:
        """The code under the picture, "" if there is none."""
        return html.unescape(self._code.value)

    @property
    def nearest(self) -> dict[str, Any]:
        """Changes that make the settings work; empty if they work, or if none is known."""
        return dict(self._nearest)

    def set(self, **values: Any) -> None:
        """Set several controls, as a reader would by hand, and recompute once.

        Raises:
            CourseError: the panel has no such control, or the control cannot have that value.
        """
        with self._one_refresh():
            self._set_controls(values)

    def apply_nearest(self) -> None:
        """Set the controls to `nearest`, as the button "Nearest that works" does."""
        if self._nearest:
            self.set(**self._nearest)

    def refresh(self) -> None:
        """Recompute and show the result; each change of a control calls it."""
        with self._lock, garbage_later():
            try:
                with one_thread():
                    self.raise_failure()
                    self.result = result = self.compute(**self.settings)
                    with self._quiet():
                        self.adjust(result)
                    shown = self.picture(result), self.describe(result), self.code(result)
            except Exception as error:  # the browser would hide it
                self._show_error(error)
            else:
                self._show(*shown)

    def raise_failure(self) -> None:
        """Raise the exception that ended other work of the panel, once, so that it is shown."""
        error, self._failure = self._failure, None
        if error is not None:
            raise error

    # What a panel calls

    def _button(self, description: str, action: Callable[[], Any], *look: Any, **more: Any):
        """Return a `clicks.button`; the panel shows an exception of `action`."""
        return button(description, self._shown(action), *look, **more)

    def _shown(self, action: Callable[[], Any]) -> Callable[[], None]:
        """Return `action` without exceptions: the panel shows them, nobody else would."""

        def run() -> None:
            try:
                action()
            except Exception as error:
                with self._lock:
                    self._show_error(error)

        return run

    def _adapt_to(self, control: widgets.Widget, adapt: Callable[[Any], Any]) -> None:
        """Call `adapt(value)` when a control changes, before the refresh, to move other controls.

        Call it before `Panel.__init__`. The refresh shows an exception of `adapt`.
        """

        def on_change(change: Any) -> None:
            with self._quiet():
                try:
                    adapt(change["new"])
                except Exception as error:
                    self._failure = error

        control.observe(on_change, names="value")

    # Inside

    def _lay_over_picture(self, widget: widgets.DOMWidget) -> None:
        """Put a widget (e.g. buttons) over the picture, below the error message."""
        image, message = self._stage.children
        widget.layout.width = f"min({self._picture.layout.width}, calc(100% - 6px))"
        self._stage.children = (image, _with_class(widget, "course-overlay"), message)

    def _set_controls(self, values: Mapping[str, Any]) -> None:
        for name in values:
            if name not in self.controls:
                known = ", ".join(self.controls)
                raise CourseError(f"This panel has no control {name!r}; it has {known}.")
        first = [name for name in self.set_first if name in values]
        for name in dict.fromkeys([*first, *values]):
            set_value(name, self.controls[name], values[name])

    def _on_change(self, _change: Any) -> None:
        # A change by another thread waits here; it must not be taken for a change by `adjust`.
        with self._lock:
            if not self._held:
                self._shown(self.refresh)()

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

    def _show_error(self, error: Exception) -> None:
        sentence, nearest = str(error), getattr(error, "nearest", {})
        if is_out_of_memory(error):
            sentence = memory_sentence(error, "make the network, the picture or a number smaller")
        elif not isinstance(error, CourseError):
            sentence, nearest = f"Unexpected {error_line(error)}", {}
        self.error, self.exception = sentence, error
        self._nearest = dict(nearest) if set(nearest) <= set(self.controls) else {}
        lines = sentence.splitlines()
        if self._nearest:  # the button says it
            lines = [line for line in lines if not line.startswith("Nearest setting")]
        self._error.value = html.escape("\n".join(lines))
        if self._nearest:
            change = ", ".join(f"{name} = {value}" for name, value in self._nearest.items())
            self._nearest_button.description = f"Nearest that works: {change}"
        self._nearest_button.layout.display = None if self._nearest else "none"
        self._message.layout.display = None
        self._picture.add_class("course-stale")  # it is the last picture that worked
        self._code.value = self._summary.value = ""

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Return the live widget, and for pages without a kernel the picture and its summary."""
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        bundle = bundle[0] if isinstance(bundle, tuple) else bundle
        text = self.error or self.describe_unmeasured(self.result)
        bundle["text/plain"] = f"{self.title}: {text}"
        if self._picture.value:
            bundle["image/png"] = base64.b64encode(self._picture.value).decode()
        return bundle


def _with_class(widget: widgets.DOMWidget, name: str) -> widgets.DOMWidget:
    widget.add_class(name)
    return widget


def int_slider(
    description: str, value: int, low: int, high: int, step: int = 1
) -> widgets.IntSlider:
    """Return a slider for whole numbers from `low` to `high`, in the style of the course."""
    traits = {"value": value, "min": low, "max": high, "step": step}
    return _labelled(widgets.IntSlider, description, **traits)


def float_slider(
    description: str, value: float, low: float, high: float, step: float, readout: str = ".2f"
) -> widgets.FloatSlider:
    """Return a slider for real numbers from `low` to `high`, in the style of the course."""
    traits = {"value": value, "min": low, "max": high, "step": step, "readout_format": readout}
    return _labelled(widgets.FloatSlider, description, **traits)


def choice_slider(
    description: str, options: Sequence[tuple[str, Any]], value: Any
) -> widgets.SelectionSlider:
    """Return a slider over a few values, given as (label, value)."""
    return _labelled(widgets.SelectionSlider, description, options=options, value=value)


def choice(description: str, options: Any, value: Any = None) -> widgets.Dropdown:
    """Return a drop-down list in the style of the course; without `value`, the first is chosen."""
    chosen = {} if value is None else {"value": value}
    return _labelled(widgets.Dropdown, description, options=options, **chosen)


def toggle(description: str, value: bool) -> widgets.Checkbox:
    """Return a checkbox in the style of the course."""
    return _labelled(widgets.Checkbox, description, value=value, indent=True)


def _labelled(kind: type[widgets.Widget], description: str, **traits: Any) -> Any:
    style = {"description_width": LABEL_WIDTH}
    return kind(description=description, style=style, **traits)
