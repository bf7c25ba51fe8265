from __future__ import annotations

import re

from course_utils.search import Budget, Tried
from course_utils.search.space import LAYER_SETTINGS
from course_utils.widgets.improve_panel import controls
from course_utils.widgets.improve_panel.controls import build_controls, point_buttons
from course_utils.widgets.improve_panel.picture import HEIGHT, WIDTH, Point


def points(*numbers: int) -> list[Point]:
    ones = (Tried(n, min(n, 1), 2, {}, 0.8, 1000 * (n + 1)) for n in numbers)
    return [Point(one, WIDTH / 2, HEIGHT / 4) for one in ones]


def test_all_settings_may_vary_and_the_budget_is_in_candidates_or_in_seconds():
    assert set(controls.VARIED) == {*LAYER_SETTINGS, controls.TRAINING}
    for budget, name, value in (
        ("45 s", "budget (s)", 45),
        (12, "candidates", 12),
        ("12 trials, 45 s", "candidates", 12),
    ):
        slider = build_controls(Budget.of(budget))["budget"]
        assert (slider.description, slider.value) == (name, value)
    for budget in ("900 s", 900):
        assert build_controls(Budget.of(budget))["budget"].max >= 900


def test_buttons_stand_on_the_points_and_have_names():
    shown = points(3, 0)
    text = point_buttons(shown, shown[0].one)
    assert text.count('style="left:50.000%;top:25.000%"') == 2
    assert 'aria-label="candidate 3, round 1: 80.0%, 4,000 multiply-adds"' in text
    assert 'aria-label="the network as given: 80.0%, 1,000 multiply-adds"' in text
    assert re.findall(r'data-index="(\d+)" data-number="(\d+)"', text) == [("4", "3"), ("1", "0")]


def test_the_tab_key_stops_once():
    shown = points(3, 0, 5)
    for chosen, stop in ((shown[2].one, 5), (None, 3), (points(9)[0].one, 3)):
        text = point_buttons(shown, chosen)
        buttons = re.findall(r"<button.*?>", text)
        stops = [b for b in buttons if 'tabindex="0"' in b]
        assert len(stops) == 1 and f'data-number="{stop}"' in stops[0]
    assert "<button" not in point_buttons([], None)
