"""The one-click lab's controls, fitted to the chosen layer, and its drawn layers as buttons."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
from torch import nn

from course_utils.conv import CHANGEABLE, PADDING_MODES, simple_settings
from course_utils.widgets.one_click.drawing import WIDTH, Place
from course_utils.widgets.one_click.look import FOLLOWS
from course_utils.widgets.panel import choice, choice_slider, int_slider, toggle

_OFFERED: dict[str, tuple[Any, ...]] = {
    "kernel_size": tuple(range(1, 12)),
    "stride": (1, 2, 3, 4),
    "padding": (FOLLOWS, "valid", 0, 1, 2, 3, 4, 5, "same"),
    "dilation": (1, 2, 3, 4),
}

# A click on a drawn layer is a choice in the list of layers.
_CLICK = (
    "const list = this.closest('.course-panel').querySelector('.course-layer select');"
    " list.selectedIndex = {index}; list.dispatchEvent(new Event('change', {{bubbles: true}}));"
)
_RULES = f"""
.course-panel .course-layers {{ position: absolute; left: 3px; top: 3px; margin: 0;
  width: min({WIDTH}px, calc(100% - 6px)); height: auto; pointer-events: none; overflow: visible; }}
.course-layers .widget-html-content {{ overflow: visible; }}
.course-layers .course-drawn {{ position: relative; }}
.course-layers button {{ position: absolute; padding: 0; margin: 0; background: none; border: none;
  border-radius: 3px; cursor: pointer; pointer-events: auto; }}
.course-layers button:hover {{ outline: 2px dashed #0173b2; outline-offset: -3px; }}
.course-panel .course-lines .widget-html-content {{ white-space: pre; overflow-x: auto; }}
"""


def build_controls(networks: Mapping[str, str]) -> dict[str, widgets.Widget]:
    """All controls; those of the layer have no meaning before `fit_to_layer`.

    Args:
        networks: name -> what the list says.
    """
    controls = {
        "network": choice("network", [(label, name) for name, label in networks.items()]),
        "layer": choice("layer", [""]),
        "picture": int_slider("picture", 0, 0, 31),
        "out_channels": int_slider("out_channels", 1, 1, 64),
        **{name: _over(name, values, values[0]) for name, values in _OFFERED.items()},
        "groups": _over("groups", (1, 2), 1),
        "bias": toggle("bias", True),
        "padding_mode": choice("padding_mode", PADDING_MODES),
    }
    controls["layer"].add_class("course-layer")
    return controls


def fit_to_layer(controls: Mapping[str, widgets.Widget], conv: nn.Conv2d) -> None:
    """Let the controls show a layer's settings, and offer what may suit it."""
    own = simple_settings(conv)
    channels = controls["out_channels"]
    most = max(64, 2 * conv.out_channels)
    channels.max = max(most, channels.value)
    channels.value = conv.out_channels
    channels.max = most
    for name, values in _OFFERED.items():
        _offer(controls[name], values, own[name])
    divisors = [n for n in range(1, conv.in_channels + 1) if conv.in_channels % n == 0]
    # A slider needs two ends; the other one then answers why it cannot be.
    _offer(controls["groups"], divisors if len(divisors) > 1 else (1, 2), own["groups"])
    controls["padding"].value = FOLLOWS
    controls["bias"].value = own["bias"]
    controls["padding_mode"].value = own["padding_mode"]


def make_room(controls: Mapping[str, widgets.Widget], wanted: Mapping[str, Any]) -> None:
    """Offer these settings, too, so that the button "Nearest that works" can set them."""
    for name, value in wanted.items():
        control = controls.get(name)
        if isinstance(control, widgets.SelectionSlider):
            values = [option[1] for option in control.options]
            if value not in values:
                chosen = control.value
                _offer(control, values, value)
                control.value = chosen


def wanted_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The layer's part of all settings."""
    return {name: settings[name] for name in CHANGEABLE}


def layer_buttons(places: Sequence[Place], chosen: str, height: int) -> str:
    """HTML that lies over the picture: a button on each drawn layer.

    They are for the mouse. Keyboards and screen readers have the list of layers, so the buttons do
    not stand in the way of the Tab key.
    """
    buttons = []
    for index, place in enumerate(places):
        name = html.escape(place.layer, quote=True)
        left, width = (100 * value / WIDTH for value in (place.left, place.width))
        top, tall = (100 * value / height for value in (place.top, place.height))
        click = html.escape(_CLICK.format(index=index), quote=True)
        buttons.append(
            f'<button type="button" tabindex="-1" title="{name}" aria-label="layer {name}"'
            f' aria-pressed="{str(place.layer == chosen).lower()}" onclick="{click}"'
            f' style="left:{left:.3f}%;top:{top:.3f}%;width:{width:.3f}%;height:{tall:.3f}%">'
            "</button>"
        )
    drawn = f'<div class="course-drawn" style="aspect-ratio: {WIDTH} / {height}">'
    return f"<style>{_RULES}</style>{drawn}{''.join(buttons)}</div>"


def _over(description: str, values: Sequence[Any], value: Any) -> widgets.SelectionSlider:
    """A slider over a few values."""
    return choice_slider(description, [(_label(one), one) for one in values], value)


def _offer(control: widgets.SelectionSlider, values: Sequence[Any], own: Any) -> None:
    """Let a slider run over `values` and the layer's own one, and set it to that."""
    values = list(values)
    if own not in values:
        values.insert(_place_for(own, values), own)
    options = tuple((_label(one), one) for one in values)
    if control.options != options:
        control.options = options
    control.value = own


def _place_for(value: Any, values: Sequence[Any]) -> int:
    """Where a number stands in order; a pair for height and width stands at the end."""
    if isinstance(value, int):
        for place, one in enumerate(values):
            if isinstance(one, int) and one > value:
                return place
    return len(values)


def _label(value: Any) -> str:
    if value == FOLLOWS:
        return "follows"  # there is no room for more
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)
