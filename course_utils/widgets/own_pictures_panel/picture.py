"""The picture and the words of the own-pictures panel: confusion, mistakes, and a new picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from course_utils.plots import ACCENT_2, canvas
from course_utils.widgets.own_pictures_panel.classified import Classified, Classifier
from course_utils.widgets.seen import fitting, percent

WIDTH, HEIGHT, _EDGE = 700, 508, 10
_MATRIX, _SIDE = (118, 74), 246  # left and top of the cells; side
_MISTAKES, _COLUMNS, _ROWS = (396, 66), 4, 3  # left and top; how many are shown
_THUMB, _PITCH = 62, (75, 94)  # side of a picture; to the next one
_NEW, _NEW_SIDE = 366, 112  # top of the lower part; side of the new picture
_BARS, _LONGEST, _MOST = (310, 396), 270, 5  # left and top; 100 %; classes
_QUIET, _LINE = 36, 96  # palette greys


def summary(result: Classified, measured: bool = True) -> str:
    """Return the result in a line; without `measured` it has no numbers of the network."""
    one = result.classifier
    count, classes = len(one.pictures), len(one.pictures.classes)
    head = f"{one.name}: {count:,} pictures of {classes} classes"
    if not measured:
        return f"{head}. New picture: {result.new_name}."
    name, share = next(iter(result.probabilities.items()))
    right = f"{one.correct:,} right, {share_of(one)}"
    return f"{head}, {right}. New picture, {result.new_name}: {name} {percent(share)}."


def share_of(one: Classifier) -> str:
    """Return the share of right answers with its interval: "78 % (95 % interval 66 to 87 %)"."""
    low, high = (f"{100 * end:.0f}" for end in one.interval)
    share = f"{100 * one.correct / len(one.pictures):.0f} %"
    return f"{share} (95 % interval {low} to {high} %)"


def draw(result: Classified) -> bytes:
    """Return the picture as a PNG, `WIDTH` pixels wide."""
    sheet, one = canvas.Canvas(WIDTH, HEIGHT), result.classifier
    words = f"{one.name}: {one.correct:,} of {len(one.pictures):,} right, {share_of(one)}"
    sheet.text(fitting(words, WIDTH - 2 * _EDGE, 14, True), _EDGE, 8, 14, bold=True)
    words = "Each picture was judged by a classifier that had not seen it."
    sheet.text(words, _EDGE, 28, 11, ink=_QUIET)
    _draw_matrix(sheet, one)
    _name_mistakes(sheet, one)
    _draw_bars(sheet, result)
    page = canvas.coloured(sheet.pixels)
    for number, place in enumerate(one.mistakes[: _COLUMNS * _ROWS]):
        page.paste(_small(one.pictures.images[place].numpy(), _THUMB), _corner(number))
    page.paste(_small(result.new.numpy(), _NEW_SIDE), (_EDGE, _NEW + 22))
    return canvas.to_png(page)


def _small(picture: np.ndarray, side: int) -> Image.Image:
    """Return a picture (3, size, size) for the page."""
    return Image.fromarray(picture.transpose(1, 2, 0)).resize(
        (side, side), Image.Resampling.BICUBIC
    )


def _corner(number: int) -> tuple[int, int]:
    row, column = divmod(number, _COLUMNS)
    return _MISTAKES[0] + column * _PITCH[0], _MISTAKES[1] + row * _PITCH[1]


def _draw_matrix(sheet: canvas.Canvas, one: Classifier) -> None:
    (left, top), names, counts = _MATRIX, one.pictures.classes, one.confusion.numpy()
    pitch = _SIDE / len(names)
    sheet.text("true class ↓", _EDGE, top - 26, 11, ink=_QUIET)
    sheet.text("answer →", left, top - 26, 11, ink=_QUIET)
    strength = np.sqrt(counts / counts.sum(1, keepdims=True))  # so that a few per cent are visible
    sign = np.where(np.eye(len(names), dtype=bool), -1.0, 1.0)
    grounds = canvas.signed_indices(sign * strength, 1.15)
    every = max(1, round(14 / pitch))
    for k in range(0, len(names), every):
        at = round((k + 0.5) * pitch)
        sheet.centred(f"{k}", left + at, top - 8, 11)
        sheet.text(fitting(f"{k}  {names[k]}", left - _EDGE - 4, 11), _EDGE, top + at - 7, 11)
    for (row, column), index in np.ndenumerate(grounds):
        x, y = round(left + column * pitch), round(top + row * pitch)
        width, height = round(left + (column + 1) * pitch) - x, round(top + (row + 1) * pitch) - y
        sheet.fill(x, y, width, height, _LINE)
        sheet.fill(x, y, width - 1, height - 1, int(index))
        if counts[row, column] and pitch >= 20:
            ink = canvas.ink_on(int(index))
            sheet.centred(f"{counts[row, column]}", x + width / 2, y + height / 2, 11, ink=ink)


def _name_mistakes(sheet: canvas.Canvas, one: Classifier) -> None:
    count, most, names = len(one.mistakes), _COLUMNS * _ROWS, one.pictures.classes
    title = f"{count:,} mistake{'s' * (count != 1)}" if count else "No mistake"
    sheet.text(title, _MISTAKES[0], 44, 12, bold=True)
    first = f"the first {most}: " if count > most else ""
    words = f"{first}true class → answer" if count else ""
    sheet.text(words, _MISTAKES[0] + canvas.text_width(title, 12, True) + 10, 45, 11, ink=_QUIET)
    for number, place in enumerate(one.mistakes[:most]):
        left, top = _corner(number)
        true, answer = (names[k] for k in (one.pictures.labels[place], one.answers[place]))
        for line, text in enumerate((true, f"→ {answer}")):
            sheet.text(fitting(text, _PITCH[0] - 4, 10), left, top + _THUMB + 2 + 13 * line, 10)


def _draw_bars(sheet: canvas.Canvas, result: Classified) -> None:
    words = fitting(f"New picture: {result.new_name}", WIDTH - 2 * _EDGE, 12, True)
    sheet.text(words, _EDGE, _NEW, 12, bold=True)
    left, top = _BARS
    start = _EDGE + _NEW_SIDE + 18
    for row, (name, share) in enumerate([*result.probabilities.items()][:_MOST]):
        y = top + 20 * row
        sheet.text(fitting(name, left - start - 8, 12, not row), start, y, 12, bold=not row)
        length = max(1, round(_LONGEST * share))
        sheet.fill(left, y + 2, length, 12, ACCENT_2)
        sheet.text(percent(share), left + length + 6, y, 12, bold=not row)
