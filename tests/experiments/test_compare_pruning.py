"""The experiment with criteria for pruning."""

from __future__ import annotations

import pytest

from course_utils.core import CourseError
from course_utils.experiments import compare_pruning as module
from course_utils.experiments import load_results
from tests.compress.toy_networks import DATA, toy_resnet, widths_of


def test_every_method_is_measured_with_every_seed(monkeypatch):
    names = ("l1", "random")
    monkeypatch.setattr(module, "methods", lambda: {n: module.one_shot(n) for n in names})
    quick = {"batch_size": 60, "precision": "float32", "progress": False}
    monkeypatch.setattr(module, "fine_tuning", lambda epochs=1, seed=0: quick | {"epochs": 1})
    records = list(module.compare(toy_resnet((16, 16)), DATA, seeds=(3, 4)))
    assert [r["method"] for r in records] == ["whole", *names, module.GRADUAL] * 2
    assert [r["seed"] for r in records] == [3] * 4 + [4] * 4
    assert len({r["multiply_adds"] for r in records[1:4]}) == 1
    assert records[0]["speedup_1"] == 1 and records[0]["before"] is None
    assert all(0 <= r["accuracy"] <= 1 for r in records)


def test_only_the_times_are_measured_again():
    stored = [
        {"method": name, "seed": seed, "accuracy": 0.9, "speedup_1": 77.0, "speedup_64": 77.0}
        for seed in (3, 4)
        for name in ("l1", "whole")
    ]
    records = list(module.with_new_times(stored, toy_resnet((16, 16)), DATA))
    keys = ("method", "seed", "accuracy")
    assert [[r[key] for key in keys] for r in records] == [[r[key] for key in keys] for r in stored]
    assert all(0 < r["speedup_1"] < 77 and r["speedup_64"] < 77 for r in records)
    assert records[1]["speedup_64"] == 1


def test_half_of_the_channels_stays_with_each_criterion():
    for cut in [cut for name, cut in module.methods().items() if name != module.OTHER]:
        assert widths_of(cut(toy_resnet((16, 32)), DATA, 0)) == [8, 8, 8, 16, 16, 16]


def test_without_torch_pruning_it_says_how_to_install_it(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(module.importlib, "import_module", missing)
    with pytest.raises(CourseError, match=r"pip install .*benchmark"):
        module.with_torch_pruning(toy_resnet(), DATA, 0)


def test_the_committed_file_is_of_this_experiment():
    results = load_results(module.NAME)
    assert results.command == module.COMMAND
    assert results.settings["share"] == module.SHARE and results.settings["epochs"] == module.EPOCHS
    frame = results.frame()
    assert set(frame["method"]) == {"whole", module.GRADUAL, *module.methods()}
    assert len(frame) == len(module.SEEDS) * frame["method"].nunique()
    assert sorted(set(frame["seed"])) == list(module.SEEDS)
    assert frame[frame.method != "whole"]["parameters"].nunique() == 1


def test_what_the_notebook_says_about_the_results():
    frame = load_results(module.NAME).frame()
    accuracy = frame.groupby("method")["accuracy"].mean()
    lost = accuracy["whole"] - accuracy.drop("whole")
    assert 0 < lost.min() < 0.003 and lost.max() < 0.012
    assert lost["l1"] < 0.01 and lost["random"] < 0.01  # half of the channels for a point
    assert lost["l1"] < lost[module.OTHER] + 0.003
    narrow = frame[frame.method != "whole"]
    assert narrow["speedup_64"].min() > 2 and narrow["speedup_1"].min() > 1.3
    widths = frame.groupby("method")["accuracy"].agg(lambda a: a.max() - a.min())
    assert widths.max() > accuracy.drop("whole").max() - accuracy.drop("whole").min()
