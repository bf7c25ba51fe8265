"""Settings and toys that all tests of `course_utils.search` share."""

from __future__ import annotations

import pytest
from optuna.distributions import FloatDistribution

from course_utils.core import runtime as devices
from course_utils.search import Plan, SearchSpace
from tests.search.postgres import Server, why_not
from tests.toys import toy_data


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """On pictures this small a second thread only costs time."""
    with devices.one_thread():
        yield


@pytest.fixture(scope="session")
def data():
    """Enough pictures for a schedule to rise and fall in two epochs."""
    return toy_data(train=300)


@pytest.fixture
def space() -> SearchSpace:
    return SearchSpace(
        {
            "learning_rate": FloatDistribution(1e-3, 1e-1, log=True),
            "0.out_channels": range(2, 9),
            "0.kernel_size": [1, 3, 5],
        }
    )


@pytest.fixture
def plan(space) -> Plan:
    return Plan(space, trials=4, epochs=1)


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
