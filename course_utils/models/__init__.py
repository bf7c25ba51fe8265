"""The networks of the course, and their trained weights.

Used by every notebook.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(
    __name__,
    {
        "pretrained": "Card load_pretrained pretrained_card save_pretrained",
        "simple": "DenseBaseline SimpleCNN",
    },
)
