"""The picture and the words of the detection panel."""

from __future__ import annotations

from PIL import Image, ImageDraw

from course_utils.plots import CLASS_COLOURS, canvas
from course_utils.widgets.detection_panel.view import DetectionView

WIDTH, HEIGHT = 700, 424
_PHOTO = (10, 34, 480, 360)  # left, top, width and height at most
_PLOT = (540, 52, 138)  # left, top and side of the axes
_INK, _QUIET, _RULE = "#222222", "#555555", "#d0d0d0"


def draw(view: DetectionView) -> bytes:
    """Return the picture as a PNG, `WIDTH` pixels wide."""
    page = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(page)
    _write(pen, (10, 8), f"photograph {view.picture}", 14, bold=True)
    scale = _draw_photograph(page, view)
    for kind in ("wrong", "right"):  # right boxes lie above
        for box, label, right in zip(
            view.found.boxes.tolist(),
            view.found.labels.tolist(),
            view.matches.right.tolist(),
            strict=True,
        ):
            if right == (kind == "right"):
                _rectangle(pen, [scale * side for side in box], _colour(label), dashed=not right)
    truth = view.data.test
    missed = ~view.matches.seen
    for box, label in zip(
        truth.boxes[view.picture][missed].tolist(),
        truth.labels[view.picture][missed].tolist(),
        strict=True,
    ):
        _cross(pen, scale * (box[0] + box[2]) / 2, scale * (box[1] + box[3]) / 2, _colour(label))
    _draw_legend(pen, view)
    _draw_curves(pen, view)
    return canvas.to_png(page)


def words(view: DetectionView, measured: bool = True) -> str:
    """Return the result in a line; without `measured` it has no numbers of boxes."""
    start = f"photograph {view.picture}, {view.settings}"
    if not measured:
        return f"{start}."
    seen, right = view.matches.seen, view.matches.right
    text = (
        f"{start}: {int(seen.sum())} of {len(seen)} objects found, "
        f"{int((~right).sum())} boxes are wrong."
    )
    if view.all is not None:
        recall, precision = view.all
        text += (
            f" All {len(view.data.test)} test photographs: precision {precision:.0%}, "
            f"recall {recall:.0%}."
        )
    return text


def _draw_photograph(page: Image.Image, view: DetectionView) -> float:
    """Draw the photograph; return the number of page pixels for each of its own."""
    left, top, width, height = _PHOTO
    picture = view.data.test.images[view.picture]
    rgb = picture.expand(3, -1, -1).permute(1, 2, 0).numpy()
    scale = min(width / rgb.shape[1], height / rgb.shape[0])
    size = round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)
    page.paste(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC), (left, top))
    return scale


def _rectangle(pen: ImageDraw.ImageDraw, box: list[float], colour: str, dashed: bool) -> None:
    x, y = _PHOTO[:2]
    left, top, right, bottom = x + box[0], y + box[1], x + box[2], y + box[3]
    if not dashed:
        pen.rectangle((left, top, right, bottom), outline=colour, width=2)
        return
    for line in (top, bottom):
        _dashes(pen, left, right, lambda a, b, line=line: ((a, line), (b, line)), colour)
    for line in (left, right):
        _dashes(pen, top, bottom, lambda a, b, line=line: ((line, a), (line, b)), colour)


def _dashes(pen, start: float, end: float, ends, colour: str) -> None:
    at = start
    while at < end:
        pen.line(ends(at, min(at + 4, end)), fill=colour, width=2)
        at += 8


def _cross(pen: ImageDraw.ImageDraw, x: float, y: float, colour: str) -> None:
    x, y = x + _PHOTO[0], y + _PHOTO[1]
    for width, ink in ((6, "white"), (3, colour)):
        pen.line((x - 6, y - 6, x + 6, y + 6), fill=ink, width=width)
        pen.line((x - 6, y + 6, x + 6, y - 6), fill=ink, width=width)


def _draw_legend(pen: ImageDraw.ImageDraw, view: DetectionView) -> None:
    y = HEIGHT - 20
    x = 10
    marks = [("right", "solid"), ("wrong", "dashed"), ("missed", "cross")]
    for text, kind in marks:
        if kind == "cross":
            pen.line((x + 3, y, x + 13, y + 10), fill=_INK, width=3)
            pen.line((x + 3, y + 10, x + 13, y), fill=_INK, width=3)
        elif kind == "solid":
            pen.rectangle((x, y, x + 16, y + 11), outline=_INK, width=2)
        else:
            _dashes(pen, x, x + 17, lambda a, b: ((a, y), (b, y)), _INK)
            _dashes(pen, x, x + 17, lambda a, b: ((a, y + 11), (b, y + 11)), _INK)
            pen.line((x, y, x, y + 3), fill=_INK, width=2)
            pen.line((x + 16, y + 8, x + 16, y + 11), fill=_INK, width=2)
        _write(pen, (x + 22, y - 3), text, 12)
        x += 34 + canvas.text_width(text, 12)
    x += 14
    for label, name in enumerate(view.data.classes):
        pen.rectangle((x, y + 2, x + 12, y + 9), fill=_colour(label))
        _write(pen, (x + 18, y - 3), name, 12)
        x += 32 + canvas.text_width(name, 12)


def _draw_curves(pen: ImageDraw.ImageDraw, view: DetectionView) -> None:
    """Draw precision over recall of each class, and the point of the chosen score."""
    left, top, side = _PLOT
    _write(pen, (left - 34, 8), f"all {len(view.data.test)} test photographs", 13, bold=True)
    _write(pen, (left - 34, 28), "precision", 11, _QUIET)
    for share in (0, 0.5, 1):
        y, x = top + side * (1 - share), left + side * share
        pen.line((left, y, left + side, y), fill=_RULE)
        text = f"{share:.0%}"
        _write(pen, (left - 6 - canvas.text_width(text, 11), y - 7), text, 11, _QUIET)
        _write(pen, (x - canvas.text_width(text, 11) / 2, top + side + 5), text, 11, _QUIET)
    _write(pen, (left + side / 2 - 16, top + side + 20), "recall", 11, _QUIET)
    place = lambda point: (left + side * point[0], top + side * (1 - point[1]))  # noqa: E731
    for label, curve in enumerate(view.curves.values()):
        points = list(map(place, zip(curve.recall, curve.precision, strict=True)))
        if len(points) > 1:
            pen.line(points, fill=_colour(label), width=2)
    for label, curve in enumerate(view.curves.values()):
        x, y = place(curve.at)
        pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill="white")
        pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill=_colour(label))
    y = top + side + 46
    if view.all is None:
        _write(pen, (left - 34, y), "measured after the training", 12, _QUIET)
        return
    _write(pen, (left - 34, y), "dots: the chosen score", 11, _QUIET)
    for line, (text, value) in enumerate(zip(("recall", "precision"), view.all, strict=True)):
        _write(pen, (left - 34, y + 24 + 20 * line), f"{text} {value:.0%}", 13, bold=True)
    for line, (name, curve) in enumerate(view.curves.items()):
        text = f"{name}: {curve.at[0]:.0%} found"
        _write(pen, (left - 34, y + 70 + 18 * line), text, 12)


def _write(pen, place: tuple[float, float], text: str, size: int, ink: str = _INK, bold=False):
    pen.text(place, text, fill=ink, font=canvas.font(size, bold))


def _colour(label: int) -> str:
    return CLASS_COLOURS[label % len(CLASS_COLOURS)]
