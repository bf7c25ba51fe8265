"""The experiment with schedules and optimizers."""

from __future__ import annotations

import math
from unittest.mock import Mock

import torch

from course_utils.data.load import load_dataset
from course_utils.experiments import compare_schedules as module
from course_utils.experiments.results import load_results
from course_utils.training.learning_rate import RatePlan
from course_utils.training.optimizers import COMPARED_OPTIMIZERS
from course_utils.training.schedules import SCHEDULES
from tests.toys import toy_data


def test_the_peak_is_chosen_by_its_own_seeds_and_then_measured():
    asked, grid = [], [RatePlan(peak=peak, epochs=1, pictures=30) for peak in (0.1, 0.2, 0.4)]
    methods = {("schedules", "constant"): grid}

    def train(plan, seed):
        asked.append((plan.peak, seed))
        # The highest peak diverges once, so it is not chosen.
        return {0.1: 0.5, 0.2: 0.7, 0.4: math.nan if seed == 8 else 0.9}[plan.peak]

    records = list(module.compare(methods, train, tuning_seeds=(7, 8), seeds=(0, 1)))
    assert asked == [(p, s) for p in (0.1, 0.2, 0.4) for s in (7, 8)] + [(0.2, 0), (0.2, 1)]
    assert [r["phase"] for r in records] == ["tuning"] * 6 + ["measured"] * 2
    assert list(records[-1].values()) == ["schedules", "constant", "measured", 0.2, 1, 0.7]


def test_accuracies_are_measured_on_unused_pictures():
    data = load_dataset("fashion-mnist")
    used = data.train.few(module.PICTURES)
    judged = module.held_out(data, used)
    assert len(judged) == len(data.train) + len(data.validation) - module.PICTURES
    seen = {picture.numpy().tobytes() for picture in used.images}
    assert not any(picture.numpy().tobytes() in seen for picture in judged.images)


def test_the_same_plan_and_seed_are_trained_once(monkeypatch):
    calls = Mock(side_effect=module.train_with)
    monkeypatch.setattr(module, "PICTURES", 45)
    monkeypatch.setattr(module, "train_with", calls)
    train = module.trainer(toy_data(90))
    plan = RatePlan(peak=0.01, epochs=1, pictures=45)
    state = torch.get_rng_state()
    assert train(plan, 0) == train(plan, 0) and 0 <= train(plan, 0) <= 1
    assert calls.call_count == 1 and torch.equal(state, torch.get_rng_state())
    assert math.isnan(train(RatePlan(peak=1e30, epochs=3, pictures=45), 0))


def test_the_committed_file_is_of_this_experiment():
    results = load_results(module.NAME)
    assert results.settings["epochs"] == module.EPOCHS
    assert results.settings["pictures"] == module.PICTURES
    frame = results.frame()
    for (comparison, method), grid in module.plans().items():
        rows = frame[(frame.comparison == comparison) & (frame.method == method)]
        tuning, measured = (rows[rows.phase == phase] for phase in ("tuning", "measured"))
        assert sorted(set(tuning.peak)) == sorted(plan.peak for plan in grid)
        assert sorted(measured.seed) == list(module.SEEDS)
        best = tuning.groupby("peak").accuracy.mean().idxmax()
        assert set(measured.peak) == {best}
        assert min(tuning.peak) < best < max(tuning.peak)  # else the grid ends too early
    assert len(module.plans()) == len(SCHEDULES) + len(COMPARED_OPTIMIZERS)
