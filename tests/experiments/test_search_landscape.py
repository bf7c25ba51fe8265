"""The map of learning rates and widths: its records."""

from __future__ import annotations

from course_utils.experiments import search_landscape as experiment
from tests.toys import toy_data


def test_every_combination_of_every_seed_has_a_record():
    data = toy_data(train=130)
    runs = {"rates": (0.003, 1e30), "widths": (2, 16), "seeds": (1, 2)}
    records = list(experiment.compare(data, **runs))
    assert records == list(experiment.compare(data, **runs)), "the same numbers again"
    keys = [(r["seed"], r["conv1.out_channels"], r["learning_rate"]) for r in records]
    assert keys == [(s, w, r) for s in (1, 2) for w in (2, 16) for r in (0.003, 1e30)]
    for record in records:
        diverged = record["learning_rate"] > 1
        assert (record["accuracy"] is None) == diverged
    assert experiment.RATES[3] == 0.001 and 16 in experiment.WIDTHS, "the article's own values"
