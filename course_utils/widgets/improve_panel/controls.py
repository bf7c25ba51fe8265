"""The improve panel's controls, and its drawn points as buttons."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
from torch import nn

from course_utils.widgets.improve_panel.picture import HEIGHT, WIDTH, Point, short
from course_utils.widgets.panel import choice, choice_slider, int_slider, toggle

if TYPE_CHECKING:
    from course_utils.data import Dataset
    from course_utils.search import Budget, Improvement, SearchSpace, Tried

VARIED = {
    "out_channels": True,
    "kernel_size": True,
    "depth": True,
    "stride": False,
    "groups": False,
    "dilation": False,
    "training": True,
}
"""What may vary, and whether it does at first."""

TRAINING = "training"
"""The one of them that is none of a layer's settings."""

BEST = "best"
OWN = 0
"""Values of the controls `candidate` and `epochs`: whichever is the best, as many as it had."""

_EPOCHS = (*range(1, 11), *range(12, 31, 2), 35, 40, 45, 50, 55, 60)
_SIZE = 24  # pixels of a point's button

# A click on a point is a choice in the list of candidates. Arrows go from point to point; as each
# choice draws the buttons anew, the one that had the keyboard's attention gets it back.
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
.course-panel .course-overlay {{ position: absolute; left: 3px; top: 3px; margin: 0;
  width: min({WIDTH}px, calc(100% - 6px)); height: auto; pointer-events: none; overflow: visible; }}
.course-overlay .widget-html-content {{ overflow: visible; }}
.course-overlay .course-points {{ position: relative; aspect-ratio: {WIDTH} / {HEIGHT}; }}
.course-points button {{ position: absolute; width: {_SIZE}px; height: {_SIZE}px; padding: 0;
  margin: -{_SIZE // 2}px 0 0 -{_SIZE // 2}px; background: none; border: none; border-radius: 50%;
  cursor: pointer; pointer-events: auto; }}
.course-points button:hover {{ outline: 2px dashed #0173b2; }}
.course-points button:focus-visible {{ outline: 3px solid #0173b2; }}
.course-panel .course-lines .widget-html-content {{ white-space: pre; overflow-x: auto; }}
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
    """All controls; the candidates are still to come.

    Args:
        budget: whether its slider counts seconds or trials, and where it stands.
    """
    if budget.trials is None:
        seconds = max(1, round(budget.seconds))
        slider = int_slider("budget (s)", seconds, min(10, seconds), max(300, seconds), 10)
    else:
        slider = int_slider(
            "budget (trials)", budget.trials, min(3, budget.trials), max(200, budget.trials)
        )
    controls = {
        **{name: toggle(name, value) for name, value in VARIED.items()},
        "budget": slider,
        "seed": int_slider("seed", 0, 0, 9),
        "candidate": choice("candidate", [("the best", BEST)]),
        "epochs": choice_slider(
            "epochs", [("its own", OWN), *((str(one), one) for one in _EPOCHS)], OWN
        ),
    }
    controls["candidate"].add_class("course-candidate")
    return controls


def varied(settings: Mapping[str, Any]) -> list[str]:
    """The names of what may vary by these values of the controls."""
    return [name for name in VARIED if settings[name]]


def space_of(varied: Sequence[str], model: nn.Module, data: Dataset) -> SearchSpace:
    """The space in which these may vary.

    Raises:
        CourseError: there is nothing to vary in this network.
    """
    from course_utils.search import space_for

    layers = [name for name in varied if name != TRAINING]
    example = torch.zeros(2, *data.image_shape)
    return space_for(model, example, layers, training=TRAINING in varied)


def offer(control: widgets.Dropdown, found: Improvement | None) -> None:
    """Let the list hold all candidates so far; what is chosen stays so if it is still there."""
    options: list[tuple[str, Any]] = [("the best", BEST)]
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


def chosen_of(found: Improvement | None, value: int | str) -> Tried | None:
    """The candidate that a value of the list stands for; None before a search."""
    if found is None:
        return None
    ones = {one.number: one for one in (found.start, *found.tried)}
    return ones.get(value, found.best)


def code_toggle(code: widgets.HTML) -> widgets.ToggleButton:
    """A button that shows and hides the lines of code; they are hidden at first."""
    code.add_class("course-lines")
    made = widgets.ToggleButton(icon="code", layout={"width": "auto"})

    def show(_change: Any = None) -> None:
        code.layout.display = None if made.value else "none"
        made.description = "Hide the code" if made.value else "Show me the code"

    made.observe(show, names="value")
    show()
    return made


def _label(one: Tried) -> str:
    if one.accuracy is None:
        return f"{one.number}: no result"
    what = "as given, " if not one.number else ""
    return f"{one.number}: {what}{one.accuracy:.1%}, {short(one.multiply_adds)}"


def point_buttons(points: Sequence[Point], chosen: Tried | None) -> str:
    """HTML that lies over the picture: a button on each candidate.

    Args:
        points: where they are, from left to right.
        chosen: the one that is ringed.
    """
    ringed = next((p.one.number for p in points if chosen and p.one.number == chosen.number), None)
    buttons = []
    for rank, point in enumerate(points):
        one = point.one
        pressed = one.number == ringed
        name = html.escape(_name(one), quote=True)
        # Of all points the Tab key stops at one: the chosen one, else the first.
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


def _name(one: Tried) -> str:
    """What a point is called."""
    who = f"candidate {one.number}, round {one.round}" if one.number else "the network as given"
    return f"{who}: {one.accuracy:.1%}, {one.multiply_adds:,} multiply-adds"
