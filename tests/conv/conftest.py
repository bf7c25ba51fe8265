"""Settings that all tests of `course_utils.conv` share."""

from __future__ import annotations

import pytest

from course_utils.core import runtime as devices


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """On pictures this small a second thread only costs time."""
    with devices.one_thread():
        yield
