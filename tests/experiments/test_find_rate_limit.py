"""The experiment with peaks that are too high."""

from __future__ import annotations

import math

from course_utils.experiments import find_rate_limit as module
from course_utils.experiments.results import load_results


def test_every_peak_has_every_seed_with_and_without_a_warm_up():
    asked = []

    def train(plan, seed):
        asked.append((plan.schedule.warmup, plan.peak, seed))
        return math.nan if plan.peak > 0.5 else 0.8

    found = list(module.records(train))
    assert len(set(asked)) == len(found) == 128
    assert {record["accuracy"] for record in found if record["peak"] > 0.5} == {0.1}
    assert {record["accuracy"] for record in found if record["peak"] <= 0.5} == {0.8}


def test_the_committed_file_is_of_this_experiment():
    results = load_results(module.NAME)
    assert results.settings["epochs"] == module.EPOCHS
    assert results.settings["pictures"] == module.PICTURES
    frame = results.frame()
    assert len(frame) == len(module.WARMUPS) * len(module.PEAKS) * len(module.SEEDS)
    assert set(frame.peak) == set(module.PEAKS) and frame.accuracy.between(0, 1).all()
