"""Gains of single techniques of the course."""

from __future__ import annotations

import pytest

from course_utils.core import CourseError
from course_utils.experiments import load_results, technique_gains
from course_utils.experiments.gains_summary import _by_seed
from course_utils.metrics import mean_interval


@pytest.fixture(scope="module")
def gains():
    return technique_gains().set_index("technique")


def test_each_row_has_an_interval_and_at_least_three_seeds(gains):
    assert gains.index.is_unique and list(gains.index) == sorted(gains.index, key=lambda n: n[:3])
    assert (gains.low < gains.gain).all() and (gains.gain < gains.high).all()
    assert gains.seeds.between(3, 5).all()
    assert gains.experiment.str.startswith("compare_").all()


def test_equal_seeds_are_compared(gains):
    taught = load_results("distillation").frame().query("setting == 'no labels'")
    mean = mean_interval(100 * (taught.distilled - taught.alone))
    row = gains.loc["4.3 distillation, few labels"]
    assert (row.gain, row.low, row.high) == pytest.approx((mean.middle, mean.low, mean.high))
    runs = load_results("transfer").frame().query("data == 'cifar10' and labels == 10")
    ways = runs.pivot(index="draw", columns="way", values="accuracy")
    mean = mean_interval(100 * (ways.frozen - ways.scratch))
    assert gains.loc["4.3 frozen Lite0, CIFAR-10", "low"] == pytest.approx(mean.low)


def test_a_network_with_one_record_is_compared_with_each_seed(gains):
    runs = load_results("quantization").frame()
    runs = runs.query("network == 'small_resnet' and comparison == 'int8'")
    small = runs.query("method == 'ONNX Runtime' and setting == 7").correct
    (whole,) = runs.query("method == 'PyTorch'").correct
    assert gains.loc["4.1 int8", "gain"] == pytest.approx((small.mean() - whole) / 20)


def test_first_weights_are_compared_at_one_learning_rate(gains):
    runs = load_results("initialisation").frame().query("learning_rate == 0.002")
    he, default = (runs.query(f"scheme == '{one}'").accuracy for one in ("he", "default"))
    assert len(he) == len(default) == gains.loc["2.3 He's first weights", "seeds"]
    assert gains.loc["2.3 He's first weights", "gain"] == pytest.approx(
        100 * (he.mean() - default.mean())
    )


def test_a_choice_with_several_values_for_a_seed_is_refused():
    runs = load_results("initialisation").frame()
    with pytest.raises(CourseError, match="choose further"):
        _by_seed(runs, {"scheme": "he"}, "accuracy", "seed")
