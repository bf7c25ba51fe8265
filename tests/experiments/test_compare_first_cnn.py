"""The experiment with the first CNN in five ways."""

from __future__ import annotations

import pytest

from course_utils.experiments import compare_first_cnn as module
from course_utils.experiments.results import load_results
from tests.toys import toy_data


@pytest.mark.parametrize("rate", [10.0, 1.0, 0.1])
def test_the_schedule_has_the_same_peak_as_the_learning_rate(rate):
    recipe = module.recipe_at(rate)
    peak = recipe["scheduler"].keywords["peak"]
    assert peak == recipe["learning_rate"] == pytest.approx(0.005 * rate)


def test_frozen_kernels_stay_and_others_move():
    variations = {name: module.VARIATIONS[name] for name in ("all layers trained", "conv1 frozen")}
    runs = list(module.compare(toy_data(90), variations, seeds=(0, 1), epochs=2))
    assert [[r["epoch"] for r in run] for run in runs] == [[1, 2]] * 4
    for record in (record for run in runs for record in run):
        assert 0 <= record["validation_accuracy"] <= 1 and 0 <= record["test_accuracy"] <= 1
        still = record["kernels_alike"] > 1 - 1e-6
        assert still == (record["variation"] == "conv1 frozen")


def test_a_linear_classifier_is_the_dense_layer_alone():
    data = toy_data(90)
    variations = {"linear classifier": module.VARIATIONS["linear classifier"]}
    [run] = module.compare(data, variations, seeds=(0,), epochs=1)
    assert run[0]["variation"] == "linear classifier" and run[0]["kernels_alike"] is None
    [layer] = [m for m in module.linear_classifier(data, 0).modules() if hasattr(m, "weight")]
    assert layer.out_features == len(data.classes)


def test_the_committed_file_is_of_this_experiment():
    frame = load_results(module.NAME).frame()
    runs = frame.groupby(["variation", "seed"])["epoch"].apply(list)
    wanted = {(name, seed) for name in module.VARIATIONS for seed in module.SEEDS}
    assert set(runs.index) == wanted
    assert all(epochs == list(range(1, 9)) for epochs in runs)
