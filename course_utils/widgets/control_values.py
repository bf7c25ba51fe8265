"""Read and set the values of controls, as a reader would by hand."""

from __future__ import annotations

import math
import reprlib
from typing import Any

import ipywidgets as widgets
from traitlets import TraitError

from course_utils.core import CourseError

_MOST_CHOICES = 60  # that an error names


def set_value(name: str, control: widgets.Widget, value: Any) -> None:
    """Set a control; a slider gets longer if it is too short for the value."""
    try:
        if isinstance(control, widgets.FloatLogSlider) and value > 0:
            exponent = math.log(value, control.base)  # the slider's ends are exponents
            control.max, control.min = max(control.max, exponent), min(control.min, exponent)
        elif hasattr(control, "max") and isinstance(value, (int, float)):
            control.max, control.min = max(control.max, value), min(control.min, value)
        elif isinstance(control, widgets.SelectionSlider):
            _add_step(control, value)
        elif isinstance(control, widgets.SelectMultiple):
            value = tuple(value) if isinstance(value, (list, tuple, set)) else (value,)
        control.value = value
    except TraitError as error:
        known = list(map(repr, option_values(control)))
        if len(known) > _MOST_CHOICES:
            known[_MOST_CHOICES - 1 : -1] = ["…"]
        choices = ", ".join(known)
        reason = f"choose one of {choices}" if choices else str(error)
        given = " ".join(reprlib.repr(value).split())
        raise CourseError(f"The control {name!r} cannot be {given}: {reason}.") from error


def _add_step(control: widgets.SelectionSlider, value: Any) -> None:
    """Add a step for one more number to a slider over a few numbers, in its place.

    A slider over whole numbers gets whole numbers only; one with words in it gets them at its end.
    """
    known = option_values(control)
    fits = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    whole = not any(isinstance(one, float) for one in known)
    if value in known or not fits or (whole and not isinstance(value, int)):
        return
    steps = dict(zip(known, control._options_labels, strict=True))
    steps[value] = str(value) if isinstance(value, int) else f"{value:g}"
    if all(isinstance(one, (int, float)) for one in steps):
        steps = {one: steps[one] for one in sorted(steps)}
    control.options = [(label, one) for one, label in steps.items()]


def value_of(control: widgets.Widget) -> Any:
    """Return a control's value, without the rounding error of a page that counts in steps.

    The page computes 0.05 + 28 · 0.01, which is not exactly 0.33.
    """
    value = control.value
    return float(f"{value:.12g}") if isinstance(control, widgets.FloatSlider) else value


def option_values(control: widgets.Widget) -> list[Any]:
    """Return the values that a list or a slider over a few values offers."""
    options = getattr(control, "options", ())
    return [option[1] if isinstance(option, tuple) else option for option in options]
