from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from course_utils import plots
from course_utils.core import CourseError
from tests.plots.samples import texts_in


def test_bars_end_where_their_numbers_say():
    figure = plots.bars({"a": 2.0, "b": 1.0}, {"b": (0.5, 3.0)}, form="{:.1f}", highlight="b")
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [2.0, 1.0]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    assert axes.get_xlim() == (0.0, 3.0), "the interval fits in"
    assert texts_in(figure, 0) == ["2.0", "1.0"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first one is on top"
    odd = plots.bars({"a": math.nan, "b": -math.inf, "c": -1.0})
    assert texts_in(odd, 0) == ["not a number", "−∞", "−1"]


def test_heat_map_writes_numbers_that_can_be_read():
    axes = plots.heatmap([[0, 10], [5, math.nan]], ["a", "b"]).axes[0]
    texts = {t.get_text(): t.get_color() for t in axes.texts}
    assert set(texts) == {"0", "10", "5"}
    assert texts["0"] != texts["10"], "dark on white, white on dark"


def test_log_scale_leaves_out_what_is_not_positive():
    axes = plots.lines({"a": ([1, 2, 3, 4], [1, 0, -1, 2])}, log="y").axes[0]
    assert np.isnan(axes.lines[0].get_ydata()).tolist() == [False, True, True, False]
    assert axes.get_ylim()[0] > 0.5


def test_lines_as_steps_dashed_and_named_where_asked():
    series = {"a": ([0, 1, 2], [1, 0.1, 0.01]), "b": ([0, 1, 2], [1, 0.1, 0.02])}
    plain = plots.lines(series, log="y").axes[0]
    axes = plots.lines(series, log="y", steps=True, dashed="b", names_at={"b": (1, 0.5)}).axes[0]
    assert {line.get_drawstyle() for line in plain.lines} == {"default"}
    assert {line.get_drawstyle() for line in axes.lines} == {"steps-post"}
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    assert {t.get_text(): t.xy for t in axes.texts}["b"] == (1, 0.5)
    assert {t.get_text(): t.xy for t in axes.texts}["a"][0] == 1, "in shares of the axes"


def test_marks_of_lines_are_vertical_lines_with_their_names():
    axes = plots.lines({"a": ([1, 2], [3, 4])}, marks={"proposal": 1.5}).axes[0]
    assert list(axes.lines[1].get_xdata()) == [1.5, 1.5]
    assert [text.get_text() for text in axes.texts] == ["proposal"]


def test_a_band_lies_around_its_line_and_has_its_colour():
    series = {"a": ([1, 2, 3], [1, 2, 1]), "b": ([1, 2, 3], [4, 4, 4])}
    axes = plots.lines(series, bands={"b": ([3, 3, 3], [5, 5.5, 5])}).axes[0]
    [band] = axes.collections
    ends = band.get_paths()[0].get_extents()
    assert (ends.ymin, ends.ymax) == (3, 5.5)
    assert band.get_facecolor()[0, :3] == pytest.approx(to_rgb(axes.lines[1].get_color()))
    for wrong in ({"c": ([1] * 3, [2] * 3)}, {"a": ([1, 2], [1, 2, 3])}):
        with pytest.raises(CourseError, match=r"'(c|a)'"):
            plots.lines(series, bands=wrong)


def test_log_axes_of_lines_have_plain_numbers():
    axes = plots.lines({"a": ([1, 2], [1e-5, 1e5])}, log="y").axes[0]
    write = axes.yaxis.get_major_formatter()
    numbers = [write(v) for v in (1e-6, 1e-5, 2e-3, 0.1, 1.0, 50.0, 1e5, 1e6)]
    assert numbers == ["10⁻⁶", "0.00001", "0.002", "0.1", "1", "50", "100,000", "10⁶"]
