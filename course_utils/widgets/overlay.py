"""Buttons laid over a panel's picture, so that a click on what is drawn chooses it."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import NamedTuple

_RULES = """
.course-drawn { position: relative; }
.course-drawn button { position: absolute; padding: 0; margin: 0; background: none; border: none;
  border-radius: 3px; cursor: pointer; pointer-events: auto; }
.course-drawn span { position: absolute; pointer-events: auto; }
.course-drawn button:hover { outline: 2px dashed #0173b2; outline-offset: -3px; }
"""


class Spot(NamedTuple):
    """A button on a picture, in the picture's pixels; without a script, only its label."""

    label: str
    script: str  # JavaScript, run by a click
    pressed: bool
    left: int
    top: int
    width: int
    height: int


def overlay(spots: Iterable[Spot], width: int, height: int) -> str:
    """Return HTML to lay over a picture of `width` × `height` pixels.

    The Tab key skips the buttons: each one sets a control, which keyboards and screen readers use.
    """
    buttons = []
    for spot in spots:
        label, click = (html.escape(text, quote=True) for text in (spot.label, spot.script))
        left, wide = (100 * value / width for value in (spot.left, spot.width))
        top, tall = (100 * value / height for value in (spot.top, spot.height))
        style = f"left:{left:.3f}%;top:{top:.3f}%;width:{wide:.3f}%;height:{tall:.3f}%"
        if not spot.script:
            buttons.append(f'<span title="{label}" style="{style}"></span>')
            continue
        buttons.append(
            f'<button type="button" tabindex="-1" title="{label}" aria-label="{label}"'
            f' aria-pressed="{str(spot.pressed).lower()}" onclick="{click}" style="{style}">'
            "</button>"
        )
    drawn = f'<div class="course-drawn" style="aspect-ratio: {width} / {height}">'
    return f"<style>{_RULES}</style>{drawn}{''.join(buttons)}</div>"
