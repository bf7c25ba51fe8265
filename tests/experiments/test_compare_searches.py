"""The experiment with search methods."""

from __future__ import annotations

from dataclasses import replace

import pytest

from course_utils.data.load import load_dataset
from course_utils.experiments import compare_searches as experiment

PARTS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    data = load_dataset("fashion-mnist")
    few = replace(data, **{part: getattr(data, part).few(50) for part in PARTS})
    monkeypatch.setattr(experiment, "load_dataset", lambda _name: few)
    monkeypatch.setattr(experiment, "BUDGET", 12)


@pytest.mark.parametrize("name", ["random", "NSGA-II, two objectives"])
def test_a_search_ends_with_its_budget(name):
    records, test = experiment.run_search(name, seed=1)
    assert [record["epochs"] for record in records] == [3, 6, 9, 12]
    assert {record["state"] for record in records} == {"complete"}
    assert test["validation"] == max(record["accuracy"] for record in records)
    assert test["candidates"] == 4 and 0 <= test["test"] <= 1


def test_pruned_candidates_leave_time_for_more():
    records, _ = experiment.run_search("TPE with halving", seed=1)
    assert records[-1]["epochs"] >= 12 > records[-2]["epochs"]
    assert all((record["accuracy"] is None) == (record["state"] == "pruned") for record in records)


def test_the_articles_settings_are_one_candidate():
    records, test = experiment.run_search(experiment.ARTICLES, seed=1)
    assert len(records) == test["candidates"] == 1
    assert records[0]["conv1.out_channels"] == 16 and records[0]["learning_rate"] is None


def test_the_middle_of_the_space_is_one_candidate():
    (record,), _ = experiment.run_search(experiment.MIDDLE, seed=1)
    assert 0.003 < record["learning_rate"] < 0.0033 and record["conv1.kernel_size"] == 3


def test_the_same_seed_gives_the_same_numbers():
    first, again = (experiment.run_search("Bayesian (TPE)", seed=2) for _ in range(2))
    assert first == again
