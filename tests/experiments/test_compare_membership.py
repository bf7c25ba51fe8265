"""The experiment with membership inference."""

from __future__ import annotations

from course_utils.experiments import compare_membership as module
from course_utils.experiments.results import load_results
from tests.toys import toy_data


def test_one_record_for_each_training():
    records = list(module.compare(toy_data(90), few=30, epochs=2, seeds=(0, 1)))
    assert [(r["seed"], r["way"]) for r in records] == [
        (seed, way) for seed in (0, 1) for way in module.WAYS
    ]
    for record in records:
        assert abs(record["found"] - record["false_alarms"] - record["advantage"]) < 1e-9
        assert all(0 <= record[key] <= 1 for key in ("training", "test", "auc"))


def test_the_stored_results_are_whole_and_say_what_the_notebook_says():
    stored = load_results(module.NAME)
    assert stored.command == module.COMMAND and stored.settings["few"] == module.FEW
    frame = stored.frame()
    runs = frame.groupby("way")
    assert set(runs.groups) == set(module.WAYS)
    assert runs.seed.apply(set).eq(set(module.SEEDS)).all()
    least = runs.advantage.min()["overfitted"]
    assert runs.advantage.max()[["regularised", "more pictures"]].max() < least
