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
