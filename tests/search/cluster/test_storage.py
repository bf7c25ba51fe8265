"""Storages: their addresses and timeouts, and that a trial is taken only once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from optuna.storages._rdb.models import TrialModel
from optuna.trial import TrialState

from course_utils.core import CourseError
from course_utils.search import open_storage
from course_utils.search.cluster.storage import STORAGE_VARIABLE, storage_url, without_password
from tests.processes import as_nobody


def test_a_waiting_trial_is_taken_once(url, monkeypatch):
    """Two workers look at it before either has taken it."""
    storage = open_storage(url)
    study = optuna.create_study(storage=storage)
    study.enqueue_trial({})
    (trial,) = study.trials
    find = TrialModel.find_or_raise_by_id

    def slowly(*arguments, **options):
        try:
            return find(*arguments, **options)
        finally:
            time.sleep(0.5)

    monkeypatch.setattr(TrialModel, "find_or_raise_by_id", slowly)
    start = threading.Barrier(2)

    def take(_worker) -> bool:
        start.wait()
        return storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(take, range(2))) == [False, True]


def test_a_host_that_vanishes_counts_as_gone_after_a_while(server):
    storage = open_storage(f"{server.url}&keepalives_idle=7")
    with storage.engine.connect() as connection:
        options = connection.connection.dbapi_connection.info.get_parameters()
    chosen = {"connect_timeout": "10", "keepalives_idle": "7", "tcp_user_timeout": "30000"}
    assert {name: options[name] for name in chosen} == chosen


def test_the_storage_is_named_by_hand_by_the_environment_or_not_at_all(monkeypatch, tmp_path):
    monkeypatch.setenv(STORAGE_VARIABLE, "sqlite:///a.db")
    assert storage_url("sqlite:///b.db") == "sqlite:///b.db"
    assert storage_url() == "sqlite:///a.db"
    monkeypatch.delenv(STORAGE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert storage_url().startswith("sqlite:///") and storage_url().endswith("search.db")
    assert without_password("postgresql://a:b@c/d") == "postgresql://a:***@c/d"


@pytest.mark.parametrize("folder", ["", "new"])
def test_a_cache_that_cannot_be_written_says_what_to_set(monkeypatch, tmp_path, folder):
    monkeypatch.delenv(STORAGE_VARIABLE, raising=False)
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / folder))
    tmp_path.chmod(0o500)

    def use() -> None:
        with pytest.raises(
            CourseError, match=r"Permission denied.*COURSE_CACHE_DIR.*COURSE_STORAGE"
        ):
            open_storage()

    assert as_nobody(use) == 0
