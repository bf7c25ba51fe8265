"""Stored results: written, sorted, read again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.core.errors import CourseError
from course_utils.experiments import compare_improve, compare_schedules, compare_searches
from course_utils.experiments.results import DIGITS, FOLDER, load_results, save_results

RECORDS = [
    {"schedule": "step", "seed": 1, "accuracy": 0.8712349},
    {"schedule": "cosine", "seed": 0, "accuracy": 0.9},
]


def save(tmp_path, records=RECORDS, **keywords):
    return save_results("trial", records, **({"command": "make it", "folder": tmp_path} | keywords))


def test_what_was_saved_comes_back_in_order(tmp_path):
    path = save(tmp_path, settings={"epochs": 3}, made_with={"optuna": "5.0"})
    results = load_results("trial", folder=tmp_path)
    assert path == tmp_path / "trial.json"
    assert (results.name, results.command, results.settings) == ("trial", "make it", {"epochs": 3})
    assert set(results.made_with) == {"optuna", "python", "torch"}
    assert results.records == (
        {"schedule": "cosine", "seed": 0, "accuracy": 0.9},
        {"schedule": "step", "seed": 1, "accuracy": 0.871235},
    )
    assert list(results.frame()["accuracy"]) == [0.9, 0.871235]


def test_the_order_of_the_records_leaves_no_trace(tmp_path):
    first = save(tmp_path).read_bytes()
    assert save(tmp_path, RECORDS[::-1]).read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["trial.json"]


value = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.floats(allow_nan=False)
)


@settings(max_examples=40)
@given(st.lists(st.fixed_dictionaries({"a": value, "b": value}), min_size=1, max_size=6))
def test_any_flat_records_survive(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("results")
    save(folder, records)
    read = load_results("trial", folder=folder).records
    assert len(read) == len(records)
    again = save(folder, read).read_bytes()
    assert save(folder, read[::-1]).read_bytes() == again
    numbers = [r["a"] for r in read if isinstance(r["a"], float)]
    assert all(float(f"{n:.{DIGITS}g}") == n for n in numbers)


def test_numbers_of_other_libraries_and_those_that_are_not_finite(tmp_path):
    odd = [{"a": np.float32(0.5), "b": torch.tensor(3), "c": float("nan"), "d": np.int64(2)}]
    save(tmp_path, odd)
    results = load_results("trial", folder=tmp_path)
    assert results.records == ({"a": 0.5, "b": 3, "c": None, "d": 2},)
    assert results.frame()["c"].isna().all()


@pytest.mark.parametrize(
    ("records", "text"),
    [
        ([], "nothing to save"),
        ([{"a": 1}, {"b": 1}], "Record 2 has the keys b, the first one has a"),
        ([{"a": [1]}], "'a' is of the type list"),
        ([{"a": torch.zeros(2)}], "'a' is of the type Tensor"),
    ],
)
def test_records_that_cannot_be_saved(tmp_path, records, text):
    with pytest.raises(CourseError, match=text):
        save(tmp_path, records)
    assert not list(tmp_path.iterdir())


def test_names_are_plain(tmp_path):
    for name in ("../secret", "Trial", "", 3, "a.json"):
        for call in (load_results, lambda n, **k: save_results(n, RECORDS, command="", **k)):
            with pytest.raises(CourseError, match="lower-case letters"):
                call(name, folder=tmp_path)


def test_an_unknown_name_lists_what_is_there(tmp_path):
    with pytest.raises(CourseError, match="there are none"):
        load_results("other", folder=tmp_path)
    save(tmp_path)
    with pytest.raises(CourseError, match="'other'; there are: trial"):
        load_results("other", folder=tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "{}",
        lambda text: json.dumps(json.loads(text) | {"columns": ["seed"]}),
        lambda text: json.dumps(json.loads(text) | {"columns": None}),
        lambda text: text.replace("0.9", "[0.9]"),
        lambda text: json.dumps(json.loads(text) | {"records": []}),
        lambda text: json.dumps(json.loads(text) | {"command": 3}),
    ],
)
def test_a_damaged_file_is_answered_in_words(tmp_path, spoil):
    path = save(tmp_path)
    path.write_text(spoil(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(CourseError, match=r"trial\.json is damaged"):
        load_results("trial", folder=tmp_path)


EXPERIMENTS = {
    compare_improve: ["improve"],
    compare_schedules: ["learning_rate"],
    compare_searches: ["search_methods", "search_tests"],
}


def test_every_file_that_is_shipped_can_be_read_and_names_its_experiment():
    names = []
    for experiment, files in EXPERIMENTS.items():
        assert f"python -m {experiment.__name__}" == experiment.COMMAND
        assert experiment.COMMAND in experiment.__doc__
        for name in files:
            results = load_results(name)
            assert results.command == experiment.COMMAND
            assert len(results.frame()) == len(results.records)
        names += files
    assert sorted(names) == sorted(path.stem for path in FOLDER.glob("*.json"))
    assert all(path.stat().st_size < 200_000 for path in FOLDER.glob("*.json"))
