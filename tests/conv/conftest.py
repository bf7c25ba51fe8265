"""Settings that all tests of `course_utils.conv` share."""

from __future__ import annotations

import pytest

from course_utils.devices import one_thread as one_thread_only


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """On pictures this small a second thread only costs time."""
    with one_thread_only():
        yield
