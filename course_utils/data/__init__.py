"""Pictures and labels: loading, choosing, augmenting, and batches for training.

Used by every notebook.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(
    __name__,
    {
        "augment": "Augment",
        "boxes": "BoxSet load_boxes read_boxes write_boxes",
        "folder": "labelled_pictures load_folder read_pictures resized split_for_test",
        "garment": "like_fashion_mnist",
        "load": "cache_dir load_dataset",
        "npz": "read_npz write_npz",
        "photographs": "load_photograph PHOTOGRAPHS",
        "scenes": "draw_scenes",
        "sets": "Batches DataError Dataset ImageSet part_of",
    },
)
