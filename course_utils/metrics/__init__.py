"""Measure a network: accuracy, how certain that number is, cost, and what it sees in a picture.

Used by notebooks 01 to 04.2.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(
    __name__,
    {
        "compare": "compare_models",
        "compatibility": "check_kinds check_model_fits NO_GRADIENT",
        "detection": ("average_precision box_iou COCO_IOU DetectionScores match match_all Matches"),
        "evaluate": "check_logits evaluate Evaluation",
        "intervals": "Estimate Interval mean_interval median_interval wilson_interval",
        "latency": "Latency measure_latency typical_ratio wait_for",
        "predict": "ClassProbability top_classes",
    },
)
