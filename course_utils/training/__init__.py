"""Train a network: the loop, optimizers, schedules, initialisation, regularisation.

Used by notebooks 02.2 to 05.3.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(
    __name__,
    {
        "adversarial_training": "AdversarialTraining",
        "averaging": "AveragedWeights",
        "best_epoch": "BestEpoch",
        "class_weights": "balanced_weights WeightedCrossEntropy",
        "distillation": "Distillation distillation_loss FeatureDistillation soften",
        "early_stopping": "EarlyStopping MONITORED",
        "fit": "fit",
        "fit_detector": "fit_detector propose_all",
        "history": "Diverged History Step",
        "initialisation": "ACTIVATIONS SCHEMES initialise signal_spread SignalSpread",
        "learning_rate": "RatePlan RateRun rates_as_frame train_with",
        "optimizers": "build_optimizer COMPARED_OPTIMIZERS optimizer_code OPTIMIZERS",
        "precision": "as_precision PLAIN Precision",
        "probe": "fastest_precision step_seconds",
        "range_test": "KEPT range_test RangeTest",
        "regularisation": (
            "augmented DECAYING_OPTIMIZERS gaps_as_frame Regularisation RegularisationRun "
            "train_regularised"
        ),
        "resume": "all_done_message ResumableTraining",
        "schedules": "one_cycle Schedule schedule_curve SCHEDULES SHAPES",
        "surface": "descend Descent",
        "transfer": (
            "cross_validated features fine_tune for_network frozen last_linear linear_head "
            "neighbours parts_of with_head"
        ),
    },
)
