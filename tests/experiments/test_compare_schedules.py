"""The experiment with schedules and optimizers."""

from __future__ import annotations

import math

import torch

from course_utils.data.load import load_dataset
from course_utils.experiments import compare_schedules as module
from course_utils.experiments.results import load_results
from course_utils.training.learning_rate import RatePlan
from course_utils.training.optimizers import COMPARED_OPTIMIZERS
from course_utils.training.schedules import SCHEDULES
from tests.toys import toy_data


def methods():
    grid = [RatePlan(peak=peak, epochs=1, pictures=30) for peak in (0.1, 0.2, 0.4)]
    return {("schedules", "constant"): grid}


def test_the_peak_is_chosen_by_its_own_seeds_and_then_measured():
    asked = []

    def train(plan, seed):
        asked.append((plan.peak, seed))
        return {0.1: 0.5, 0.2: 0.7, 0.4: 0.6}[plan.peak]

    records = list(module.compare(methods(), train, tuning_seeds=(7, 8), seeds=(0, 1)))
    assert asked == [(p, s) for p in (0.1, 0.2, 0.4) for s in (7, 8)] + [(0.2, 0), (0.2, 1)]
    assert [r["phase"] for r in records] == ["tuning"] * 6 + ["measured"] * 2
    assert records[-1] == {
        "comparison": "schedules",
        "method": "constant",
        "phase": "measured",
        "peak": 0.2,
        "seed": 1,
        "accuracy": 0.7,
    }


def test_a_peak_that_diverges_once_is_not_chosen():
    def train(plan, seed):
        return math.nan if plan.peak == 0.4 and seed == 8 else plan.peak

    records = list(module.compare(methods(), train, tuning_seeds=(7, 8), seeds=(0,)))
    assert records[-1]["peak"] == 0.2


def test_accuracies_are_measured_on_unused_pictures():
    data = load_dataset("fashion-mnist")
    used = data.train.few(module.PICTURES)
    judged = module.held_out(data, used)
    assert len(judged) == len(data.train) + len(data.validation) - module.PICTURES
    seen = {picture.numpy().tobytes() for picture in used.images}
    assert not any(picture.numpy().tobytes() in seen for picture in judged.images)


def test_the_same_plan_and_seed_are_trained_once(monkeypatch):
    monkeypatch.setattr(module, "PICTURES", 45)
    calls, train_with = [], module.train_with
    monkeypatch.setattr(
        module, "train_with", lambda *a, **k: calls.append(1) or train_with(*a, **k)
    )
    train = module.trainer(toy_data(90))
    plan = RatePlan(peak=0.01, epochs=1, pictures=45)
    state = torch.get_rng_state()
    assert train(plan, 0) == train(plan, 0) and 0 <= train(plan, 0) <= 1
    assert len(calls) == 1 and torch.equal(state, torch.get_rng_state())
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
    assert len(module.plans()) == len(SCHEDULES) + len(COMPARED_OPTIMIZERS)


def test_a_grid_goes_beyond_the_peaks_that_are_best():
    frame = load_results(module.NAME).frame()
    tuning = frame[frame.phase == "tuning"]
    for _, rows in tuning.groupby(["comparison", "method"]):
        means = rows.groupby("peak").accuracy.mean()
        assert means.index.min() < means.idxmax() < means.index.max()
