"""Membership inference: does a network's answer tell whether it was trained on a picture?

Shokri et al. 2017, "Membership inference attacks against machine learning models". The attack here
is the plainest one, by Yeom et al. 2018, "Privacy risk in machine learning: analyzing the
connection to overfitting": a picture whose loss is small was probably in the training set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from course_utils.core import CourseError
from course_utils.metrics.labelled import as_numbers


@dataclass(frozen=True)
class Membership:
    """The result of `membership_attack`.

    Attributes:
        threshold: Mean loss of the training pictures; the attack takes a picture with at most this
            loss for one of them.
        found: Share of the training pictures that the attack recognises, in [0, 1].
        false_alarms: Share of the other pictures that it takes for training pictures, in [0, 1].
        auc: Probability that a training picture has a smaller loss than another picture; 0.5 if the
            losses say nothing.
    """

    threshold: float
    found: float
    false_alarms: float
    auc: float

    @property
    def advantage(self) -> float:
        """Return `found` - `false_alarms`: 0 if the attack is a guess, 1 if it is always right."""
        return self.found - self.false_alarms

    def __str__(self) -> str:
        return (
            f"the attack recognises {self.found:.0%} of the training pictures, with "
            f"{self.false_alarms:.0%} false alarms: advantage {self.advantage:.0%}"
        )


def membership_attack(training: Any, others: Any) -> Membership:
    """Return how well the losses tell the training pictures of a network from others.

    >>> print(membership_attack([0.1, 0.2, 0.0, 0.1], [0.1, 0.9, 0.5, 0.3]))
    the attack recognises 75% of the training pictures, with 25% false alarms: advantage 50%

    Args:
        training: Losses of pictures that the network was trained on, such as `Evaluation.losses`.
        others: Losses of pictures of the same kind that it never saw.

    Raises:
        CourseError: If one of the two is empty, or a loss is not finite.
    """
    from sklearn.metrics import roc_auc_score

    seen, unseen = _losses(training, "training"), _losses(others, "others")
    threshold = float(seen.mean())
    membership = np.repeat([1, 0], [len(seen), len(unseen)])
    auc = float(roc_auc_score(membership, -np.concatenate([seen, unseen])))
    shares = (float((one <= threshold).mean()) for one in (seen, unseen))
    return Membership(threshold, *shares, auc)


def _losses(values: Any, what: str) -> np.ndarray:
    found = as_numbers(values, what)
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iuf":
        raise CourseError(
            f"{what} must be losses (N,), at least one, not {found.dtype} of shape {found.shape}: "
            "evaluate(...).losses returns them."
        )
    if not np.isfinite(found).all():
        raise CourseError(f"{what} has losses that are not finite: look for NaN in the network.")
    return found.astype(np.float64)
