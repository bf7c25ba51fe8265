"""Workers as real processes: killed, stopped, without their storage; nothing is lost or doubled."""

from __future__ import annotations

import collections
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import TrialState

from course_utils.errors import CourseError
from course_utils.search import (
    Objective,
    Plan,
    SearchSpace,
    best_so_far,
    create_study,
    open_storage,
    trial_table,
    work,
)
from course_utils.search.__main__ import main
from course_utils.search.objective import REASON
from course_utils.search.slots import RETRIES, SLOT, STUMBLED, given_up, requeue, with_slot
from course_utils.search.storage import VARIABLE, hidden, storage_url
from course_utils.search.worker import _one
from tests.search import slow
from tests.search.postgres import Server, why_not
from tests.toys import toy_data, toy_model

ROOT = Path(__file__).resolve().parents[2]
TRIALS = 5
ENDED = {TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Of the workers: the toy pictures under a name, one thread."""
    folder = tmp_path_factory.mktemp("data")
    data = toy_data()
    np.savez(
        folder / "stripes.npz",
        train_images=data.train.images[:, 0].numpy(),
        train_labels=data.train.labels.to(dtype=data.train.images.dtype).numpy(),
        test_images=data.test.images[:, 0].numpy(),
        test_labels=data.test.labels.to(dtype=data.test.images.dtype).numpy(),
        classes=np.array(data.train.classes),
    )
    return os.environ | {"COURSE_DATA_DIR": str(folder), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def server():
    if reason := why_not():
        pytest.skip(reason)
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/search.db"
    return request.getfixturevalue("server").url


@pytest.fixture
def plan() -> Plan:
    space = SearchSpace({"learning_rate": [0.003, 0.01, 0.03], "0.out_channels": range(2, 9)})
    return Plan(
        space,
        trials=TRIALS,
        epochs=2,
        network="tests.search.slow:make",
        data="stripes",
    )


class Worker:
    """A worker process; ends with the block."""

    def __init__(
        self, url: str, study: str, environment: dict, *, crawls: float = 0, heartbeat: int = 1
    ) -> None:
        command = [sys.executable, "-m", "course_utils.search", "worker", "--study", study]
        self.process = subprocess.Popen(
            [*command, "--heartbeat", str(heartbeat)],
            cwd=ROOT,
            env=environment | {VARIABLE: url, slow.VARIABLE: str(crawls)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_exception) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=90)
        return self.process.returncode, out, err


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def running(study: optuna.Study) -> list:
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def complete(study: optuna.Study) -> list:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def check_nothing_is_lost_or_doubled(study: optuna.Study, failed: int) -> None:
    trials = study.get_trials()
    assert {t.state for t in trials} <= ENDED
    results = [t.user_attrs[SLOT] for t in trials if t.state == TrialState.COMPLETE]
    assert sorted(results) == list(range(TRIALS))
    counts = collections.Counter(t.state for t in with_slot(trials))
    assert counts[TrialState.FAIL] == failed


def test_a_killed_workers_trial_is_done_by_another(url, plan, environment):
    storage = open_storage(url, heartbeat=1)
    study = create_study(plan, "killed", storage)
    with Worker(url, "killed", environment, crawls=600) as victim:
        wait_for(lambda: running(study))
        (caught,) = running(study)
        with Worker(url, "killed", environment) as other:
            wait_for(lambda: any(t.state == TrialState.COMPLETE for t in study.get_trials()))
            victim.process.send_signal(signal.SIGKILL)
            victim.process.wait()
            code, out, err = other.end()
    assert code == 0, err
    check_nothing_is_lost_or_doubled(study, failed=1)
    (failed,) = study.get_trials(states=(TrialState.FAIL,))
    assert failed.number == caught.number
    (again,) = (t for t in complete(study) if t.user_attrs[SLOT] == failed.user_attrs[SLOT])
    assert again.params == failed.params
    assert f"{TRIALS} trials done by this worker" in out


def test_two_workers_share_the_queue(plan, environment, tmp_path):
    url = f"sqlite:///{tmp_path}/search.db"
    study = create_study(plan, "shared", open_storage(url))
    # Nobody is killed, and on a busy machine nobody must look dead.
    one, other = (Worker(url, "shared", environment, heartbeat=10) for _ in range(2))
    with one, other:
        ends = [one.end(), other.end()]
    assert [code for code, _, _ in ends] == [0, 0], ends
    check_nothing_is_lost_or_doubled(study, failed=0)


def test_a_worker_that_is_asked_to_end_puts_its_trial_back(plan, environment, tmp_path):
    url = f"sqlite:///{tmp_path}/search.db"
    study = create_study(plan, "asked", open_storage(url, heartbeat=1))
    with Worker(url, "asked", environment, crawls=1) as worker:
        wait_for(lambda: running(study))
        worker.process.terminate()
        code, out, err = worker.end()
    assert code == 0, err
    assert "queued again" in out
    assert not running(study)
    with Worker(url, "asked", environment) as worker:
        assert worker.end()[0] == 0
    check_nothing_is_lost_or_doubled(study, failed=1)


def test_a_storage_that_goes_away_is_said_and_the_study_goes_on(server, plan, environment):
    study = create_study(plan, "gone", open_storage(server.url, heartbeat=1))
    with Worker(server.url, "gone", environment, crawls=2) as worker:
        wait_for(lambda: running(study))
        server.stop()
        try:
            code, _, err = worker.end()
        finally:
            server.start()
    assert code == 1
    assert "does not answer any more" in err and "start the worker again" in err
    assert "Traceback" not in err
    with Worker(server.url, "gone", environment) as worker:
        assert worker.end()[0] == 0
    study = optuna.load_study(study_name="gone", storage=open_storage(server.url))
    check_nothing_is_lost_or_doubled(study, failed=1)


def test_a_worker_killed_before_its_first_sign_of_life_is_missed_too(tmp_path):
    storage = open_storage(f"sqlite:///{tmp_path}/search.db", heartbeat=1, grace=1)
    plan = Plan(SearchSpace({"learning_rate": [0.01]}), trials=TRIALS, epochs=1)
    study = create_study(plan, "early", storage)
    ask(study)  # it is running now, and never was heard of
    work(study, Objective(plan, toy_model(), toy_data()), storage)
    check_nothing_is_lost_or_doubled(study, failed=1)


@pytest.mark.parametrize("objectives", [("accuracy",), ("accuracy", "multiply_adds")])
def test_a_result_that_comes_too_late_is_dropped(objectives, tmp_path):
    storage = open_storage(f"sqlite:///{tmp_path}/search.db", heartbeat=1)
    space = SearchSpace({"learning_rate": [0.01]})
    plan = Plan(space, trials=TRIALS, epochs=1, objectives=objectives)
    study = create_study(plan, "late", storage)
    objective = Objective(plan, toy_model(), toy_data())

    def declared_dead(_history) -> None:  # as if this process had been asleep for a minute
        objective.on_epoch = None
        fail_like_a_killed_one(study, storage)

    objective.on_epoch = declared_dead
    assert work(study, objective, storage) == TRIALS
    check_nothing_is_lost_or_doubled(study, failed=1)


def fail_like_a_killed_one(study: optuna.Study, storage) -> None:
    """What the worker that misses it does first; this one is killed before it does the rest."""
    (trial,) = running(study)
    storage.set_trial_state_values(
        storage.get_trial_id_from_study_id_trial_number(
            storage.get_study_id_from_name(study.study_name), trial.number
        ),
        TrialState.FAIL,
    )


def ask(study: optuna.Study) -> None:
    """Take a trial, and be killed."""
    with pytest.warns(UserWarning, match="Heartbeat"):
        study.ask()


@pytest.fixture
def storage(tmp_path):
    return open_storage(f"sqlite:///{tmp_path}/search.db", heartbeat=1, grace=1)


@pytest.fixture
def grid() -> Plan:
    space = SearchSpace({"learning_rate": [0.001, 0.003, 0.01, 0.02, 0.03]})
    return Plan(space, method="grid", trials=TRIALS, epochs=1)


def check_the_grid_is_complete(study: optuna.Study) -> None:
    rates = [t.params["learning_rate"] for t in complete(study)]
    assert sorted(rates) == [0.001, 0.003, 0.01, 0.02, 0.03]


def test_a_slot_whose_retry_was_never_queued_is_found_by_the_next_worker(grid, storage):
    study = create_study(grid, "halfway", storage)
    ask(study)
    fail_like_a_killed_one(study, storage)
    assert work(study, Objective(grid, toy_model(), toy_data()), storage) == TRIALS
    check_nothing_is_lost_or_doubled(study, failed=1)
    check_the_grid_is_complete(study)


def test_two_that_queue_the_same_slot_give_it_one_result(grid, storage):
    study = create_study(grid, "both", storage)
    ask(study)
    fail_like_a_killed_one(study, storage)
    seen = study.get_trials()
    assert requeue(study, seen) == requeue(study, seen) == 1
    assert work(study, Objective(grid, toy_model(), toy_data()), storage) == TRIALS
    check_nothing_is_lost_or_doubled(study, failed=1)
    check_the_grid_is_complete(study)
    assert len(study.trials) == len(trial_table(study)) + 1 == TRIALS + 2
    assert len(best_so_far(study)) == TRIALS


def test_a_storage_that_stumbles_costs_no_slot(grid, storage, monkeypatch):
    report, calls = storage.set_trial_intermediate_value, []

    def stumbles(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise optuna.exceptions.StorageInternalError("away for a moment")
        report(*arguments)

    monkeypatch.setattr(storage, "set_trial_intermediate_value", stumbles)
    study = create_study(grid, "stumbles", storage)
    assert work(study, Objective(grid, toy_model(), toy_data()), storage) == TRIALS
    check_nothing_is_lost_or_doubled(study, failed=1)
    check_the_grid_is_complete(study)
    (failed,) = study.get_trials(states=(TrialState.FAIL,))
    assert failed.user_attrs[REASON] == STUMBLED


@pytest.fixture
def single() -> Plan:
    return Plan(SearchSpace({"learning_rate": [0.01, 0.02]}), trials=1, epochs=2)


def test_a_sign_of_life_that_is_not_heard_is_given_again(grid, storage, monkeypatch):
    record, calls = optuna.storages.RDBStorage.record_heartbeat, []

    def stumbles(self, trial_id) -> None:
        calls.append(trial_id)
        if len(calls) == 2:
            raise optuna.exceptions.StorageInternalError("away for a moment")
        record(self, trial_id)

    monkeypatch.setattr(optuna.storages.RDBStorage, "record_heartbeat", stumbles)
    study = create_study(grid, "heard", storage)
    objective = Objective(grid, toy_model(), toy_data())

    def wait_for_the_next(_history) -> None:
        wait_for(lambda: len(calls) > 2)
        objective.stop.set()

    objective.stop, objective.on_epoch = threading.Event(), wait_for_the_next
    assert work(study, objective, storage) == 1
    assert len(set(calls)) == 1


def test_a_trial_that_kills_every_worker_ends(single, storage):
    study = create_study(single, "deadly", storage)
    for tries in range(1 + RETRIES):
        assert len(study.trials) == tries + 1 and given_up(study.trials) == []
        ask(study)
        fail_like_a_killed_one(study, storage)
        requeue(study, study.trials)
    assert [t.number for t in given_up(study.trials)] == [RETRIES]
    assert work(study, Objective(single, toy_model(), toy_data()), storage) == 0
    assert len(study.trials) == 1 + RETRIES


def test_what_was_given_up_is_said(single, storage, tmp_path, capsys):
    name = ["--study", "deadly", "--storage", f"sqlite:///{tmp_path}/search.db"]
    study = create_study(single, "deadly", storage)
    for _ in range(1 + RETRIES):
        assert main(["status", *name]) == 0
        assert "Given up" not in capsys.readouterr().out
        ask(study)
        fail_like_a_killed_one(study, storage)
        requeue(study, study.trials)
    for command in ("status", "worker"):
        assert main([command, *name]) == 0
        shown = capsys.readouterr().out
        assert "Given up: 1 of 1 candidates (last as trial 3). Each was tried 4 times" in shown


def test_stops_do_not_use_up_the_retries_of_the_dead(single, storage):
    study, stop = create_study(single, "stopped", storage), threading.Event()
    objective = Objective(single, toy_model(), toy_data(), stop=stop)
    objective.on_epoch = lambda history: stop.set()
    for _ in range(1 + RETRIES):
        stop.clear()
        assert work(study, objective, storage) == 0
    ask(study)
    fail_like_a_killed_one(study, storage)
    stop.clear()
    objective.on_epoch = None
    assert work(study, objective, storage) == 1
    (done,) = complete(study)
    assert len({t.params["learning_rate"] for t in study.trials}) == 1
    table = trial_table(study)
    assert list(table.reason) == ["the search was stopped"] * (1 + RETRIES) + ["", ""]
    assert table.trial[table.state == "complete"].tolist() == [done.number]


def test_who_finds_the_queue_empty_leaves_no_row(single, storage):
    study = create_study(single, "race", storage)
    objective = Objective(single, toy_model(), toy_data())
    assert work(study, objective, storage) == 1
    assert _one(study, objective) is None  # as if another one had just taken the last
    assert len(study.trials) == 2 and len(trial_table(study)) == len(best_so_far(study)) == 1


# The command line


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
        ("create --data nothing", "nothing"),
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


def test_a_host_that_vanishes_counts_as_gone_after_a_while(server):
    storage = open_storage(f"{server.url}&keepalives_idle=7")
    with storage.engine.connect() as connection:
        options = connection.connection.dbapi_connection.info.get_parameters()
    chosen = {"connect_timeout": "10", "keepalives_idle": "7", "tcp_user_timeout": "30000"}
    assert {name: options[name] for name in chosen} == chosen


def test_the_storage_is_named_by_hand_by_the_environment_or_not_at_all(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, "sqlite:///a.db")
    assert storage_url("sqlite:///b.db") == "sqlite:///b.db"
    assert storage_url() == "sqlite:///a.db"
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert storage_url().startswith("sqlite:///") and storage_url().endswith("search.db")
    assert hidden("postgresql://a:b@c/d") == "postgresql://a:***@c/d"


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
