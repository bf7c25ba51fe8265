"""Checks, hints and worked solutions of the notebooks' exercises.

    from course_utils.exercises import check, hint, solution

    check("02_1.output_size", output_size)   # one line: solved, not solved yet, or what is wrong
    hint("02_1.output_size")                 # the next hint at every call
    solution("02_1.output_size")             # source of a worked solution

One module per notebook; importing it registers its exercises.
"""

from __future__ import annotations

from course_utils.exercises import ch00, ch01, ch02_1, ch02_2, ch02_3, ch03_1, ch03_2, ch03_3
from course_utils.exercises.base import Exercise, cell, check, find, hint, names, solution, stub

__all__ = ["Exercise", "cell", "check", "find", "hint", "names", "solution", "stub"]

_CHAPTERS = (ch00, ch01, ch02_1, ch02_2, ch02_3, ch03_1, ch03_2, ch03_3)
