"""Measure a network: how good it is, how certain that number is, cost, and what it sees.

Used by notebooks 01 to 05.3.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(
    __name__,
    {
        "adversarial": (
            "attack AttackLoss ATTACKS away_from check_epsilon climb fgsm pgd probabilities "
            "sign_noise towards"
        ),
        "calibration": "fit_temperature reliability Reliability",
        "class_report": "class_report ClassReport MEANS MEASURES",
        "compare": "Comparison compare_models",
        "compatibility": "check_kinds check_model_fits NO_GRADIENT",
        "confusion": "confusion Confusion Mistake",
        "curves": "Curve Curves precision_recall_curves roc_curves",
        "detection": ("average_precision box_iou COCO_IOU DetectionScores match match_all Matches"),
        "evaluate": "check_logits evaluate Evaluation",
        "grad_cam": "grad_cam",
        "groups": "group_accuracies",
        "imbalance": "thinned",
        "intervals": (
            "bootstrap_interval Estimate Interval mean_interval median_interval wilson_interval"
        ),
        "latency": "Latency measure_latency typical_ratio wait_for",
        "membership": "Membership membership_attack",
        "predict": "ClassProbability top_classes",
        "robustness": "attack_accuracies corrupt corruption_accuracies CORRUPTIONS STRENGTHS",
        "significance": (
            "McNemar mcnemar paired_bootstrap pictures_for_width pictures_to_compare "
            "seeds_to_compare"
        ),
        "views": "AveragedViews",
    },
)
