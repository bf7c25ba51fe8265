from __future__ import annotations

import numpy as np
import pytest

from course_utils.core.errors import CourseError, expect_error, whole_number


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


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_a_whole_number_comes_back_as_pythons_own(value):
    number = whole_number("steps", value, 3, 3)
    assert number == 3 and type(number) is int


@pytest.mark.parametrize("value", [2, 6, 3.0, True, None, "3", float("nan")])
def test_what_is_no_whole_number_of_the_range_is_said(value):
    with pytest.raises(CourseError, match=r"steps=.*: give a whole number from 3 to 5\."):
        whole_number("steps", value, 3, 5)
    with pytest.raises(CourseError, match=r"steps=1: give a whole number from 3 up\."):
        whole_number("steps", 1, 3)
