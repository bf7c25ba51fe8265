from __future__ import annotations

import itertools

import pytest

from course_utils import plots
from course_utils.core import CourseError
from tests.plots.samples import INF, SAMPLES, history, run, spread, texts_in


def test_learning_curves_draws_what_is_there():
    figure = plots.learning_curves(history(4))
    loss, accuracy = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [
        history(4).train_loss,
        history(4).validation_loss,
    ]
    assert loss.lines[0].get_linestyle() == "-" != loss.lines[1].get_linestyle()
    assert len(accuracy.collections) == 1, "the gap is shaded"
    assert texts_in(figure, 1) == ["training", "validation"]
    assert "no epoch finished yet" in texts_in(plots.learning_curves(history(0)), 0)
    assert "from epoch 4 on" in texts_in(plots.learning_curves(history(9, first_bad=4)), 0)[0]


def test_learning_curves_mark_epochs():
    figure = plots.learning_curves(history(6), marks={"kept": 2, "stopped": 5})
    for axes in figure.axes:
        assert [line.get_xdata()[0] for line in axes.lines[2:]] == [2, 5]
    assert texts_in(figure, 0)[-2:] == ["kept", "stopped"]
    last = plots.learning_curves(history(6), marks={"stopped": 6}).axes[0]
    assert last.get_xlim()[1] > 6, "a mark at the last epoch is not on the edge"
    assert figure.alt.endswith("Marked: kept and stopped.")


def test_validation_may_lag_behind_training():
    late = history(4)
    del late.validation_loss[2:], late.validation_accuracy[2:]
    figure = plots.learning_curves(late)
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [4, 2]


def test_gaps_write_the_difference_in_points():
    figure = plots.gaps({"none": run(1.0, 0.82), "crop": run(0.8, 0.83)})
    assert texts_in(figure) == ["18", "−3"]
    assert figure.alt == "Training and validation accuracy of 2 runs: none and crop."


def test_gaps_leave_room_for_all_that_was_measured():
    low = plots.gaps({"guessing": run(0.13, 0.09)}).axes[0].get_xlim()[0]
    assert low <= 0.09
    assert plots.gaps({"good": run(0.95, 0.9)}).axes[0].get_xlim()[0] == 0.5


def test_gaps_of_a_live_picture_keep_its_size():
    sizes = {plots.gaps(runs, rows=5).bbox.size.tolist()[1] for runs in ({}, {"one": run(1, 0.5)})}
    assert len(sizes) == 1


def test_layer_statistics_marks_where_numbers_end():
    texts = texts_in(SAMPLES["layers, 0 and inf"](), 0)
    assert texts.count("∞") == 2 and texts.count("0") == 1
    assert {"zeros", "normal 1", "nan"} <= set(texts)
    figure = plots.layer_statistics(spread(forward=INF))
    forward, backward = (axes.texts[0] for axes in figure.axes)
    assert forward.get_position()[0] == 5, "first layer without a number, going forward"
    assert backward.get_position()[0] == 8, "first layer without a number, going backward"


def test_spreads_are_named_by_what_tells_them_apart():
    pair = [spread("he"), spread("he", batch_norm=True)]
    assert {"no BatchNorm", "BatchNorm"} <= set(texts_in(plots.layer_statistics(pair), 0))
    twins = [spread("he"), spread("he")]
    assert {"he", "he (2)"} <= set(texts_in(plots.layer_statistics(twins), 0))


def test_a_dashed_spread_has_no_dots():
    figure = plots.layer_statistics([spread("he"), spread("xavier")], dashed="xavier")
    for axes in figure.axes:
        looks = [(line.get_linestyle(), line.get_marker()) for line in axes.lines]
        assert looks == [("-", "o"), ("--", "None")]
    with pytest.raises(CourseError, match="no line called 'zeros'"):
        plots.layer_statistics(spread("he"), dashed="zeros")


def test_only_the_highlighted_spread_is_blue():
    names = ("he", "xavier", "zeros", "orthogonal")
    spreads = [spread(name, 0.9**k) for k, name in enumerate(names)]
    figure = plots.layer_statistics(spreads, highlight="he", limits=(1e-12, 1e12))
    for axes in figure.axes:
        assert axes.get_ylim() == pytest.approx((1e-12, 1e12))
        chosen, *others = axes.lines
        assert chosen.get_color() not in {line.get_color() for line in others}
        assert len({line.get_color() for line in others}) == 1
        assert chosen.get_zorder() > max(line.get_zorder() for line in others)
    labels = {text.get_text(): text for text in figure.axes[0].texts}
    assert set(labels) == set(names)
    heights = sorted(text.xy[1] for text in labels.values())
    assert heights[0] >= 0 and heights[-1] <= 1
    assert min(b - a for a, b in itertools.pairwise(heights)) > 0.04
