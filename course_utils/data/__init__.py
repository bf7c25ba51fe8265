"""Pictures and labels: load them, choose from them, augment them, hand them out in batches.

Used by every notebook.
"""

from __future__ import annotations

from course_utils.core.lazy import public_names

__all__ = public_names(
    __name__,
    {
        "augment": "Augment",
        "load": "cache_dir load_dataset load_photograph",
        "npz": "read_npz write_npz",
        "sets": "Batches DataError Dataset ImageSet part_of",
    },
)
