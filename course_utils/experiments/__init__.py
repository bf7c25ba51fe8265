"""What takes minutes: one command each, whose results are stored and shown in a notebook.

Used by notebooks 03.1 and 03.3.
"""

from __future__ import annotations

from course_utils.core.lazy import public_names

__all__ = public_names(
    __name__,
    {
        "results": "load_results",
    },
)
