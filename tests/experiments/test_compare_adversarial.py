"""The experiment with adversarial training."""

from __future__ import annotations

from course_utils.experiments import compare_adversarial as module
from course_utils.experiments.results import load_results
from tests.toys import toy_data


def test_one_record_for_each_attack_of_each_training():
    runs = list(module.compare(toy_data(), (0, 8), (0, 4), seeds=(0, 1), epochs=1, pictures=12))
    assert [len(run) for run in runs] == [2] * 4
    records = [record for run in runs for record in run]
    keys = [(r["seed"], r["trained"], r["attacked"]) for r in records]
    assert keys == [(s, t, a) for s in (0, 1) for t in (0, 8) for a in (0, 4)]
    assert all(0 <= record["accuracy"] <= 1 for record in records)


def test_the_stored_results_are_whole_and_say_what_the_notebook_says():
    stored = load_results(module.NAME)
    assert stored.command == module.COMMAND and stored.settings["test_pictures"] == module.PICTURES
    frame = stored.frame()
    runs = frame.groupby(["trained", "attacked"])
    assert runs.seed.apply(set).eq(set(module.SEEDS)).all()
    assert len(runs) == len(module.TRAINED) * len(module.ATTACKED)
    least, most = (getattr(runs.accuracy, name)().unstack() for name in ("min", "max"))
    for level in (8, 16):
        assert (most.loc[level, 0] < least.loc[0, 0]) and (least.loc[level, 8] > most.loc[0, 8])
