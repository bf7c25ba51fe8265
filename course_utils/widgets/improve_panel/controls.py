"""The controls of the improve panel, and buttons on the points of the picture."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from course_utils.widgets.improve_panel.picture import HEIGHT, WIDTH, Point, short
from course_utils.widgets.panel import choice, choice_slider, int_slider, toggle

if TYPE_CHECKING:
    from course_utils.search import Budget, Improvement, Tried

VARIED = {
    "out_channels": True,
    "kernel_size": True,
    "depth": True,
    "stride": False,
    "padding": False,
    "groups": False,
    "dilation": False,
    "training": True,
}
"""The settings that may vary -> whether they may at first."""

TRAINING = "training"
"""The only one of them that is not a setting of a layer."""

BEST = "best"
OWN = 0
"""Values of the controls `candidate` (the best one) and `epochs` (as many as in the search)."""

_EPOCHS = (*range(1, 11), *range(12, 31, 2), 35, 40, 45, 50, 55, 60)
_SIZE = 24  # pixels of a point's button

# A click on a point chooses its candidate in the list. Arrow keys go from point to point. Each
# choice replaces the buttons, so the button that had the keyboard focus gets it back.
_SCRIPT = """
const panel = this.closest('.course-panel'), points = this.previousElementSibling;
const all = [...points.children];
const back = all.find(point => point.dataset.number === panel.dataset.point);
if (back && document.activeElement === document.body) back.focus({preventScroll: true});
points.onclick = event => {
  const point = event.target.closest('button');
  if (!point) return;
  const list = panel.querySelector('.course-candidate select');
  list.selectedIndex = point.dataset.index;
  list.dispatchEvent(new Event('change', {bubbles: true}));
};
points.onkeydown = event => {
  const here = all.indexOf(document.activeElement);
  const goal = {ArrowRight: here + 1, ArrowUp: here + 1, ArrowLeft: here - 1, ArrowDown: here - 1,
                Home: 0, End: all.length - 1}[event.key];
  if (goal === undefined) return;
  event.preventDefault();
  if (all[goal]) { all[goal].focus({preventScroll: true}); all[goal].click(); }
};
points.addEventListener('focusin', event => panel.dataset.point = event.target.dataset.number);
points.addEventListener('focusout', event => {
  if (event.relatedTarget) delete panel.dataset.point;
});
"""
_RULES = f"""
.course-points {{ position: relative; aspect-ratio: {WIDTH} / {HEIGHT}; }}
.course-points button {{ position: absolute; width: {_SIZE}px; height: {_SIZE}px; padding: 0;
  margin: -{_SIZE // 2}px 0 0 -{_SIZE // 2}px; background: none; border: none; border-radius: 50%;
  cursor: pointer; pointer-events: auto; }}
.course-points button:hover {{ outline: 2px dashed #0173b2; }}
.course-points button:focus-visible {{ outline: 3px solid #0173b2; }}
.course-controls > .course-vary {{ grid-column: 1 / -1; }}
.course-tables .widget-html-content {{ display: flex; flex-wrap: wrap; gap: 4px 28px;
  align-items: flex-start; line-height: 1.45; overflow-x: auto; }}
.course-tables .widget-html-content > div {{ white-space: pre-line; }}
.course-panel .course-tables table {{ border-collapse: collapse; margin: 2px; font-size: 13px;
  color: inherit; }}
.course-panel .course-tables caption {{ text-align: left; font-weight: 600; padding: 2px 0;
  color: inherit; white-space: nowrap; }}
.course-panel .course-tables :is(th, td) {{ text-align: left; font-weight: normal;
  padding: 2px 12px 2px 0; background: none; white-space: nowrap; }}
.course-panel .course-tables thead th {{ border-bottom: 1px solid var(--jp-border-color1, #bbb);
  color: var(--jp-ui-font-color2, #666); }}
.course-panel .course-tables b {{ font-weight: 700; }}
"""


def build_controls(budget: Budget) -> dict[str, widgets.Widget]:
    """Return all controls; `budget` is the first value of its slider, in candidates or seconds."""
    if budget.trials is None:
        seconds = max(1, round(budget.seconds))
        slider = int_slider("budget (s)", seconds, min(10, seconds), max(300, seconds), 10)
    else:
        count = budget.trials
        slider = int_slider("candidates", count, min(3, count), max(60, count))
    epochs = [("its own", OWN), *((str(one), one) for one in _EPOCHS)]
    controls = {
        **{name: toggle(name, value) for name, value in VARIED.items()},
        "budget": slider,
        "seed": int_slider("seed", 0, 0, 9),
        "candidate": choice("candidate", [("the best", BEST)]),
        "epochs": choice_slider("epochs", epochs, OWN),
    }
    controls["candidate"].add_class("course-candidate")
    return controls


def varied(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings that may vary."""
    return [name for name in VARIED if settings[name]]


def offer(control: widgets.Dropdown, found: Improvement | None) -> None:
    """Put all candidates so far into the list; the choice stays if that candidate still exists."""
    options = [("the best", BEST)]
    if found is not None:
        options = [(f"the best: {found.best.number}", BEST)]
        options += [(_label(one), one.number) for one in (found.start, *found.tried)]
    if control.options == tuple(options):
        return
    chosen = control.value
    with control.hold_sync():
        control.options = tuple(options)
        if chosen in [value for _, value in options]:
            control.value = chosen


def _label(one: Tried) -> str:
    if one.accuracy is None:
        return f"{one.number}: no result"
    what = "as given, " if not one.number else ""
    return f"{one.number}: {what}{one.accuracy:.1%}, {short(one.multiply_adds)}"


def point_buttons(points: Sequence[Point], chosen: Tried | None) -> str:
    """Return HTML to lay over the picture: a button on each candidate, from left to right."""
    ringed = next((p.one.number for p in points if chosen and p.one.number == chosen.number), None)
    buttons = []
    for rank, point in enumerate(points):
        one = point.one
        pressed = one.number == ringed
        who = f"candidate {one.number}, round {one.round}" if one.number else "the network as given"
        name = html.escape(f"{who}: {one.accuracy:.1%}, {one.multiply_adds:,} multiply-adds")
        # The Tab key stops at one point only: the chosen one, else the first.
        stop = pressed or (ringed is None and rank == 0)
        buttons.append(
            f'<button type="button" tabindex="{0 if stop else -1}" title="{name}"'
            f' aria-label="{name}" aria-pressed="{str(pressed).lower()}"'
            f' data-index="{one.number + 1}" data-number="{one.number}"'
            f' style="left:{100 * point.x / WIDTH:.3f}%;top:{100 * point.y / HEIGHT:.3f}%">'
            "</button>"
        )
    script = html.escape(" ".join(_SCRIPT.split("\n")), quote=True)
    return (
        f'<div class="course-points" data-lm-suppress-shortcuts="true">{"".join(buttons)}</div>'
        f'<style onload="{script}">{_RULES}</style>'
    )
