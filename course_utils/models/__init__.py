"""The networks of the course, and their trained weights.

Used by every notebook.
"""

from __future__ import annotations

from course_utils.core.lazy import public_names

__all__ = public_names(
    __name__,
    {
        "pretrained": "Card load_pretrained pretrained_card save_pretrained",
        "simple": "DenseBaseline SimpleCNN",
    },
)
