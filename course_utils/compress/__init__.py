"""Make a trained network smaller and faster: pruning, quantization, export.

Used by notebook 04.1.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(
    __name__,
    {
        "export": "ExportError OnnxNetwork run_onnx to_onnx",
        "masks": "has_masks mask_by_magnitude remove_masks require_no_masks sparsity",
    },
)
