"""The base of the errors whose text is written for the reader of the course."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from numbers import Integral
from typing import Any


class CourseError(ValueError):
    """Something that the reader can put right.

    Its text is one or two sentences: what is wrong, with the numbers, and what to do. Panels and
    exercises show it as it is.
    """


def whole_number(
    name: str,
    value: Any,
    lowest: int,
    highest: int | None = None,
    error: type[CourseError] = CourseError,
) -> int:
    """`value`, if it is a whole number in the range; NumPy's are, truth values are none.

    Raises:
        CourseError: it is not, or the kind of it that `error` says; the text calls it `name`.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < lowest or (highest is not None and value > highest):
        until = "up" if highest is None else f"to {highest}"
        raise error(f"{name}={value!r}: give a whole number from {lowest} {until}.")
    return int(value)


@contextlib.contextmanager
def expect_error(kind: type[BaseException]) -> Iterator[None]:
    """Run code that is meant to fail, and print its error instead of a traceback.

    Notebooks show each fault of the article this way: run it, read what Python says, then mend it.
    Of other libraries' errors the first line is printed, of a `CourseError` all of them.

    Raises:
        AssertionError: the code ran through, so what the text around it says would not be true.
    """
    try:
        yield
    except kind as error:
        lines = str(error).strip().splitlines() or [""]
        shown = lines if isinstance(error, CourseError) else lines[:1]
        print(f"{type(error).__name__}: " + "\n".join(shown))
    else:
        raise AssertionError(f"Expected {kind.__name__}, but the code ran without an error.")
