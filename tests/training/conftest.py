from __future__ import annotations

import pytest

from course_utils.core import one_thread
from course_utils.training.probe import forget


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


@pytest.fixture
def no_measurements():
    """Forget what was measured before the test and in it."""
    forget()
    yield
    forget()
