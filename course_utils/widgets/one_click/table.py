"""The one-click lab in words and numbers: a heading, a table before and after, and its notes."""

from __future__ import annotations

import math
from typing import Any

from course_utils.conv import simple_settings
from course_utils.core import power_of_ten
from course_utils.widgets.one_click.bench import Bench
from course_utils.widgets.one_click.look import Look, brief_pictures, no_accuracy

ROWS = (
    *("layer", "its output", "its receptive field", "parameters", "multiply-adds"),
    *("accuracy at once", "accuracy, trained briefly", "function"),
)
"""What the table is about, row by row."""

_USUAL = {"stride": 1, "dilation": 1, "groups": 1, "padding_mode": "zeros"}
_SHORT = {"padding": "pad", "dilation": "dil.", "padding_mode": ""}


def heading(look: Look) -> str:
    """The edit in a few words: "SimpleCNN: conv1, out_channels 16 → 24"."""
    network = type(look.before.model).__name__
    if look.report is None:
        return f"{network}: {look.layer} as it is"
    return f"{network}: {look.layer}, {', '.join(changes_in_words(look))}"


def changes_in_words(look: Look) -> list[str]:
    """The changes that were asked for: "out_channels 16 → 24"."""
    own = simple_settings(look.before.convs[look.layer])
    changes = look.report.changes if look.report else {}
    return [f"{name} {_short(own[name])} → {_short(value)}" for name, value in changes.items()]


def followers(look: Look) -> str:
    """Which other layers changed: "1 BatchNorm2d, 2 Conv2d"; "" if none did."""
    kinds: dict[str, int] = {}
    for change in look.report.layers if look.report else ():
        if change.name != look.layer:
            kinds[change.kind] = kinds.get(change.kind, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())


def table(look: Look) -> list[tuple[str, str, str, str]]:
    """A row for each of `ROWS`: what, before, after, and how they differ."""
    before, after, layer = look.before, look.after, look.layer
    cells = [
        (*(_layer(bench, layer) for bench in (before, after)), ""),
        (
            *(f"{len(maps)} × {_by(maps.shape[1:])}" for maps in look.maps),
            _times(*(maps.numel() for maps in look.maps)),
        ),
        (*(_field(bench, layer) for bench in (before, after)), ""),
        _counts(before.parameters, after.parameters),
        _counts(before.multiply_adds, after.multiply_adds),
        *(_shares(*pair) for pair in (look.accuracies, look.trained)),
        ("", _function(look), ""),
    ]
    return [(name, *row) for name, row in zip(ROWS, cells, strict=True)]


def notes(look: Look) -> list[str]:
    """One or two lines below the table."""
    reason = no_accuracy(look.before)
    if reason:
        lines = [f"No accuracy: {reason[0].lower()}{reason[1:]}"]
    else:
        pictures = brief_pictures(look.first or look.before)
        lines = [
            f"At once: of {look.count} held-out pictures. Trained briefly: a copy, by one pass over"
            f" {pictures:,} training pictures; of {len(look.before.held_out)} held-out ones."
        ]
    if (first := look.first) is not None:
        start = f"The edits began with {first.parameters:,} parameters, "
        start += f"{first.multiply_adds:,} multiply-adds"
        share = None if reason else first.accuracy(look.count)
        lines.append(start + ("." if share is None else f" and {share:.1%} at once."))
    return lines


def summary(look: Look, *, measured: bool = True) -> str:
    """The whole in one line; without what is `measured`, it is the same on every machine."""
    network = type(look.before.model).__name__
    if look.report is None:
        block = look.before.block(look.layer)
        size = f" × {_by(block.size)}" if block.size else ""
        text = f"{network}, {look.layer} as it is: {block.channels}{size} numbers,"
        text += f" {look.before.parameters:,} parameters in all"
        share = look.accuracies[0] if measured else None
        if share is not None:
            text += f", {share:.1%} of {look.count} held-out pictures right"
        return f"{text}. Move a slider."
    also = followers(look)
    text = f"{heading(look)}; {'followed: ' + also if also else 'no other layer had to follow'}; "
    text += f"parameters {look.before.parameters:,} → {look.after.parameters:,}, "
    text += f"multiply-adds {look.before.multiply_adds:,} → {look.after.multiply_adds:,}; "
    text += "the same function" if look.same_function else "another function"
    if measured:
        text += f" (outputs differ by {scientific(look.difference)} of the largest)"
        for when, (a, b) in (("at once", look.accuracies), ("trained briefly", look.trained)):
            if a is not None and b is not None:
                text += f"; accuracy {when} {a:.1%} → {b:.1%}"
    return text + "."


def scientific(value: float) -> str:
    """0.25, or 3·10⁻⁷ in plain characters."""
    if not math.isfinite(value):
        return "not finite"
    if value == 0 or 0.005 <= value < 1000:
        return f"{value:.2g}"
    digit, power = f"{value:.0e}".split("e")
    return f"{digit}·{power_of_ten(int(power))}"


def _layer(bench: Bench, layer: str) -> str:
    """The settings of a layer in short, usual ones left out."""
    settings = simple_settings(bench.convs[layer])
    kernel = settings["kernel_size"]
    parts = [_by(kernel if isinstance(kernel, tuple) else (kernel, kernel))]
    for name in ("stride", "padding", "dilation", "groups", "padding_mode"):
        if settings[name] != _USUAL.get(name):
            parts.append(f"{_SHORT.get(name, name)} {_short(settings[name])}".strip())
    return ", ".join(parts + ["no bias"] * (not settings["bias"]))


def _field(bench: Bench, layer: str) -> str:
    field = bench.block(layer).receptive_field
    if field is not None:
        return str(field)
    # Behind an adapter that resizes, pixels stand no longer where a field could be counted.
    resized = any(block.adapted for block in bench.blocks)
    return "not known" if resized else "whole picture"


def _function(look: Look) -> str:
    if look.edited is None:
        return ""
    which = "the same" if look.same_function else "another"
    return f"{which}: max |Δ| / max |y| = {scientific(look.difference)}"


def _counts(before: int, after: int) -> tuple[str, str, str]:
    return f"{before:,}", f"{after:,}", _times(before, after)


def _times(before: int, after: int) -> str:
    return "same" if before == after else f"× {after / max(before, 1):.2f}"


def _shares(before: float | None, after: float | None) -> tuple[str, str, str]:
    """Two accuracies, and how many percentage points lie between them."""
    texts = ["–" if share is None else f"{share:.1%}" for share in (before, after)]
    if before is None or after is None:
        return *texts, ""
    points = 100 * (after - before)
    return *texts, f"{points:+.1f} points".replace("-", "−") if points else "same"


def _by(size: tuple[int, ...]) -> str:
    return "×".join(map(str, size))


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _by(value) if isinstance(value, tuple) else str(value)
