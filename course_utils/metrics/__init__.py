"""How good a network is, how sure that is, and what it costs.

Used by notebooks 01 to 03.3.
"""

from __future__ import annotations

from course_utils.core.lazy import public_names

__all__ = public_names(
    __name__,
    {
        "compare": "compare_models",
        "compatibility": "check_model_fits",
        "evaluate": "evaluate Evaluation Interval wilson_interval",
        "intervals": "Estimate mean_interval median_interval",
    },
)
