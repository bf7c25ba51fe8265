from __future__ import annotations

import numpy as np
import pytest

from course_utils import plots
from course_utils.core import CourseError
from course_utils.metrics import Estimate

CURVES = {
    name: ([3, 6, 9], [Estimate(m, m - 0.1, m + 0.1, 0.9) for m in (0.5, 0.6, best)])
    for name, best in (("grid", 0.6), ("random", 0.7), ("TPE", 0.8), ("GP", 0.8))
}


def test_each_search_has_its_chart_and_the_reference():
    figure = plots.best_so_far(CURVES, reference="random")
    visible = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") or axes.get_title() for axes in visible] == list(CURVES)
    assert [len(axes.lines) for axes in visible] == [2, 1, 2, 2]
    assert list(visible[2].lines[-1].get_ydata()) == [0.5, 0.6, 0.8]
    assert figure.get_supylabel() == "best validation\naccuracy so far"
    assert "in grey, random" in figure.alt and "TPE" in figure.alt
    assert figure.to_png()


def test_points_and_front_are_drawn():
    points = {"round 1": [(1e5, 0.8), (1e6, 0.85)], "round 2": [(1e6, 0.9)], "round 3": []}
    figure = plots.accuracy_and_cost(points, front=[(1e5, 0.8), (1e6, 0.9)])
    (axes,) = figure.axes
    drawn = [tuple(line.get_ydata()) for line in axes.lines]
    assert drawn == [(0.8, 0.85), (0.9,), (0.8, 0.9)]
    assert axes.get_xscale() == "log"
    (legend,) = figure.legends  # beside the points: inside it would hide some
    assert [text.get_text() for text in legend.get_texts()] == ["round 1", "round 2", "front"]
    assert "front has 2" in figure.alt


@pytest.mark.parametrize("apart", [False, True])
def test_marks_of_equal_cost_lie_apart_only_if_asked_for_and_never_leave_their_accuracy(apart):
    points = {"a": [(1e6, 0.8), (1e6, 0.8), (1e6, 0.9)], "b": [(1e6, 0.801), (5e6, 0.801)]}
    (axes,) = plots.accuracy_and_cost(points, apart=apart).axes
    assert [tuple(line.get_ydata()) for line in axes.lines] == [(0.8, 0.8, 0.9), (0.801, 0.801)]
    x = [cost for line in axes.lines for cost in line.get_xdata()]
    assert (x[0], x[2], x[4]) == (1e6, 1e6, 5e6), "nothing lies on these"
    assert len({x[0], x[1], x[3]}) == (3 if apart else 1)
    assert max(abs(cost / 1e6 - 1) for cost in x[:4]) < 0.05


def test_what_lies_below_the_floor_is_counted_and_left_out():
    points = {"round 1": [(1e5, 0.1), (1e6, 0.7)], "round 2": [(1e6, 0.69)]}
    figure = plots.accuracy_and_cost(points, floor=0.7)
    (axes,) = figure.axes
    assert [tuple(line.get_ydata()) for line in axes.lines] == [(0.7,)]
    assert [text.get_text() for text in axes.texts] == ["2 below 70%: not shown"]
    assert "2 below 70% are not shown" in figure.alt
    assert not plots.accuracy_and_cost(points).axes[0].texts


def test_a_map_shows_where_each_search_looked():
    ends, table = ([0.001, 0.01, 0.1], [4, 8]), [[0.5, 0.8, np.nan], [0.7, 0.9, 0.1]]
    paths = {"grid": [(0.001, 4), (0.1, 8)], "random": [(0.002, 7)], "none": []}
    figure = plots.search_maps(table, ends, paths, first=1, white="did not learn")
    maps = figure.axes[:3]
    assert [axes.get_title(loc="left") for axes in maps] == list(paths)
    drawn = [[tuple(some.get_offsets()[0]) for some in axes.collections[1:]] for axes in maps]
    assert drawn == [[(0.001, 4), (0.1, 8)], [(0.002, 7)], []]
    mesh = maps[0].collections[0]
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0.6, 0.9)
    corners = mesh.get_coordinates()
    assert corners[0, 1, 0] == pytest.approx(0.001 * 10**0.5), "in the middle on a log scale"
    assert corners[0, 0, 1] == pytest.approx(4 / 2**0.5)
    assert "grid (2), random (1) and none (0)" in figure.alt and "first 1" in figure.alt
    assert figure.axes[-1].get_ylabel() == "white: did not learn"
    assert "White: did not learn" in figure.alt
    assert figure.to_png() and plots.search_maps(table, ends, {"grid": []}).to_png()


@pytest.mark.parametrize(
    ("table", "paths"), [([[0.5, 0.6]], {"a": []}), ([[0.5], [0.6]], {"a": []}), ([[0.5]], {})]
)
def test_a_map_that_does_not_fit_its_axes_is_refused(table, paths):
    with pytest.raises(CourseError, match="The map has the shape"):
        plots.search_maps(table, ([0.1], [1]), paths)
