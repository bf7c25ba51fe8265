from __future__ import annotations

import io
import math

import pytest
from PIL import Image

from course_utils.search import Tried
from course_utils.widgets.improve_panel import picture
from course_utils.widgets.improve_panel.picture import HEIGHT, WIDTH, ImproveView, Scale, draw


def tried(number: int, accuracy: float | None, cost: int | None = 10**6, round: int = 1) -> Tried:
    return Tried(number, round, 2, {}, accuracy, cost, at=2.0 * number)


START = tried(0, 0.1, round=0)
SOME = (tried(1, 0.8), tried(2, 0.85, 400_000, 2), tried(3, None, None), tried(4, 0.9, 10**7, 3))


def view(*ones: Tried, start: Tried = START, chosen: Tried | None = None) -> ImproveView:
    ordered = sorted((o for o in ones if o.accuracy is not None), key=lambda o: o.multiply_adds)
    return ImproveView(start, ones, tuple(ordered), chosen or start, 12)


@pytest.mark.parametrize("shown", [view(), view(*SOME), view(*SOME, chosen=SOME[2])])
def test_the_places_are_where_the_points_are_drawn(shown):
    axes, scale = picture._figure(shown).axes[0], Scale(shown)
    for place in scale.places(shown):
        x, y = axes.transData.transform((place.one.multiply_adds, place.one.accuracy))
        assert (place.x, place.y) == pytest.approx((x, HEIGHT - y), abs=0.01)
        assert 0 < place.x < WIDTH and 0 < place.y < HEIGHT


def test_a_network_that_has_learned_nothing_does_not_squeeze_the_others():
    places = {place.one.number: place.y for place in Scale(view(*SOME)).places(view(*SOME))}
    assert list(places) == [2, 0, 1, 4]
    assert places[0] > places[1] + 80, "it is drawn where it is: far below"
    assert places[1] > places[2] + 20 and places[2] > places[4] + 25


@pytest.mark.parametrize(
    "accuracies", [(0.7, 0.6, 0.9), (0.1, 0.1, 0.1, 0.55), (0.88, 0.9), (0.0, 1.0), (0.5, 0.5), ()]
)
def test_every_point_is_on_the_axis_and_round_numbers_beside_it(accuracies):
    shown = view(*(tried(n, accuracy) for n, accuracy in enumerate(accuracies, 1)))
    low, high = Scale(shown).accuracies
    assert all(low < one.accuracy < high or one.accuracy in (0, 1) for one in shown.points)
    for axes in picture._figure(shown).axes:
        assert axes.get_ylim() == pytest.approx((low, high))
    ticks = picture._accuracy_ticks(low, high)
    assert 2 <= len(ticks) <= 10 and all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(set(ticks)) and all(
        abs(1000 * t - round(1000 * t)) < 1e-6 for t in ticks
    )
    assert high - low < 0.5 or all(round(100 * tick) % 5 == 0 for tick in ticks)


def test_the_highest_so_far_counts_candidates_not_seconds():
    shown = view(*SOME)
    steps = picture._figure(shown).axes[1]
    assert steps.get_xlabel() == "candidate" and 12 < steps.get_xlim()[1] < 13
    assert list(steps.lines[0].get_xdata()) == [0, 1, 2, 4, 4]


@pytest.mark.parametrize(
    ("accuracy", "cost"), [(0.0, 0), (0.5, 1), (1.0, 10**12), (None, 1), (None, None)]
)
def test_the_picture_of_extremes(accuracy, cost):
    one = tried(1, accuracy, cost)
    drawn = Image.open(io.BytesIO(draw(view(one, chosen=one))))
    assert drawn.size == (WIDTH, HEIGHT)


def test_the_picture_shows_each_change():
    shown = [
        ImproveView(),
        *(view(*SOME[:count]) for count in (0, 1, 2, 4)),
        *(view(*SOME, chosen=one) for one in (SOME[0], SOME[3])),
    ]
    assert len({draw(one) for one in shown}) == len(shown)
    drawn = Image.open(io.BytesIO(draw(shown[4]))).convert("RGBA")
    assert drawn.getextrema()[3] == (255, 255), "it is opaque"
    lines = picture._figure(shown[4]).axes[0].lines
    marks = {line.get_marker() for line in lines if len(line.get_xdata())}
    assert {"X", "o", "s", "^"} <= marks, "the rounds differ in shape"


@pytest.mark.parametrize("low", [1.0, 7.3e3, 99_999.0, 3e6])
@pytest.mark.parametrize("factor", [3.0, 4.5, 30.0, 1e5])
def test_ticks_are_few_and_round(low, factor):
    ticks = picture._ticks(low, factor * low)
    assert 2 <= len(ticks) <= 7
    assert all(low <= tick <= factor * low for tick in ticks)
    assert all(float(f"{tick:.1e}") == pytest.approx(tick) for tick in ticks)


def test_large_numbers_in_a_few_letters():
    numbers = (950, 999_999, 1_031_744, 24_000, 3e9, 1e6)
    assert [picture.short(n) for n in numbers] == ["950", "1 M", "1.03 M", "24 k", "3 G", "1 M"]
    assert all(len(picture.short(math.pi * 10**k)) <= 6 for k in range(12))
