"""Stored results: written, sorted, read again."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.core.errors import CourseError
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


def test_records_and_names_that_cannot_be_saved(tmp_path):
    refused = {
        "nothing to save": [],
        "Record 2 has the keys b, the first one has a": [{"a": 1}, {"b": 1}],
        "'a' is of the type list": [{"a": [1]}],
        "'a' is of the type Tensor": [{"a": torch.zeros(2)}],
    }
    for text, records in refused.items():
        with pytest.raises(CourseError, match=text):
            save(tmp_path, records)
    for name in ("../secret", "Trial", "", 3, "a.json"):
        with pytest.raises(CourseError, match="lower-case letters"):
            save_results(name, RECORDS, command="", folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unknown_name_lists_what_is_there(tmp_path):
    with pytest.raises(CourseError, match="there are none"):
        load_results("other", folder=tmp_path)
    save(tmp_path)
    with pytest.raises(CourseError, match="'other'; there are: trial"):
        load_results("other", folder=tmp_path)


def test_a_folder_in_its_place_is_answered_in_words(tmp_path):
    (tmp_path / "trial.json").mkdir()
    for use in (save, lambda folder: load_results("trial", folder=folder)):
        with pytest.raises(CourseError, match=r"trial\.json is a folder"):
            use(tmp_path)


def test_a_damaged_file_is_answered_in_words(tmp_path):
    path = save(tmp_path)
    text = path.read_text(encoding="utf-8")
    wrong = ({"columns": ["seed"]}, {"columns": None}, {"records": []}, {"command": 3})
    spoilt = [json.dumps(json.loads(text) | one) for one in wrong]
    for damaged in ("[]", "{}", text[: len(text) // 2], text.replace("0.9", "[0.9]"), *spoilt):
        path.write_text(damaged, encoding="utf-8")
        with pytest.raises(CourseError, match=r"trial\.json is damaged"):
            load_results("trial", folder=tmp_path)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.json")))
def test_a_file_that_is_shipped_can_be_read_and_names_its_experiment(name):
    results = load_results(name)
    command = results.command.partition(" --")[0]  # that of the ladder has options
    experiment = importlib.import_module(command.removeprefix("python -m "))
    assert command == experiment.COMMAND == f"python -m {experiment.__name__}"
    assert experiment.COMMAND in experiment.__doc__
    assert len(results.frame()) == len(results.records)
    assert (FOLDER / f"{name}.json").stat().st_size < 200_000
