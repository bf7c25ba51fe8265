"""Settings for all tests of `course_utils.conv`."""

from __future__ import annotations

import pytest

from course_utils import core


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """Use one thread: with a second one, small pictures take longer."""
    with core.one_thread():
        yield
