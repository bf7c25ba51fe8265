"""The command line: what it does, and what it refuses."""

from __future__ import annotations

import importlib.util
import signal
import threading

import optuna
import torch

from course_utils.core import one_thread
from course_utils.search.__main__ import main


def failure(capsys, *arguments: str) -> str:
    """Run a command that must fail; return what it says."""
    assert main(arguments) == 1
    return capsys.readouterr().err


NO_STORAGES = """
    redis://localhost
    nonsense
    oracle+nothing://x/y
    postgresql://a:secret@c:port/d
    postgresql+psycopg:/me:s@ec:r/et@host/db
    nothing://host/db?password=secret&user=me
"""


def test_an_unknown_storage_is_said_without_its_password(capsys):
    for url in NO_STORAGES.split():
        said = failure(capsys, "status", "--study", "x", "--storage", url)
        assert "cannot be used as a storage" in said and "sec" not in said and "s@ec" not in said


REFUSED = {
    "create --heartbeat 0": "heartbeat=0: give a whole number from 1 up",
    "create --seed -1": "seed=-1: give a whole number from 0 to 4294967295",
    "create --network math:pi": "network='math:pi' cannot be made",
    "create --network json:JSONDecoder": "JSONDecoder, which is not a network",
    "create --network torch.nn:Linear": "needs no arguments",
    "create --network tests.toys:toy_model": "no convolution 'conv2'",
    "create --data nothing": "There is no data set 'nothing'",
    "create --pictures 100000": "pictures=100,000: Fashion-MNIST has",
    "worker --seed -3": "seed=-3: give a whole number",
    "worker --precision float23": "precision='float23' is not known",
}


def test_what_no_worker_could_do_is_refused_and_the_name_stays_free(capsys, new_database):
    storage = ["--storage", new_database]
    assert main(["create", "--study", "old", *storage, "--trials", "1"]) == 0
    for command, said in REFUSED.items():
        name, *options = command.split()
        study = "old" if name == "worker" else "free"
        assert said in failure(capsys, name, "--study", study, *storage, *options), command
    assert optuna.get_all_study_names(new_database) == ["old"]


def test_a_storage_that_does_not_answer_is_said_without_its_password(capsys, tmp_path):
    broken = tmp_path / "s.db"
    broken.write_text("text that is long enough to be read as a database" * 20)
    for url in (f"postgresql+psycopg://me:secret@/x?host={tmp_path}", f"sqlite:///{broken}"):
        said = failure(capsys, "status", "--study", "x", "--storage", url)
        assert "No storage answers" in said and "secret" not in said


def process_settings() -> list:
    handlers = [signal.getsignal(which) for which in (signal.SIGTERM, signal.SIGINT)]
    return [*handlers, threading.excepthook, torch.get_num_threads()]


def test_a_study_is_made_worked_on_and_shown(capsys, tmp_path, new_database, monkeypatch):
    space = tmp_path / "space.json"
    space.write_text('{"learning_rate": [0.003, 0.01], "conv1.out_channels": [2, 4]}')
    name = ["--study", "cli", "--storage", new_database]
    made = ["--method", "grid", "--trials", "2", "--epochs", "1", "--pictures", "100"]
    assert main(["create", *name, *made, "--space", str(space)]) == 0
    assert "cli: 2 waiting" in capsys.readouterr().out
    with one_thread():
        torch.set_num_threads(2)
        before = process_settings()
        assert main(["worker", *name]) == 0
        assert process_settings() == before
    assert "2 trials done by this worker" in capsys.readouterr().out
    assert main(["status", *name]) == 0
    assert "cli: 2 complete\ntrial " in capsys.readouterr().out
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert main(["status", *name]) == 0
    assert f"optuna-dashboard '{new_database}'" in capsys.readouterr().out


UNREADABLE = {
    "{": "cannot be read",
    "[1]": "not a JSON object",
    "{}": "empty",
    '{"schedule": "cosine"}': "schedule: 'cosine' is neither a list of values nor",
    '{"learning_rate": "0.1"}': "learning_rate: '0.1' is neither",
    '{"learning_rate": "{}"}': "learning_rate: '{}' is neither",
    '{"learning_rate": ["a", "b"]}': "learning_rate: 'a' is not a number",
    '{"conv9.out_channels": [8]}': "no convolution 'conv9'",
}


def test_a_space_that_cannot_be_read_is_said(capsys, tmp_path, new_database):
    path = tmp_path / "space.json"
    arguments = ["--study", "x", "--storage", new_database, "--space", str(path)]
    for content, said in UNREADABLE.items():
        path.write_text(content)
        assert said in failure(capsys, "create", *arguments), content
