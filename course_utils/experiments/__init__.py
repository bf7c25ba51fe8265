"""Experiments that take minutes: one command each; notebooks show their stored results.

Used by notebooks 01, 02.2, 02.3, 03.1, 03.3, 04.1, 04.2 and 05.1 to 05.3.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(
    __name__,
    {
        "cost_summary": "course_tradeoffs",
        "first_cnn": "first_cnn_recipe",
        "five_trainings": "five_trainings",
        "gains_summary": "technique_gains",
        "ladder.climb": "climb Climbed Machine",
        "ladder.ladder_file": "Ladder load_ladder Row",
        "ladder.rungs": "Plan PLANS Rung rung_named rungs_of",
        "quantization_summary": (
            "quantization_accuracies quantization_speedups quantization_tradeoffs"
        ),
        "results": "load_results save_results",
        "small_resnet": "small_resnet_recipe",
    },
)
