"""Fixtures that check an answer: `line`, `solved` and `rejected`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from course_utils import core
from course_utils.exercises import check


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The tensors are tiny: on a busy machine a second thread only makes the first one wait."""
    with core.one_thread():
        yield


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Callable[[str, Any], str]:
    """Return the one line that a check prints."""

    def printed(name: str, answer: Any) -> str:
        capsys.readouterr()
        assert check(name, answer) is None
        out, err = capsys.readouterr()
        assert err == ""
        assert out.endswith("\n")
        assert out.count("\n") == 1, f"{name}: more than one line: {out!r}"
        return out.rstrip("\n")

    return printed


@pytest.fixture
def solved(line: Callable[[str, Any], str]) -> Callable[..., None]:
    """Assert that answers to an exercise are right."""

    def assert_solved(name: str, *answers: Any) -> None:
        lines = [line(name, answer) for answer in answers]
        assert [said for said in lines if not said.startswith(f"✔ solved: {name}. ")] == []

    return assert_solved


@pytest.fixture
def rejected(line: Callable[[str, Any], str]) -> Callable[..., None]:
    """Assert that answers are wrong, and that each line contains the text beside its answer.

    The text is the edge case, or the numbers or the name by which a reader finds the mistake.
    """

    def assert_rejected(name: str, *cases: tuple[Any, str]) -> None:
        wrong = []
        for number, (answer, edge) in enumerate(cases, start=1):
            said = line(name, answer)
            if not said.startswith("✘ ") or edge not in said:
                wrong.append(f"{name}, answer {number}: {edge!r} is not in {said!r}")
        assert wrong == []

    return assert_rejected
