"""Make a trained network smaller and faster: pruning, quantization, export.

Used by notebooks 04.1 and 05.3.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(
    __name__,
    {
        "criteria": "CRITERIA importance_of",
        "export": "ExportError OnnxNetwork run_onnx to_onnx",
        "fake_quantization": "fake_quantize straight_through",
        "gradual": "multiply_adds prune_gradually prune_to_cost share_for_cost",
        "masks": "has_masks mask_by_magnitude remove_masks require_no_masks sparsity",
        "pruning": "NothingToRemove plan_widths prune PruningReport",
        "quantization": "layer_errors quantize Quantized relative_error round_weights",
        "recalibration": "recalibrate",
        "saturation": "saturating_product without_vnni",
        "sensitivity": "Cut Sensitivity sensitivity",
        "static_int8": "has_vnni onnx_int8 pt2e_int8",
    },
)
