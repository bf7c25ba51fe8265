from __future__ import annotations

import numpy as np
import pytest

from course_utils.core import CourseError, error_line, expect_error, whole_number


def test_expect_error_prints_the_first_line_or_the_whole_text_for_the_reader(capsys):
    for error in (RuntimeError("one\ntwo"), RuntimeError(), CourseError("one\ntwo")):
        with expect_error(type(error)):
            raise error
    assert capsys.readouterr().out == "RuntimeError: one\nRuntimeError: \nCourseError: one\ntwo\n"


def test_expect_error_needs_an_error_of_its_kind():
    with pytest.raises(AssertionError, match="ValueError"), expect_error(ValueError):
        pass
    with pytest.raises(KeyError), expect_error(ValueError):
        raise KeyError("another")


def test_a_whole_number_becomes_an_int():
    for value in (3, np.int64(3), np.uint8(3)):
        number = whole_number("steps", value, 3, 3)
        assert number == 3 and type(number) is int
    assert whole_number("steps", 10**9, 3) == 10**9


@pytest.mark.parametrize("value", [2, 6, 3.0, True, None, "3", float("nan")])
def test_other_values_are_refused_with_the_range(value):
    with pytest.raises(CourseError, match=r"steps=.* 3 to 5"):
        whole_number("steps", value, 3, 5)


def test_the_range_can_be_open_and_the_error_special():
    class OwnError(CourseError):
        pass

    with pytest.raises(OwnError, match=r"steps=1.* 3 up"):
        whole_number("steps", 1, 3, error=OwnError)


def test_an_error_in_one_line_says_what_an_assert_without_a_message_checked():
    size = 30
    for wrong, line in (
        (lambda: [][0], "IndexError: list index out of range"),
        (
            lambda: int("one\ntwo"),
            "ValueError: invalid literal for int() with base 10: 'one\\ntwo'",
        ),
        (lambda: next(iter(())), "StopIteration"),
    ):
        try:
            wrong()
        except Exception as error:
            assert error_line(error) == line
    try:
        assert size % 16 == 0
    except AssertionError as error:
        error.args = ()  # pytest writes a message
        assert error_line(error) == "AssertionError: assert size % 16 == 0"
