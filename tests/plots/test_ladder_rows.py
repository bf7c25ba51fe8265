"""The ladder as a picture."""

from __future__ import annotations

import pytest

from course_utils.core import CourseError
from course_utils.metrics import Estimate
from course_utils.plots import ladder_rows

RUNGS = {
    "article": (Estimate(0.85, 0.84, 0.86, 0.95), [0.845, 0.855]),
    "second block": (Estimate(0.9, 0.89, 0.91, 0.95), [0.9]),
}


def test_each_rung_has_a_row_with_its_marks():
    figure = ladder_rows(RUNGS, {"article": [0.8]}, chosen="second block")
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["1  article", "2  second block"]
    low, high = axes.get_xlim()
    assert low < 80 < 91 < high and axes.get_ylim()[0] > axes.get_ylim()[1]
    marks = {tuple(line.get_xdata()): line.get_marker() for line in axes.lines}
    assert marks[84.5, 85.5] == "o" and marks[80.0,] == "D" and marks[90.0,] == "o"
    assert [t.get_text() for t in axes.texts] == ["85.0", "90.0"]
    assert "article and second block" in figure.alt and "of your own of article" in figure.alt
    assert "your own" not in ladder_rows(RUNGS).alt
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == len(set(labels)) == 4


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(({},), {}), ((RUNGS, {"top": [0.9]}), {}), ((RUNGS,), {"chosen": "top"})],
)
def test_what_is_not_there_cannot_be_drawn(arguments, named):
    with pytest.raises(CourseError, match="no rung"):
        ladder_rows(*arguments, **named)
