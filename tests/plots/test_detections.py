from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from course_utils import plots
from course_utils.core import CourseError
from tests.plots.samples import pixels


def drawn(**options) -> np.ndarray:
    picture = torch.full((1, 3, 40, 60), 250, dtype=torch.uint8)
    boxes, labels = [torch.tensor([[10.0, 10, 50, 30]])], [torch.tensor([1])]
    figure = plots.detections(picture, boxes, labels, ("a", "b"), **options)
    return pixels(figure.to_png())


def coloured(picture: np.ndarray, label: int) -> np.ndarray:
    colour = np.array(to_rgb(plots.CLASS_COLOURS[label])) * 255
    return (np.abs(picture[:-40] - colour) < 40).all(-1)


def test_a_box_has_the_colour_of_its_class_and_stands_in_its_place():
    picture = drawn()
    assert not coloured(picture, 0).any()
    rows, columns = np.nonzero(coloured(picture, 1))
    # The picture is scaled to 320 pixels of height, so eightfold.
    edges = (columns.min(), columns.max(), rows.min(), rows.max())
    assert edges == pytest.approx((90, 410, 90, 250), abs=3)


def test_wrong_boxes_are_dashed():
    whole, dashed = (
        coloured(drawn(right=[torch.tensor([value])]), 1).sum() for value in (True, False)
    )
    assert 0.3 < dashed / whole < 0.8


def test_what_does_not_fit_is_refused():
    none = torch.zeros(0, 3, 9, 9, dtype=torch.uint8)
    with pytest.raises(CourseError, match="nothing to draw"):
        plots.detections(none, [], [], ("a",))
    with pytest.raises(CourseError, match="1 pictures need as many titles, not 2"):
        drawn(titles=["one", "two"])
