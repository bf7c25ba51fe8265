"""What a check says: `line(name, answer)` and `rejected(name, answer, edge)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from course_utils.core import runtime as devices
from course_utils.exercises import check


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The tensors are tiny: on a busy machine a second thread only makes the first one wait."""
    with devices.one_thread():
        yield


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Callable[[str, Any], str]:
    def printed(name: str, answer: Any) -> str:
        capsys.readouterr()
        assert check(name, answer) is None
        out, err = capsys.readouterr()
        assert err == ""
        assert out.endswith("\n")
        assert out.count("\n") == 1, f"more than one line: {out!r}"
        return out.rstrip("\n")

    return printed


@pytest.fixture
def rejected(line: Callable[[str, Any], str]) -> Callable[[str, Any, str], None]:
    """Assert that an answer is wrong, and that the line names the edge case."""

    def assert_rejected(name: str, answer: Any, edge: str) -> None:
        said = line(name, answer)
        assert said.startswith("✘ "), said
        assert edge in said

    return assert_rejected
