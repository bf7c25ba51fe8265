"""Weights of the classes in the loss, for training pictures of which some classes have few.

>>> from course_utils.data import load_dataset
>>> from course_utils.models import SimpleCNN
>>> data = load_dataset("fashion-mnist")
>>> loss = WeightedCrossEntropy(balanced_weights(data.train))
>>> history = fit(SimpleCNN(), data, loss=loss)  # doctest: +SKIP
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from course_utils.core import CourseError, is_number
from course_utils.data import ImageSet


def balanced_weights(pictures: ImageSet, *, strength: float = 1.0) -> tuple[float, ...]:
    """Return a weight for each class, so that all classes together count the same in the loss.

    The weight of a class is N / (K · n) with N pictures, K classes and n pictures of the class, as
    scikit-learn's "balanced". A class with a tenth of the pictures of another has ten times its
    weight; the mean over the pictures is 1.

    Args:
        pictures: The training pictures.
        strength: From 0 (each class has the weight 1) to 1; 0.5 takes the square root of the ratio.

    Raises:
        CourseError: If a class has no picture, or `strength` is not from 0 to 1.
    """
    if not is_number(strength) or not 0 <= strength <= 1:
        raise CourseError(f"strength={strength!r}: give a number from 0 to 1.")
    counts = pictures.labels.bincount(minlength=len(pictures.classes)).tolist()
    pairs = zip(pictures.classes, counts, strict=True)
    if missing := [name for name, count in pairs if not count]:
        raise CourseError(
            f"There is no training picture of {', '.join(map(repr, missing))}: no weight can "
            "replace pictures, so add some, or leave the class out."
        )
    raw = [count**-strength for count in counts]
    mean = sum(n * w for n, w in zip(counts, raw, strict=True)) / sum(counts)
    return tuple(weight / mean for weight in raw)


@dataclass(frozen=True)
class WeightedCrossEntropy:
    """Cross-entropy in which each class has a weight, for `fit(loss=...)`.

    The loss of a batch is the sum of weight · cross-entropy over its pictures, divided by their
    number. `torch.nn.CrossEntropyLoss(weight=...)` divides by the sum of their weights instead:
    then the same picture counts more in a batch without rare classes, and a training with several
    processes differs from one with a single process.

    Args:
        weights: One for each class, such as `balanced_weights(data.train)`.
        label_smoothing: As in `fit`, which does not take it together with a loss.

    Raises:
        CourseError: If a weight is negative or not finite, or all are 0.
    """

    weights: tuple[float, ...]
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        given = self.weights.tolist() if hasattr(self.weights, "tolist") else self.weights
        good = isinstance(given, (tuple, list)) and all(map(is_number, given)) and len(given) > 1
        if not good or not all(0 <= w < math.inf for w in given) or not any(given):
            raise CourseError(
                f"weights={given!r}: give a number from 0 up for each class, at least one above 0; "
                "balanced_weights(data.train) returns such weights."
            )
        if not is_number(self.label_smoothing) or not 0 <= self.label_smoothing < 1:
            raise CourseError(
                f"label_smoothing={self.label_smoothing!r}: give a share from 0 to below 1."
            )
        # Plain numbers: they identify the loss in a checkpoint.
        object.__setattr__(self, "weights", tuple(map(float, given)))

    def __call__(self, model: Any, images: Tensor, labels: Tensor) -> Tensor:
        logits = model(images)
        shape = tuple(getattr(logits, "shape", ()))
        if shape != (len(labels), len(self.weights)):
            raise CourseError(
                f"There are {len(self.weights)} weights and {len(labels)} pictures, but the "
                f"model's scores are of shape {shape}: give a weight for each class."
            )
        weights = logits.new_tensor(self.weights)[labels]
        smoothing = {"label_smoothing": self.label_smoothing}
        return (weights * F.cross_entropy(logits, labels, reduction="none", **smoothing)).mean()
