from __future__ import annotations

import pytest

from course_utils.errors import CourseError, expect_error


def test_expect_error_prints_the_first_line_of_other_errors(capsys):
    with expect_error(RuntimeError):
        raise RuntimeError("first line\nsecond line")
    assert capsys.readouterr().out == "RuntimeError: first line\n"


def test_expect_error_prints_the_whole_text_written_for_the_reader(capsys):
    with expect_error(ValueError):
        raise CourseError("first line\nsecond line")
    assert capsys.readouterr().out == "CourseError: first line\nsecond line\n"


def test_expect_error_bears_an_error_without_text(capsys):
    with expect_error(RuntimeError):
        raise RuntimeError
    assert capsys.readouterr().out == "RuntimeError: \n"


def test_expect_error_insists_on_the_error():
    with pytest.raises(AssertionError, match="Expected ValueError"), expect_error(ValueError):
        pass


def test_expect_error_lets_other_errors_through():
    with pytest.raises(KeyError), expect_error(ValueError):
        raise KeyError("another")
