from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from course_utils import plots


def test_spreads_shows_every_number_and_the_median():
    values = {"a": [0.1, 0.2, 0.4], "b": [0.3, float("nan")]}
    figure = plots.spreads(values, {"a": (0.1, 0.4)}, percent=True, title="Accuracy")
    assert figure.alt == "Single values of accuracy, with their medians, and intervals: a and b."
    interval, dots, median, *_ = figure.axes[0].lines
    assert list(interval.get_xdata()) == [0.1, 0.4]
    assert list(dots.get_xdata()) == [0.1, 0.2, 0.4] and list(median.get_xdata()) == [0.2]
    assert plots.spreads({"all": [math.nan]}).to_png()


def test_spreads_shows_equal_numbers_side_by_side():
    figure = plots.spreads({"a": [0.5, 0.25, 0.5, 0.5], "b": [0.5]})
    first, second = (axes.get_ydata() for axes in figure.axes[0].lines[::2])
    heights = dict(zip([0, 2, 3], first[[0, 2, 3]], strict=True))
    assert first[1] == 0 and second[0] == 1, "a number that stands alone stays on its row"
    assert sorted(heights.values()) == pytest.approx([-0.28, 0, 0.28])
    assert list(figure.axes[0].lines[0].get_xdata()) == [0.5, 0.25, 0.5, 0.5]


def test_spreads_of_differences_have_a_line_at_zero():
    with_line, without = (plots.spreads({"a": [1.0, 2.0]}, zero=zero) for zero in (True, False))
    assert with_line.axes[0].lines[-1].get_xdata() == [0, 0]
    assert with_line.axes[0].get_xlim()[0] <= 0 < without.axes[0].get_xlim()[0]


def test_distributions_are_shares_of_each_set():
    figure = plots.distributions(
        {"few": torch.tensor([-0.9, 0.0, 0.0, 0.9]), "many": np.zeros((10, 10))},
        limits=(-1, 1),
        xlabel="weight",
    )
    heights = [max(c.get_paths()[0].vertices[:, 1]) for c in figure.axes[0].collections]
    assert heights == pytest.approx([0.5, 1.0])
    assert figure.alt == "Histograms of weight: few and many."
