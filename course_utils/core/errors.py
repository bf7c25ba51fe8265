"""Errors whose text is written for the reader of the course."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any


class CourseError(ValueError):
    """A mistake that the reader can correct.

    Its text is one or two sentences: what is wrong, with the numbers, and what to do. Panels and
    exercises show this text unchanged.
    """


def whole_number(
    name: str,
    value: Any,
    lowest: int,
    highest: int | None = None,
    error: type[CourseError] = CourseError,
) -> int:
    """Return `value` as an `int` if it is a whole number from `lowest` to `highest`.

    NumPy's integers are whole numbers; True and False are not.

    Args:
        name: What the error's text calls the value.
        error: The class of the error.

    Raises:
        CourseError: If it is not such a number.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < lowest or (highest is not None and value > highest):
        until = "up" if highest is None else f"to {highest}"
        raise error(f"{name}={value!r}: give a whole number from {lowest} {until}.")
    return int(value)


def is_number(value: Any) -> bool:
    """Return whether `value` is a real number of Python or NumPy; True and False are not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def error_line(error: BaseException) -> str:
    """Return an error in one line: 'ZeroDivisionError: division by zero'.

    An `assert` without a message says what it checked: 'AssertionError: assert height % 16 == 0'.
    """
    text = str(error).strip().splitlines()
    frames = traceback.extract_tb(error.__traceback__)
    if not text and frames and (frames[-1].line or "").startswith("assert "):
        text = [frames[-1].line]
    return ": ".join([type(error).__name__, *text[:1]])


@contextlib.contextmanager
def expect_error(kind: type[BaseException]) -> Iterator[None]:
    """Run code that is meant to fail, and print its error instead of a traceback.

    Notebooks show each faulty snippet of the article this way: run it, read Python's message, then
    correct it. The whole text of a `CourseError` is printed, of other errors the first line.

    Raises:
        AssertionError: If the code runs without an error, because then the text around it is wrong.
    """
    try:
        yield
    except kind as error:
        lines = str(error).strip().splitlines() or [""]
        shown = lines if isinstance(error, CourseError) else lines[:1]
        print(f"{type(error).__name__}: " + "\n".join(shown))
    else:
        raise AssertionError(f"Expected {kind.__name__}, but the code ran without an error.")
