"""The experiment with equal budgets."""

from __future__ import annotations

import torch

from course_utils.conv import layer_table
from course_utils.experiments import compare_budgets as module
from course_utils.experiments.results import load_results
from tests.toys import toy_data

IMAGE = torch.zeros(1, 1, 28, 28)


def budget(name):
    model = module.ENTRIES[name].build()
    rows = layer_table(model, IMAGE)
    return sum(row.parameters for row in rows), sum(row.multiply_adds or 0 for row in rows)


def test_the_budgets_are_equal_in_what_their_names_say():
    (parameters, work), few = budget("CNN"), budget("MLP, parameters of the CNN")
    assert 0.96 * parameters < few[0] <= parameters
    much = budget("MLP, multiply-adds of the CNN")
    assert 0.999 * work < much[1] <= work


def test_one_record_for_each_shift_of_each_training():
    data = toy_data(90)
    entries = {"one": module.ENTRIES["averaging CNN"]._replace(epochs=1)}
    entries["one"] = entries["one"]._replace(build=lambda: module.AveragingCNN(1, 3, (2, 2, 2)))
    runs = list(module.compare(data, entries, seeds=(0, 1)))
    assert [len(run) for run in runs] == [len(module.SHIFTS)] * 2
    assert {record["seed"] for run in runs for record in run} == {0, 1}
    assert all(0 <= record["accuracy"] <= 1 for run in runs for record in run)
    side = data.image_shape[-1]
    model = module.AveragingCNN(1, 3, (2, 2, 2)).eval()
    # A whole turn moves nothing.
    assert module.moved_accuracy(model, data, side) == module.moved_accuracy(model, data, 0)


def test_the_committed_file_is_of_this_experiment():
    frame = load_results(module.NAME).frame()
    runs = frame.groupby(["network", "epochs"])["seed"].nunique()
    wanted = {(name, entry.epochs): len(module.SEEDS) for name, entry in module.ENTRIES.items()}
    assert runs.to_dict() == wanted
    assert set(frame["shift"]) == set(module.SHIFTS)
