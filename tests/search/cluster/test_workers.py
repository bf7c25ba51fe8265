"""Workers as real processes: killed, stopped, without their storage; nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from course_utils.search import Plan, SearchSpace, create_study, open_storage
from course_utils.search.cluster.queue import SLOT
from course_utils.search.cluster.storage import VARIABLE
from tests.search import slow
from tests.search.queue import TRIALS, check_nothing_is_lost_or_doubled, complete, running, wait_for
from tests.toys import toy_data

ROOT = Path(__file__).resolve().parents[3]


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
    with Worker(url, "asked", environment, crawls=5) as worker:
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
