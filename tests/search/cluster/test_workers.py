"""Workers as real processes: killed, stopped, without their storage; nothing is lost or doubled."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from optuna.trial import TrialState

from course_utils.search import Plan, SearchSpace, create_study, open_storage
from course_utils.search.cluster.storage import STORAGE_VARIABLE
from course_utils.search.study import QUEUE_POSITION
from tests.search.cluster.worker_process import GATE_VARIABLE, Worker
from tests.search.queue import TRIALS, check_nothing_is_lost_or_doubled, complete, running, wait_for
from tests.toys import toy_data


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    """The toy pictures as a data set that a worker can load by its name."""
    folder, data = tmp_path_factory.mktemp("data"), toy_data()
    parts = {"classes": np.array(data.train.classes)}
    for name, part in (("train", data.train), ("test", data.test)):
        parts[f"{name}_images"] = part.images[:, 0].numpy()
        parts[f"{name}_labels"] = part.labels.numpy().astype(np.uint8)
    np.savez(folder / "stripes.npz", **parts)
    return folder


@pytest.fixture
def plan() -> Plan:
    space = SearchSpace({"learning_rate": [0.003, 0.01, 0.03], "0.out_channels": range(2, 9)})
    network = "tests.search.cluster.worker_process:make"
    return Plan(space, trials=TRIALS, epochs=2, network=network, data="stripes")


@pytest.fixture
def gate(tmp_path):
    """The trainings of workers that are `behind` it wait until this file is there."""
    return tmp_path / "gate"


@pytest.fixture
def start(data_folder, tmp_path):
    """Start a worker."""
    numbers = itertools.count()

    def start(url, study, *, behind=None, **options) -> Worker:
        environment = {
            "COURSE_DATA_DIR": str(data_folder),
            STORAGE_VARIABLE: url,
            GATE_VARIABLE: str(behind or tmp_path),
        }
        return Worker(study, environment, tmp_path / f"worker{next(numbers)}", **options)

    return start


def test_a_killed_workers_trial_is_done_by_another(url, plan, start, gate):
    study = create_study(plan, "killed", open_storage(url))
    with start(url, "killed", behind=gate) as victim:
        wait_for(lambda: running(study))
        (caught,) = running(study)
        with start(url, "killed") as other:
            wait_for(lambda: complete(study))
            victim.kill()
            code, out, err = other.end()
    assert code == 0, err
    check_nothing_is_lost_or_doubled(study, failed=1)
    (failed,) = study.get_trials(states=(TrialState.FAIL,))
    assert failed.number == caught.number
    position = failed.user_attrs[QUEUE_POSITION]
    (again,) = (t for t in complete(study) if t.user_attrs[QUEUE_POSITION] == position)
    assert again.params == failed.params
    assert f"{TRIALS} trials done by this worker" in out


def test_two_workers_share_the_queue(plan, start, gate, new_database):
    study = create_study(plan, "shared", open_storage(new_database))
    # Neither is killed, and on a busy machine neither may look dead.
    one, other = (start(new_database, "shared", behind=gate, heartbeat=100) for _ in range(2))
    with one, other:
        wait_for(lambda: len(running(study)) == 2)
        gate.touch()
        ends = [one.end(), other.end()]
    assert [code for code, _, _ in ends] == [0, 0], ends
    check_nothing_is_lost_or_doubled(study, failed=0)


def test_a_worker_that_is_asked_to_end_puts_its_trial_back(plan, start, gate, new_database):
    study = create_study(plan, "asked", open_storage(new_database))
    with start(new_database, "asked", behind=gate) as worker:
        wait_for(lambda: running(study))
        worker.process.terminate()
        gate.touch()
        code, out, err = worker.end()
    assert code == 0 and "queued again" in out and not running(study), err
    with start(new_database, "asked") as worker:
        assert worker.end()[0] == 0
    check_nothing_is_lost_or_doubled(study, failed=1)


def test_a_storage_that_goes_away_is_said_and_the_study_goes_on(server, plan, start, gate):
    storage = open_storage(server.url)
    study = create_study(plan, "gone", storage)
    with start(server.url, "gone", behind=gate) as worker:
        wait_for(lambda: running(study))
        server.stop()
        try:
            gate.touch()
            code, _, err = worker.end()
        finally:
            server.start()
    assert code == 1 and "start the worker again" in err and "Traceback" not in err
    with start(server.url, "gone") as worker:
        assert worker.end()[0] == 0
    check_nothing_is_lost_or_doubled(study, failed=1)
