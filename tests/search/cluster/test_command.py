"""The command line, and the storages that it is given."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import threading

import pytest
import torch

from course_utils.core.errors import CourseError
from course_utils.search import open_storage
from course_utils.search.__main__ import main


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "nonsense",
        "oracle+nothing://x/y",
        "journal.log",
        "postgresql://a:secret@c:port/d",
        "postgresql+psycopg:/me:secret@host/db",
        "postgresql+psycopg:/me:s@ec:r/et@host/db",
        "nothing://host/db?password=secret&user=me",
    ],
)
def test_an_unknown_storage_is_said(url, capsys):
    assert main(["status", "--study", "x", "--storage", url]) == 1
    said = capsys.readouterr().err
    assert "no storage that can be used here" in said and "sec" not in said and "s@ec" not in said


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("create --heartbeat 0", "heartbeat=0: give a whole number from 1 up"),
        ("create --seed -1", "seed=-1: give a whole number from 0 to 4294967295"),
        ("create --network math:pi", "network='math:pi' cannot be made"),
        ("create --network json:JSONDecoder", "JSONDecoder, which is no network"),
        ("create --network torch.nn:Linear", "needs no arguments"),
        ("create --network tests.toys:toy_model", "no convolution 'conv2'"),
        ("create --data nothing", "There is no data set 'nothing'"),
        ("create --pictures 100000", "pictures=100,000: Fashion-MNIST has"),
        ("worker --seed -3", "seed=-3: give a whole number"),
        ("worker --precision float23", "precision='float23' is not known"),
    ],
)
def test_what_no_worker_could_do_is_said_and_the_name_stays_free(command, said, capsys, tmp_path):
    name = ["--study", "free", "--storage", f"sqlite:///{tmp_path}/s.db"]
    assert main(["create", "--study", "old", *name[2:], "--trials", "1"]) == 0
    which, *options = command.split()
    study = ["--study", "old"] if which == "worker" else []
    assert main([which, *name, *study, *options]) == 1
    assert said in capsys.readouterr().err
    assert main(["create", *name, "--trials", "1"]) == 0
    assert "1 waiting" in capsys.readouterr().out


def test_a_server_that_is_not_there_is_said_without_its_password(capsys, tmp_path):
    url = f"postgresql+psycopg://me:secret@/x?host={tmp_path}"
    assert main(["status", "--study", "x", "--storage", url]) == 1
    said = capsys.readouterr().err
    assert "No storage answers" in said and "secret" not in said


def test_a_study_is_made_worked_on_and_shown(capsys, tmp_path, monkeypatch):
    space = tmp_path / "space.json"
    space.write_text('{"learning_rate": [0.003, 0.01], "conv1.out_channels": [2, 4]}')
    name = ["--study", "cli", "--storage", f"sqlite:///{tmp_path}/s.db"]
    made = ["--method", "grid", "--trials", "2", "--epochs", "1", "--pictures", "100"]
    assert main(["create", *name, *made, "--space", str(space)]) == 0
    assert "cli: 2 waiting" in capsys.readouterr().out
    assert main(["worker", *name]) == 0
    assert "2 trials done by this worker" in capsys.readouterr().out
    assert main(["status", *name]) == 0
    shown = capsys.readouterr().out
    assert "cli: 2 complete\ntrial " in shown
    installed = importlib.util.find_spec("optuna_dashboard") is not None
    assert ("optuna-dashboard" in shown) == installed
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert main(["status", *name]) == 0
    assert f"optuna-dashboard 'sqlite:///{tmp_path}/s.db'" in capsys.readouterr().out


def test_a_worker_leaves_the_process_as_it_was(tmp_path):
    name = ["--study", "own", "--storage", f"sqlite:///{tmp_path}/s.db"]
    assert main(["create", *name, "--trials", "1", "--epochs", "1", "--pictures", "64"]) == 0

    def settings() -> list:
        handlers = [signal.getsignal(which) for which in (signal.SIGTERM, signal.SIGINT)]
        return [*handlers, threading.excepthook, torch.get_num_threads()]

    with two_threads():
        before = settings()
        assert main(["worker", *name]) == 0
        assert settings() == before


@contextlib.contextmanager
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read"),
        ("[1]", "no JSON object"),
        ("{}", "empty"),
        ('{"schedule": "cosine"}', "schedule: 'cosine' is neither a list of values nor"),
        ('{"learning_rate": "0.1"}', "learning_rate: '0.1' is neither"),
        ('{"learning_rate": "{}"}', "learning_rate: '{}' is neither"),
        ('{"learning_rate": ["a", "b"]}', "learning_rate: 'a' is no number"),
        ('{"conv9.out_channels": [8]}', "no convolution 'conv9'"),
    ],
)
def test_a_space_that_cannot_be_read_is_said(content, said, capsys, tmp_path):
    path = tmp_path / "space.json"
    path.write_text(content)
    arguments = ["create", "--study", "x", "--storage", f"sqlite:///{tmp_path}/s.db"]
    assert main([*arguments, "--space", str(path)]) == 1
    assert said in capsys.readouterr().err


def test_a_broken_database_is_said(tmp_path):
    path = tmp_path / "s.db"
    path.write_text("this is no database, but a text that is long enough to be read as one" * 20)
    with pytest.raises(CourseError, match="storage"):
        open_storage(f"sqlite:///{path}")
