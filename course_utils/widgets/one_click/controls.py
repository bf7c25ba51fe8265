"""The controls of the one-click lab, and buttons on the layers of the drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
from torch import nn

from course_utils.conv import CHANGEABLE, PADDING_MODES, simple_settings
from course_utils.widgets.control_values import option_values
from course_utils.widgets.one_click.edit_result import ALL_MAPS, FOLLOWS, NO_CLASS, SIDES
from course_utils.widgets.one_click.geometry import ONCE, WIDTH, ClickArea
from course_utils.widgets.one_click.words import short
from course_utils.widgets.overlay import Spot, overlay
from course_utils.widgets.panel import choice, choice_slider, int_slider, toggle

_OFFERED: dict[str, tuple[Any, ...]] = {
    "kernel_size": tuple(range(1, 12)),
    "stride": (1, 2, 3, 4),
    "padding": (FOLLOWS, "valid", 0, 1, 2, 3, 4, 5, "same"),
    "dilation": (1, 2, 3, 4),
}

_MOST_MAPS = 256  # in the list of maps
_WIDTHS = (0.25, 0.35, 0.5, 0.65, 0.75, 0.9, 1.0, 1.1, 1.25, 1.4, 1.5, 1.75, 2.0)

# A click on the picture chooses from one of these lists.
CLICKED = ("layer", "drawing", "map", "grad_cam")
_CLICK = (
    "const list = this.closest('.course-panel').querySelector('.course-{name} select');"
    " list.selectedIndex = {index}; list.dispatchEvent(new Event('change', {{bubbles: true}}));"
)


def build_controls(networks: Mapping[str, str]) -> dict[str, widgets.Widget]:
    """Return all controls, for networks by name -> label; `fit_to_layer` sets those of a layer."""
    controls = {
        "network": choice("network", [(label, name) for name, label in networks.items()]),
        "layer": choice("layer", [""]),
        "picture": int_slider("picture", 0, 0, 31),
        "out_channels": int_slider("out_channels", 1, 1, 64),
        **{
            name: choice_slider(name, _options(values), values[0])
            for name, values in _OFFERED.items()
        },
        "groups": choice_slider("groups", _options((1, 2)), 1),
        "bias": toggle("bias", True),
        "padding_mode": choice("padding_mode", PADDING_MODES),
        "width": choice_slider("width ×", [(f"{one:g}", one) for one in _WIDTHS], 1.0),
        "drawing": choice("drawing", [ONCE]),
        "map": choice("map", [("all maps", ALL_MAPS)]),
        "grad_cam": choice("Grad-CAM of", [("no class", NO_CLASS)]),
    }
    for name in CLICKED:
        controls[name].add_class(f"course-{name}")
    return controls


def fit_to_layer(controls: Mapping[str, widgets.Widget], conv: nn.Conv2d) -> None:
    """Set the controls to a layer's settings, and offer other values that may suit it."""
    own = simple_settings(conv)
    channels = controls["out_channels"]
    most = max(64, 2 * conv.out_channels)
    channels.max = max(most, channels.value)
    channels.value = conv.out_channels
    channels.max = most
    for name, values in _OFFERED.items():
        _offer(controls[name], values, own[name])
    divisors = [n for n in range(1, conv.in_channels + 1) if conv.in_channels % n == 0]
    # A slider needs two values; for the second one the panel explains why it is impossible.
    _offer(controls["groups"], divisors if len(divisors) > 1 else (1, 2), own["groups"])
    controls["padding"].value = FOLLOWS
    controls["bias"].value = own["bias"]
    controls["padding_mode"].value = own["padding_mode"]


def fit_to_classes(controls: Mapping[str, widgets.Widget], classes: Sequence[str]) -> None:
    """Offer the classes of a network; at first none is chosen."""
    numbered = [(name, number) for number, name in enumerate(classes)]
    controls["grad_cam"].options = [("no class", NO_CLASS), *numbered]


def fit_to_maps(controls: Mapping[str, widgets.Widget], before: int, after: int) -> None:
    """Offer the maps of a layer before and after the edit; the chosen one stays if it is there."""
    control = controls["map"]
    pairs = zip(SIDES, (before, after), strict=True)
    names = [f"{side} {k}" for side, count in pairs for k in range(min(count, _MOST_MAPS))]
    options = (("all maps", ALL_MAPS), *((name, name) for name in names))
    if control.options != options:
        chosen = control.value
        control.options = options
        control.value = chosen if chosen in names else ALL_MAPS


def make_room(controls: Mapping[str, widgets.Widget], wanted: Mapping[str, Any]) -> None:
    """Add these settings to the sliders, so that the button "Nearest that works" can set them."""
    for name, value in wanted.items():
        control = controls.get(name)
        if isinstance(control, widgets.SelectionSlider):
            values = [option[1] for option in control.options]
            if value not in values:
                chosen = control.value
                _offer(control, values, value)
                control.value = chosen


def wanted_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the layer from all settings."""
    return {name: settings[name] for name in CHANGEABLE}


def click_buttons(
    areas: Sequence[ClickArea], controls: Mapping[str, widgets.Dropdown], height: int
) -> str:
    """Return HTML to lay over the picture: a button on each area that sets a control."""
    spots = []
    for area in areas:
        box = area.left, area.top, area.width, area.height
        if not area.control:
            spots.append(Spot(area.label, "", False, *box))
        elif area.value in (values := option_values(controls[area.control])):
            script = _CLICK.format(name=area.control, index=values.index(area.value))
            pressed = controls[area.control].value == area.value
            spots.append(Spot(area.label, script, pressed, *box))
    return overlay(spots, WIDTH, height)


def _offer(control: widgets.SelectionSlider, values: Sequence[Any], own: Any) -> None:
    """Let a slider offer `values` and the layer's `own` value, and set it to that."""
    values = list(values)
    if own not in values:  # a number in ascending order; a pair of numbers comes last
        larger = (k for k, one in enumerate(values) if isinstance(one, int) and one > own)
        values.insert(next(larger, len(values)) if isinstance(own, int) else len(values), own)
    options = _options(values)
    if control.options != options:
        control.options = options
    control.value = own


def _options(values: Sequence[Any]) -> tuple[tuple[str, Any], ...]:
    """Return (label, value) for each value; a label must be short."""
    labels = ["follows" if one == FOLLOWS else short(one) for one in values]
    return tuple(zip(labels, values, strict=True))
