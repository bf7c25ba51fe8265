from __future__ import annotations

import math

import pytest
import torch

from course_utils import plots
from course_utils.errors import CourseError
from course_utils.range_test import RangeTest
from course_utils.surface import descend

WALKS = {str(rate): descend(torch.optim.SGD, rate) for rate in (0.003, 0.08, 1e9)}


def test_paths_alone_and_with_losses():
    alone = plots.descents(WALKS)
    assert len(alone.axes) == 3 and "0.003, 0.08 and 1000000000.0" in alone.alt
    both = plots.descents(WALKS, {name: [2.0, math.nan, 1e30] for name in WALKS})
    assert len(both.axes) == 6
    assert both.alt.endswith("Below, the loss of a network by step for the same.")
    assert both.axes[3].get_ylim() == (0, 4)
    assert both.to_png() != alone.to_png()


@pytest.mark.parametrize(
    ("paths", "losses", "text"),
    [({}, None, "at least one path"), (WALKS, {"a": [1.0]}, "the same names")],
)
def test_what_cannot_be_drawn(paths, losses, text):
    with pytest.raises(CourseError, match=text):
        plots.descents(paths, losses)


def made(blow_up: float) -> RangeTest:
    rates = [1e-3, 1e-2, 1e-1]
    return RangeTest(rates, [2.0, 1.0, 1e9], [2.0, 1.0, 3.0], 3e-3, blow_up, 1e-2)


def test_range_tests_one_with_its_marks_or_several():
    one, calm = plots.range_tests(made(0.05)), plots.range_tests(made(math.inf))
    assert len(one.axes[0].texts) == 2 and len(calm.axes[0].texts) == 1
    several = plots.range_tests({"SGD": made(0.05), "Adam": made(math.inf)})
    assert several.alt.startswith("Range test of SGD and Adam:") and not several.axes[0].texts
    assert all(len(figure.to_png()) > 1000 for figure in (one, calm, several))
    with pytest.raises(CourseError, match="at least one range test"):
        plots.range_tests({})
