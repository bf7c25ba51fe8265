"""Search over the convolutions of a network and over its training.

Used by notebook 03.3. `course_utils.search.cluster` has what only a search on many workers needs.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(
    __name__,
    {
        "budget": "Budget",
        "candidate": "reset_weights add_noise_to_copies ARTICLE build multiply_adds Settings",
        "cluster.storage": "open_storage StorageGone",
        "cluster.worker": "work",
        "improve": "improve StoppedEarly",
        "methods": "METHODS PRUNERS",
        "objective": "Objective",
        "plan": "Plan",
        "presets": "first_cnn_space PROVEN space_for",
        "rounds": "EPOCHS",
        "records": "Improvement layer_changes training_changes Tried",
        "recorded": "best_by_epochs study_from_records",
        "side_by_side": "SideBySide",
        "space": "SearchSpace",
        "study": (
            "best_so_far cost_of create_study importances open_study "
            "pareto_front plan_of trial_table"
        ),
    },
)
