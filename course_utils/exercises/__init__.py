"""Checks, hints and worked solutions of the exercises in all notebooks.

    from course_utils.exercises import check, hint, solution

    check("02_1.output_size", output_size)   # one line: solved, not solved yet, or what is wrong
    hint("02_1.output_size")                 # the next hint at each call
    solution("02_1.output_size")             # source of a worked solution

One module for each notebook, imported when one of its exercises is asked for. `02_1.output_size`
is in `ch02_1.py`: the worked solution `output_size`, and its check `_check_output_size` above it.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(__name__, {"base": "check Exercise find hint names solution"})
