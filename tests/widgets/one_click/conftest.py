"""One-click labs on tiny networks, on one thread."""

from __future__ import annotations

import pytest

from course_utils.core.runtime import one_thread


@pytest.fixture(autouse=True)
def on_one_thread():
    with one_thread():
        yield
