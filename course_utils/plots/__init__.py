"""The figures of the course: functions of results that return a `Figure` with its `alt` text.

Used by every notebook. No function shows or saves anything. The texts name what is drawn, not the
numbers that a training happened to end with, so that they are the same on every machine.

Matplotlib is slow to import, so it waits until the first figure: the names here are imported when
they are first used, and `canvas`, which the panels import at once, does without it.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(
    __name__,
    {
        "canvas": "ACCENT ACCENT_2 BLACK Canvas CLASS_COLOURS WHITE",
        "charts": "bars before_and_after heatmap lines",
        "detections": "detections",
        "diagrams": "effective_fields receptive_field_diagram",
        "evaluation": "class_curves confusion_matrix reliability_diagram",
        "figure": "Figure SMALL",
        "graph_layout": "Edge GraphLayout lay_out",
        "ladder_rows": "ladder_rows",
        "pictures": "feature_maps filters images picture_row",
        "rates": "descents losses_and_rates range_tests",
        "searches": "accuracy_and_cost best_so_far search_maps",
        "spreads": "distributions spreads",
        "techniques": "techniques",
        "tradeoffs": "front places tradeoffs",
        "training": "gaps layer_statistics learning_curves",
    },
    whole="canvas figure",
)
