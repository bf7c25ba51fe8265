"""Show what a network sees in a picture, before and after a change: as bars, and in words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from course_utils.metrics import ClassProbability
from course_utils.plots import ACCENT, ACCENT_2, canvas

MOST = 5
"""Classes that are shown, at most."""

Seen = Sequence[ClassProbability]
"""The most probable classes, the most probable first; () if they are not known."""

_HEAD, _LINE, _FOOT = 37, 18, 14  # heights: heading and "before", a class, the space below
_START, _LONGEST = 176, 100  # left end and length of a bar
_QUIET = 36


def most_probable(scores: Tensor, classes: Sequence[str]) -> tuple[ClassProbability, ...]:
    """Return the most probable classes for the scores (logits) of one picture, (classes,).

    It is () if the names of the classes are not known, or the scores are not finite.
    """
    if not classes or not scores.isfinite().all():
        return ()
    values, found = torch.softmax(scores, 0).topk(min(MOST, len(scores)))
    pairs = zip(values.tolist(), found.tolist(), strict=True)
    return tuple(ClassProbability(classes[k], value, k) for value, k in pairs)


def verdict(before: Seen, after: Seen, changed: bool, measured: bool = True) -> str:
    """Return what the network sees: "still Egyptian cat, 37 → 37 %".

    Args:
        changed: whether anything was changed between `before` and `after`.
        measured: whether to say the percentages, which differ a little between machines.
    """
    if not changed:
        return _first(before, measured)
    if before and after and before[0].index == after[0].index:
        was, now = (percent(one[0].probability) for one in (before, after))
        shares = f", {was.removesuffix(' %')} → {now}" if measured else ""
        return f"still {before[0].name}{shares}"
    return f"was {_first(before, measured)}, now {_first(after, measured)}"


def _first(seen: Seen, measured: bool) -> str:
    if not seen:
        return "nothing, because the scores are not finite"
    return f"{seen[0].name} {percent(seen[0].probability)}" if measured else seen[0].name


def percent(probability: float) -> str:
    """Return a probability in percent: 37 %, < 1 %, > 99 %."""
    if 0 < probability < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 <= probability < 1 else f"{100 * probability:.0f} %"


def seen_height(classes: Sequence[str]) -> int:
    """Return the height of the bars in pixels; 0 without names of classes."""
    return _HEAD + _LINE * min(MOST, len(classes)) + _FOOT if classes else 0


def seen_places(
    before: Seen, after: Seen, left: int, top: int, width: int
) -> list[tuple[ClassProbability, tuple[int, int, int, int]]]:
    """Return each class that `draw_seen` draws, with its left, top, width and height."""
    columns = (before, left), (after, left + width // 2)
    return [
        (one, (x, top + _HEAD + _LINE * k - 1, width // 2 - 8, _LINE))
        for seen, x in columns
        for k, one in enumerate(seen)
    ]


def draw_seen(
    sheet: canvas.Canvas,
    before: Seen,
    after: Seen,
    words: str,
    left: int,
    top: int,
    width: int,
    hint: str = "",
) -> None:
    """Draw the classes before and after side by side, with their probabilities as bars.

    A class that was not there before is bold. The `hint` is behind the word "before".
    """
    text = fitting(f"what it sees: {words}", width, 12, bold=True)
    sheet.text(text, left, top, 12, bold=True)
    known = {one.index for one in before}
    columns = (
        (f"before{hint}", before, left, ACCENT_2),
        ("after", after, left + width // 2, ACCENT),
    )
    for title, seen, x, ink in columns:
        sheet.text(title, x, top + 19, 11, ink=_QUIET)
        for k, one in enumerate(seen):
            y, new = top + _HEAD + _LINE * k, one.index not in known
            sheet.text(fitting(one.name, _START - 8, 11, new), x, y, 11, bold=new)
            length = max(1, round(_LONGEST * one.probability))
            sheet.fill(x + _START, y + 2, length, 10, ink)
            sheet.text(percent(one.probability), x + _START + length + 5, y, 11)


def fitting(text: str, width: int, size: int, bold: bool = False) -> str:
    """Return the text, its end cut off if it is wider than `width` pixels."""
    if canvas.text_width(text, size, bold) <= width:
        return text
    while text and canvas.text_width(text + "…", size, bold) > width:
        text = text[:-1]
    return text + "…"
