"""Fixtures that all tests of `course_utils.search` share."""

from __future__ import annotations

import shutil

import pytest
from optuna.distributions import FloatDistribution

from course_utils.core import one_thread as with_one_thread
from course_utils.search import Plan, SearchSpace, open_storage
from tests.search.postgres import Server, why_not
from tests.toys import toy_data


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """With pictures this small a second thread only costs time."""
    with with_one_thread():
        yield


@pytest.fixture(scope="session")
def data():
    """Enough pictures for a schedule to rise and fall in two epochs."""
    return toy_data(train=300)


@pytest.fixture
def space() -> SearchSpace:
    rates = FloatDistribution(1e-3, 1e-1, log=True)
    layer = {"0.out_channels": range(2, 9), "0.kernel_size": [1, 3, 5]}
    return SearchSpace({"learning_rate": rates} | layer)


@pytest.fixture
def plan(space) -> Plan:
    return Plan(space, trials=4, epochs=1)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A SQLite file with Optuna's tables and no study; creating the tables takes a while."""
    path = tmp_path_factory.mktemp("storage") / "empty.db"
    open_storage(f"sqlite:///{path}").engine.dispose()
    return path


@pytest.fixture
def new_database(empty_database, tmp_path):
    """The address of a SQLite file without a study."""
    return f"sqlite:///{shutil.copy(empty_database, tmp_path / 'search.db')}"


@pytest.fixture(scope="package")
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
def url(request):
    """The address of each kind of storage."""
    if request.param == "sqlite":
        return request.getfixturevalue("new_database")
    return request.getfixturevalue("server").url
