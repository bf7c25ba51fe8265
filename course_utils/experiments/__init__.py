"""What takes minutes: one command each, whose results are stored and shown in a notebook.

Used by notebooks 01, 03.1 and 03.3.
"""

from __future__ import annotations

from course_utils.core.lazy import public_names

__all__ = public_names(
    __name__,
    {
        "first_cnn": "first_cnn_recipe",
        "results": "load_results save_results",
    },
)
