from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from course_utils.core import CourseError
from course_utils.plots import tradeoffs
from course_utils.plots.tradeoffs import front, places

POINTS = {
    "large": (8.0, (0.9, 0.88, 0.92)),
    "beaten": (9.0, (0.85, 0.8, 0.9)),
    "small": (1.0, (0.7, 0.68, 0.72)),
    "as cheap, worse": (1.0, (0.6, 0.5, 0.7)),
}


def test_the_front_has_the_points_that_none_beats():
    assert front(POINTS) == [(1.0, 0.7), (8.0, 0.9)]


def test_a_chart_for_each_cost_with_all_points_and_intervals():
    figure = tradeoffs({"ms": POINTS, "kB": POINTS}, kinds=dict.fromkeys(POINTS, "one"))
    assert [axes.get_xlabel() for axes in figure.axes] == ["ms", "kB"]
    dots = [line for line in figure.axes[1].lines if line.get_marker() == "o"]
    assert [float(dot.get_xdata()[0]) for dot in dots] == [8, 9, 1, 1]
    assert "ms and kB" in figure.alt and "beaten" in figure.alt
    assert len(figure.to_png()) > 5000


@pytest.mark.parametrize("charts", [{}, {"ms": {}}, {"ms": {"free": (0.0, (0.5, 0.4, 0.6))}}])
def test_nothing_to_draw(charts):
    with pytest.raises(CourseError, match=r"nothing to draw|not positive"):
        tradeoffs(charts)


@pytest.mark.parametrize("chosen", ["", "small"])
def test_where_the_points_are(chosen):
    figure = tradeoffs({"ms": POINTS, "kB": POINTS}, chosen=chosen)
    png = figure.to_png()
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    found = places(figure)
    assert [name for name, _, _ in found] == [*POINTS, *POINTS]
    blue = np.array([1, 115, 178])
    for name, x, y in found:
        dot = pixels[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2].astype(int)
        assert np.abs(dot - blue).max() < 40, name
    rings = [line for axes in figure.axes for line in axes.lines if line.get_mfc() == "none"]
    assert len(rings) == (2 if chosen else 0)


def test_numbers_of_near_points_do_not_lie_on_each_other():
    near = {f"{i}": (1 + 0.01 * i, (0.9 + 0.001 * (i % 3), 0.88, 0.92)) for i in range(5)}
    figure = tradeoffs({"ms": POINTS | near, "kB": near | POINTS})
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == 9
        for row, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[row + 1 :])
