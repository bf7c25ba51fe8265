"""The texts of the one-click lab: heading, table, notes, summary, and Python code."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from course_utils.conv import ALL_LAYERS, simple_settings
from course_utils.core import power_of_ten, shape_text
from course_utils.widgets.one_click.brief_training import training_size
from course_utils.widgets.one_click.edit_result import SIDES, Edit, EditResult
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from course_utils.widgets.one_click.networks import NetworkChoice
from course_utils.widgets.seen import verdict

ROWS = (
    *("layer", "its output", "its receptive field", "parameters", "multiply-adds"),
    *("accuracy at once", "accuracy, trained briefly", "function"),
)
"""The names of the table's rows. Without labels, there are no rows for accuracies."""

_USUAL = {"stride": 1, "dilation": 1, "groups": 1, "padding_mode": "zeros"}
_SHORT = {"padding": "pad", "dilation": "dil.", "padding_mode": ""}


def heading(result: EditResult) -> str:
    """Return the edit in a few words: "SimpleCNN: conv1, out_channels 16 → 24"."""
    network = type(result.before.model).__name__
    if result.report is None:
        return f"{network}: {result.layer} unchanged"
    if result.report.name == ALL_LAYERS:
        return f"{network}: width × {result.report.changes['width_multiplier']:g}"
    own = simple_settings(result.before.convs[result.layer])
    changes = [f"{n} {short(own[n])} → {short(new)}" for n, new in result.report.changes.items()]
    return f"{network}: {result.layer}, {', '.join(changes)}"


def followed(result: EditResult) -> str:
    """Return the other layers that an edit changed: "followed: 1 BatchNorm2d, 2 Conv2d"."""
    kinds = Counter(one.kind for one in result.report.layers if one.name != result.report.name)
    also = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    if result.report.name == ALL_LAYERS:
        return f"changed: {also}" if also else "no layer can change like this"
    return f"followed: {also}" if also else "no other layer had to follow"


def table(result: EditResult) -> list[tuple[str, str, str, str]]:
    """Return a row for each of `ROWS`: name, before, after, difference."""
    before, after, layer = result.before, result.after, result.layer
    counts = zip(*((n.parameters, n.multiply_adds) for n in (before, after)), strict=True)
    which = "the same" if result.same_function else "another"
    function = f"{which}: max |Δ| / max |y| = {scientific(result.difference)}"
    cells = [
        (*(_layer(network, layer) for network in (before, after)), ""),
        (
            *(f"{len(maps)} × {shape_text(maps.shape[1:])}" for maps in result.maps),
            _times(*(maps.numel() for maps in result.maps)),
        ),
        (*(_field(network, layer) for network in (before, after)), ""),
        *((f"{a:,}", f"{b:,}", _times(a, b)) for a, b in counts),
        *(_accuracies(*pair) for pair in (result.accuracies, result.trained)),
        ("", function if result.edited else "", ""),
    ]
    rows = [(name, *row) for name, row in zip(ROWS, cells, strict=True)]
    return [row for row in rows if row[0] in row_names(before)]


def row_names(network: MeasuredNetwork) -> tuple[str, ...]:
    """Return the names of the rows that the table of a network has."""
    labelled = network.held_out.data is not None
    return tuple(name for name in ROWS if labelled or not name.startswith("accuracy"))


def what_it_sees(result: EditResult, *, measured: bool = True) -> str:
    """Return what the network sees in the picture: "still Egyptian cat, 37 → 37 %".

    It is "" if the names of the classes are not known. Without `measured` there are no percentages.
    """
    if not result.before.classes:
        return ""
    return verdict(*result.seen, result.edited is not None, measured)


def notes(result: EditResult) -> list[str]:
    """Return one or two lines for below the table."""
    reason, held_out = result.before.why_no_accuracy, result.before.held_out
    if held_out.data is None:
        credit = held_out.credit(result.index)
        lines = [f"Photograph: {credit}."] if credit else []
    elif reason:
        lines = [f"No accuracy: {reason[0].lower()}{reason[1:]}"]
    else:
        images = training_size(result.original or result.before)
        lines = [
            f"At once: on {result.count} held-out images. Trained briefly: a copy, for one epoch of"
            f" {images:,} training images; on {len(result.before.held_out)} held-out images."
        ]
    if (original := result.original) is not None:
        start = f"The edits began with {original.parameters:,} parameters, "
        start += f"{original.multiply_adds:,} multiply-adds"
        accuracy = "" if reason else f" and {original.accuracy(result.count):.1%} at once"
        lines.append(f"{start}{accuracy}.")
    return lines


def summary(result: EditResult, *, measured: bool = True) -> str:
    """Return the result in one line; without `measured` numbers it is the same on every machine."""
    network = type(result.before.model).__name__
    if result.report is None:
        block = result.before.block(result.layer)
        size = f" × {shape_text(block.size)}" if block.size else ""
        text = f"{network}, {result.layer} unchanged: {block.channels}{size} numbers,"
        text += f" {result.before.parameters:,} parameters in all"
        accuracy = result.accuracies[0] if measured else None
        if accuracy is not None:
            text += f", {accuracy:.1%} of {result.count} held-out images right"
        return f"{text}{_seen(result, ', ', measured)}.{_large(result)} Move a slider."
    text = f"{heading(result)}; {followed(result)}; "
    text += f"parameters {result.before.parameters:,} → {result.after.parameters:,}, "
    text += f"multiply-adds {result.before.multiply_adds:,} → {result.after.multiply_adds:,}; "
    text += "the same function" if result.same_function else "another function"
    if measured:
        text += f" (outputs differ by {scientific(result.difference)} of the largest)"
        for when, (a, b) in (("at once", result.accuracies), ("trained briefly", result.trained)):
            if a is not None and b is not None:
                text += f"; accuracy {when} {a:.1%} → {b:.1%}"
    return f"{text}{_seen(result, '; ', measured)}.{_large(result)}"


def _large(result: EditResult) -> str:
    """Return what is shown large, as a sentence."""
    if result.large_map:
        side, number = result.large_map
        return f" Shown large: map {number} {SIDES[side]}, and its kernel."
    if result.grad_cams:
        return f" Shown: what speaks for {result.before.classes[result.grad_cam]} (Grad-CAM)."
    return ""


def _seen(result: EditResult, start: str, measured: bool) -> str:
    """Return the verdict for the summary.

    A picture of labelled data is one of many, so without `measured` numbers it is left out.
    """
    text = what_it_sees(result, measured=measured)
    if not text or (not measured and result.before.held_out.data is not None):
        return ""
    return f"{start}picture {result.label!r}: {text}"


def scientific(value: float) -> str:
    """Return a number in plain characters: 0.25, or 3·10⁻⁷."""
    if not math.isfinite(value):
        return "not finite"
    if value == 0 or 0.005 <= value < 1000:
        return f"{value:.2g}"
    digit, power = f"{value:.0e}".split("e")
    return f"{digit}·{power_of_ten(int(power))}"


def _layer(network: MeasuredNetwork, layer: str) -> str:
    """Return the settings of a layer in short, without the usual ones."""
    settings = simple_settings(network.convs[layer])
    kernel = settings["kernel_size"]
    parts = [shape_text(kernel if isinstance(kernel, tuple) else (kernel, kernel))]
    for name in ("stride", "padding", "dilation", "groups", "padding_mode"):
        if settings[name] != _USUAL.get(name):
            parts.append(f"{_SHORT.get(name, name)} {short(settings[name])}".strip())
    return ", ".join(parts + ["no bias"] * (not settings["bias"]))


def _field(network: MeasuredNetwork, layer: str) -> str:
    field = network.block(layer).receptive_field
    if field is not None:
        return str(field)
    # After an adapter that resizes, the field cannot be counted in pixels of the input.
    resized = any(block.adapted for block in network.blocks)
    return "not known" if resized else "whole picture"


def _times(before: int, after: int) -> str:
    return "same" if before == after else f"× {after / max(before, 1):.2f}"


def _accuracies(before: float | None, after: float | None) -> tuple[str, str, str]:
    """Return two accuracies and their difference in percentage points."""
    texts = ["–" if accuracy is None else f"{accuracy:.1%}" for accuracy in (before, after)]
    if before is None or after is None:
        return *texts, ""
    points = 100 * (after - before)
    return *texts, f"{points:+.1f} points".replace("-", "−") if points else "same"


def python_code(choice: NetworkChoice, shape: tuple[int, int, int], edits: Sequence[Edit]) -> str:
    """Return Python code that makes an edited network; `shape` is the (C, H, W) of its images."""
    every = [edit.layer == ALL_LAYERS for edit in edits]
    used = ["edit_conv"] * (not all(every) or not edits) + ["scale_width"] * any(every)
    lines = ["import torch", "", f"from course_utils.conv import {', '.join(used)}", ""]
    if choice.imports:
        lines.insert(1 if choice.imports.startswith("import ") else 3, choice.imports)
    lines.append(choice.line or "# model: the network that you gave the lab")
    lines.append(f"example_input = torch.zeros{(1, *shape)}  # only its shape counts")
    for edit in edits:
        if edit.layer == ALL_LAYERS:
            ((_, multiplier),) = edit.changes
            lines.append(f"model = scale_width(model, {multiplier}, example_input=example_input)")
            continue
        changes = [f"{name}={_literal(value)}" for name, value in edit.changes]
        arguments = ["model", _literal(edit.layer), "example_input=example_input", *changes]
        lines.append(f"model = edit_conv({', '.join(arguments)})")
    return "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def short(value: Any) -> str:
    """Return a setting in short: yes, 3, 3×5, same."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return shape_text(value) if isinstance(value, tuple) else str(value)
