"""Networks, their trained weights, and the pictures that they take.

Used by every notebook.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(
    __name__,
    {
        "card": "Card CourseCard",
        "cells": "cell_detector_card CellCard load_cell_detector save_cell_detector",
        "detection_loss": "DetectionLoss detection_loss detector_loss",
        "detector": "Detections Detector Lite0Backbone Proposals SmallBackbone",
        "efficientnet_lite": "EfficientNetLite0 MBConv",
        "fold": "fold_batch_norm",
        "pyramid": "FeaturePyramid",
        "pretrained": "card_of load_pretrained pretrained_card save_pretrained",
        "residual": "ResidualBlock SmallResNet",
        "simple": "AveragingCNN DenseBaseline SimpleCNN",
        "staged": "StagedCNN whitening_kernels",
    },
)
