from __future__ import annotations

import math

import pytest
import torch

from course_utils import plots
from course_utils.training import History, RangeTest, descend

WALKS = {str(rate): descend(torch.optim.SGD, rate) for rate in (0.003, 0.08, 1e9)}


def test_each_path_has_its_map_and_its_losses():
    figure = plots.descents(WALKS)
    assert len(figure.axes) == 6 and "0.003, 0.08 and 1000000000.0" in figure.alt
    maps, losses = figure.axes[::2], figure.axes[1::2]
    assert [axes.get_title(loc="left") for axes in maps] == list(WALKS)
    for axes in maps:  # so that a step is perpendicular to the contour line
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        box = axes.get_window_extent()
        assert (right - left) / (high - low) == pytest.approx(box.width / box.height, rel=0.01)
    assert all(axes.get_yscale() == "log" and axes.get_ylim() == (1e-8, 1e3) for axes in losses)
    assert len(figure.to_png()) > 1000
    near = plots.descents({"a": WALKS["0.08"]}, reach=(2.0, 1.0), losses=(1e-3, 10.0))
    assert near.axes[0].get_xlim() == (-2, 2) and near.axes[1].get_ylim() == (1e-3, 10)


def test_a_path_ends_where_it_leaves_the_picture():
    walks = {"high": descend(torch.optim.SGD, 0.105), "right": WALKS["0.08"]}
    high, right = (axes.lines[0].get_ydata() for axes in plots.descents(walks).axes[::2])
    assert len(right) == 31
    assert abs(high[-1]) > 1.9 >= max(abs(high[:-1])), "the last step leads out of it"


def made(blow_up: float) -> RangeTest:
    return RangeTest([1e-3, 0.01, 0.1], [2.0, 1.0, 1e9], [2.0, 1.0, 3.0], 3e-3, blow_up, 0.01)


def test_range_tests_one_with_its_marks_or_several():
    one, calm = plots.range_tests(made(0.05)), plots.range_tests(made(math.inf))
    assert len(one.axes[0].texts) == 2 and len(calm.axes[0].texts) == 1
    several = plots.range_tests({"Adam": made(0.05), "AdamW": made(0.05)}, dashed="AdamW")
    assert several.alt.startswith("Range test of Adam and AdamW:") and not several.axes[0].texts
    assert all(len(figure.to_png()) > 1000 for figure in (one, several))
    axes = several.axes[0]
    named = [line for line in axes.lines if line.get_label()[0] != "_"]
    assert [line.get_linestyle() for line in named] == ["-", "--"]
    assert axes.xaxis.get_major_formatter()(1e-5) == "0.00001"


def test_losses_and_rates_mark_where_the_rate_was_lowered():
    losses, rates = [1.0, 0.9, math.nan, 0.8], [0.1, 0.1, 0.01, 0.01]
    history = History(epoch=[1, 2, 3, 4], validation_loss=losses, learning_rate=rates)
    figure = plots.losses_and_rates(history)
    loss, rate = figure.axes
    assert loss.get_yscale() == "linear" and rate.get_yscale() == "log"
    for axes in (loss, rate):
        assert [list(line.get_xdata()) for line in axes.lines[1:]] == [[2.5, 2.5]]
    assert rate.lines[0].get_drawstyle() == "steps-mid"
    assert len(figure.to_png()) > 1000 and figure.alt
