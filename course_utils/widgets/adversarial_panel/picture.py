"""The pictures and the words of the panels of attacks."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from torch import Tensor

from course_utils.plots import figure as f
from course_utils.widgets.adversarial_panel.attacked import (
    CURVE,
    NAMES,
    Attacked,
    Look,
    Misled,
)
from course_utils.widgets.seen import percent

WIDTH = 700
_HEIGHT, _TALL = 470, 520
_COLOURS = {"noise": f.COLOURS[6], "fgsm": f.ORANGE, "pgd": f.VERMILION}
_MOST = 5  # classes


def describe(result: Attacked, measured: bool = True) -> str:
    """Return the result in a line; without `measured` it has no numbers of the network."""
    head = f"{result.network}, {NAMES[result.attack]} with ε = {result.level}/255"
    if result.attack == "pgd":
        head += f" in {result.steps} step{'s' * (result.steps > 1)}"
    if not measured:
        return f"{head}, on a picture of {result.classes[result.label]}."
    before, after = (
        _says(look, result.classes, measured) for look in (result.before, result.after)
    )
    text = f"{head}: {before} before, {after} after."
    if result.level in CURVE:
        accuracy = result.curves[result.attack][CURVE.index(result.level)]
        text += f" Accuracy on {result.counted} pictures: {percent(accuracy)}."
    return text


def describe_misled(result: Misled, measured: bool = True) -> str:
    """Return the result in a line; without `measured` it has no numbers of the network."""
    head = f"{result.photograph}, towards {result.target}, ε = {result.level}/255"
    head += f", {result.steps} step{'s' * (result.steps > 1)}"
    if not measured:
        return f"{head}."
    says = [f"{look.title} {_says(look, result.classes, True)}" for look in result.looks]
    end = "" if len(result.looks) > 2 else " Press Attack."
    return f"{head}: {', '.join(says)}.{end}"


def draw(result: Attacked) -> bytes:
    """Draw the picture before and after, the change, the probabilities and the accuracy."""
    figure = f.Figure(WIDTH, _HEIGHT)
    true = _short(result.classes[result.label])
    one, two, three, left, right = _five(figure, (1, 1.15), (1.25, 1))
    _show(
        one,
        result.before.picture,
        _title(f"before, true class {true}", result.before, result.classes),
    )
    _show_change(two, result.before, result.after, result.level)
    _show(three, result.after.picture, _title("after", result.after, result.classes))
    looks = {"before": result.before, "after": result.after}
    _draw_bars(left, looks, result.classes)
    _draw_curves(right, result)
    return figure.to_png(compress_level=1)


def draw_misled(result: Misled) -> bytes:
    """Draw the photograph before and after, the change, and the probabilities."""
    figure = f.Figure(WIDTH, _TALL)
    one, two, three, left, right = _five(figure, (1.15, 1), (1.5, 1))
    plain, *others = result.looks
    last = others[-1]
    _show(one, plain.picture, _title(plain.title, plain, result.classes))
    _show_change(two, plain, last, result.level)
    _show(three, last.picture, _title(last.title, last, result.classes))
    _draw_bars(left, {look.title: look for look in result.looks}, result.classes, result.watched)
    watched = result.classes[
        result.watched if result.watched is not None else plain.first(result.classes).index
    ]
    f.style(right, f"Probability of {_short(watched)}", xlabel="step", percent="y", whole="x")
    right.set(xlim=(0, result.steps), ylim=(0, 1.03))
    right.set_yticks((0, 0.5, 1))
    if result.path:
        right.plot(result.path, color=f.VERMILION, linewidth=2, marker="o", markersize=4)
    return figure.to_png(compress_level=1)


def _five(figure: f.Figure, heights: tuple, widths: tuple) -> list[Axes]:
    """Return three axes in a row, and two below."""
    top, below = figure.add_gridspec(2, 1, height_ratios=heights)
    rows = top.subgridspec(1, 3), below.subgridspec(1, 2, width_ratios=widths)
    return [figure.add_subplot(place) for row in rows for place in row]


def _says(look: Look, classes: Sequence[str], measured: bool) -> str:
    name, share, _ = look.first(classes)
    return f"{name} {percent(share)}" if measured else name


def _title(title: str, look: Look, classes: Sequence[str]) -> str:
    name, share, _ = look.first(classes)
    return f"{title}:\n{_short(name)} {percent(share)}"


def _short(name: str) -> str:
    return name if len(name) < 18 else f"{name[:16]}…"


def _show(axes: Axes, picture: Tensor, title: str) -> None:
    values = picture.permute(1, 2, 0).clamp(0, 1).numpy()
    grey = values.shape[2] == 1
    axes.imshow(values[..., 0] if grey else values, cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    axes.set_title(title, fontsize=f.TEXT, color=f.INK, pad=5)


def _show_change(axes: Axes, before: Look, after: Look, level: int) -> None:
    """Show the change so much stronger that the largest one goes from grey to black or white."""
    change = after.picture - before.picture
    if not level:
        _show(axes, change * 0 + 0.5, "change:\nnone")
        return
    factor = 127.5 / level
    _show(axes, 0.5 + factor * change, f"change,\nshown {factor:.0f} times stronger")


def _draw_bars(
    axes: Axes, looks: dict[str, Look], classes: Sequence[str], watched: int | None = None
) -> None:
    """Draw the probabilities of the largest classes, a bar for each look."""
    first: list[int] = [] if watched is None else [watched]
    for look in looks.values():
        first += look.shares.topk(min(3, len(classes))).indices.tolist()
    shown = list(dict.fromkeys(first))
    shown = sorted(shown, key=lambda k: -max(look.shares[k].item() for look in looks.values()))
    shown = shown[:_MOST]
    if watched is not None and watched not in shown:
        shown[-1] = watched
    colours = dict(zip(looks, (f.BLUE, f.COLOURS[6], f.VERMILION), strict=False))
    if len(looks) == 2 and "after" in looks:
        colours["after"] = f.VERMILION
    thick = 0.8 / len(looks)
    f.style(axes, "Probability", percent="x", grid="x")
    f.name_rows(axes, [_short(classes[k]) for k in shown])
    for row, (name, look) in enumerate(looks.items()):
        at = [k + (row - (len(looks) - 1) / 2) * thick for k in range(len(shown))]
        values = [look.shares[k].item() for k in shown]
        axes.barh(at, values, color=colours[name], height=0.9 * thick, label=name)
    axes.set_xlim(0, 1)
    axes.set_xticks((0, 0.5, 1))
    look = {"frameon": False, "fontsize": f.SMALL, "labelcolor": f.INK, "handlelength": 1.2}
    axes.legend(loc="lower right", **look)


def _draw_curves(axes: Axes, result: Attacked) -> None:
    f.style(axes, f"Accuracy on {result.counted} pictures", xlabel="255 · ε", percent="y")
    for name, curve in result.curves.items():
        chosen = name == result.attack
        look = {"linewidth": 2.4 if chosen else 1.4, "alpha": 1 if chosen else 0.75}
        axes.plot(CURVE, curve, color=_COLOURS[name], marker="o", markersize=3.5, **look)
    axes.axvline(result.level, color=f.MUTED, linewidth=1, linestyle=":")
    axes.set(xlim=(0, CURVE[-1]), ylim=(0, 1.03))
    axes.set_xticks(CURVE)
    axes.set_yticks((0, 0.5, 1))
    ends = [(curve[-1], NAMES[name], _COLOURS[name]) for name, curve in result.curves.items()]
    axes.get_figure().draw_without_rendering()
    f.label_ends(axes, ends)
