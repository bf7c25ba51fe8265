"""The base of the errors whose text is written for the reader of the course."""

from __future__ import annotations


class CourseError(ValueError):
    """Something that the reader can put right.

    Its text is one or two sentences: what is wrong, with the numbers, and what to do. Panels and
    exercises show it as it is.
    """
