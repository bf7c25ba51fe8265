"""The base of the errors whose text is written for the reader of the course."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class CourseError(ValueError):
    """Something that the reader can put right.

    Its text is one or two sentences: what is wrong, with the numbers, and what to do. Panels and
    exercises show it as it is.
    """


@contextlib.contextmanager
def expect_error(kind: type[BaseException]) -> Iterator[None]:
    """Run code that is meant to fail, and print the last line of its error instead of a traceback.

    Notebooks show each fault of the article this way: run it, read what Python says, then mend it.

    Raises:
        AssertionError: the code ran through, so what the text around it says would not be true.
    """
    try:
        yield
    except kind as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else ""
        print(f"{type(error).__name__}: {first_line}")
    else:
        raise AssertionError(f"Expected {kind.__name__}, but the code ran without an error.")
