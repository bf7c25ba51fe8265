from __future__ import annotations

import pytest

from course_utils.errors import CourseError, expect_error


def test_expect_error_prints_the_first_line(capsys):
    with expect_error(ValueError):
        raise CourseError("first line\nsecond line")
    assert capsys.readouterr().out == "CourseError: first line\n"


def test_expect_error_insists_on_the_error():
    with pytest.raises(AssertionError, match="Expected ValueError"), expect_error(ValueError):
        pass


def test_expect_error_lets_other_errors_through():
    with pytest.raises(KeyError), expect_error(ValueError):
        raise KeyError("another")
