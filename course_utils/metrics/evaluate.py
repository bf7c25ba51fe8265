"""How good a classifier is, and how sure that is.

`evaluate` shows every picture of a set to a model once; the result knows the accuracy, its interval
and the accuracy of each class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.core import CourseError, device_of, evaluation_mode
from course_utils.data import Batches, ImageSet


class Interval(NamedTuple):
    """From `low` to `high`, both in [0, 1]."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.1%} to {self.high:.1%}"


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of pictures whose highest score is that of their label.

    Args:
        logits: Scores (N, classes); probabilities serve as well.
        labels: Right classes, int64 (N,).

    Raises:
        CourseError: If the shapes do not go together, or there is no picture.
    """
    if logits.dim() != 2 or labels.shape != logits.shape[:1]:
        raise CourseError(
            f"accuracy takes scores (N, classes) and labels (N,), not {tuple(logits.shape)} "
            f"and {tuple(labels.shape)}."
        )
    if not len(labels):
        raise CourseError("The accuracy on no picture at all is not defined: give at least one.")
    return (logits.argmax(1) == labels).sum().item() / len(labels)


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> Interval:
    """Where the true accuracy may well lie when `correct` of `total` pictures are right.

    The score interval of Wilson (1927), "Probable inference, the law of succession, and statistical
    inference": all p that lie within z standard errors √(p(1 − p)/n) of the measured share. Unlike
    p̂ ± z·√(p̂(1 − p̂)/n) it stays in [0, 1] and has a width even where all pictures are right.

    Raises:
        CourseError: If not 0 <= correct <= total, total is 0, or `confidence` is not in (0, 1).
    """
    if total < 1 or not 0 <= correct <= total:
        raise CourseError(
            f"{correct} right of {total} cannot be: give 0 <= correct <= total and total >= 1."
        )
    if not 0 < confidence < 1:
        raise CourseError(f"confidence={confidence} is not between 0 and 1: 0.95 is usual.")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + (z / total) ** 2 / 4)
    # At the ends the bound is exactly 0 or 1; without this, rounding may leave 1e-17 of the other.
    low = 0.0 if correct == 0 else max(0.0, min(centre - half, share))
    high = 1.0 if correct == total else min(1.0, max(centre + half, share))
    return Interval(low, high)


class ClassAccuracy(NamedTuple):
    """One class: `correct` of its `total` pictures were recognised (its recall)."""

    name: str
    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        """Share in [0, 1]; nan if the set has no picture of this class."""
        return self.correct / self.total if self.total else math.nan

    def interval(self, confidence: float = 0.95) -> Interval:
        """Wilson's interval of the accuracy, see `wilson_interval`."""
        return wilson_interval(self.correct, self.total, confidence)


@dataclass(frozen=True)
class Evaluation:
    """What came out when a model saw each picture of a set once.

    Attributes:
        correct: Pictures whose highest score was that of their label.
        total: Pictures in all.
        loss: Mean cross-entropy in nats.
        predictions: Class with the highest score, int64 (N,), on the CPU, in the set's order.
        labels: Right classes, int64 (N,), on the CPU.
        classes: Names of the classes.
    """

    correct: int
    total: int
    loss: float
    predictions: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)

    @property
    def accuracy(self) -> float:
        """Share of right answers, in [0, 1]."""
        return self.correct / self.total

    def interval(self, confidence: float = 0.95) -> Interval:
        """Wilson's interval of the accuracy, see `wilson_interval`."""
        return wilson_interval(self.correct, self.total, confidence)

    def per_class(self) -> list[ClassAccuracy]:
        """Accuracy of each class, in the order of `classes`."""
        count = len(self.classes)
        totals = torch.bincount(self.labels, minlength=count)
        right = torch.bincount(self.labels[self.predictions == self.labels], minlength=count)
        return [
            ClassAccuracy(name, int(r), int(t))
            for name, r, t in zip(self.classes, right, totals, strict=True)
        ]

    def __str__(self) -> str:
        return f"{self.accuracy:.1%} of {self.total:,} (95 % interval {self.interval()})"


def evaluate(
    model: nn.Module,
    image_set: ImageSet,
    *,
    mean: Tensor,
    std: Tensor,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    on_batch: Callable[[], None] | None = None,
) -> Evaluation:
    """Show every picture of `image_set` to `model` once, without learning from it.

    Runs in eval mode and without gradients, and leaves the model as it was.

    Args:
        model: Takes float32 (N, C, H, W), gives logits (N, classes).
        image_set: Pictures and labels, such as `dataset.test`.
        mean: Of each channel, to normalise with: that of the *training* pictures, (C,).
        std: Likewise.
        batch_size: Pictures at a time; changes memory and speed, not the result (beyond rounding).
        device: Where the pictures are sent; None: where the model's first parameter is.
        on_batch: Called before each batch; what it raises ends the evaluation.

    Raises:
        CourseError: If there is no picture, or the model gives no logits (N, classes).
    """
    total = len(image_set)
    if not total:
        raise CourseError("There is no picture to evaluate on: give a set with at least one.")
    device = torch.device(device) if device is not None else device_of(model)
    batches = Batches(image_set, batch_size, mean=mean, std=std, device=device)
    loss = torch.zeros((), device=device)
    predictions: list[Tensor] = []
    with evaluation_mode(model), torch.no_grad():
        for images, labels in batches:
            if on_batch is not None:
                on_batch()
            logits = model(images)
            check_logits(logits, len(labels), len(image_set.classes))
            loss += F.cross_entropy(logits.float(), labels, reduction="sum")
            predictions.append(logits.argmax(1))
    answers = torch.cat(predictions).cpu()
    labels = image_set.labels.cpu()
    return Evaluation(
        correct=int((answers == labels).sum()),
        total=total,
        loss=loss.item() / total,
        predictions=answers,
        labels=labels,
        classes=image_set.classes,
    )


def check_logits(logits: object, count: int, classes: int) -> None:
    """Raise a `CourseError` unless `logits` is a tensor (count, classes)."""
    if not isinstance(logits, Tensor):
        raise CourseError(
            f"The model gives a {type(logits).__name__}, but one tensor of logits "
            f"({count}, {classes}) is needed: let its forward return only that."
        )
    if logits.shape == (count, classes):
        return
    if logits.dim() == 2 and len(logits) == count:
        raise CourseError(
            f"The model gives {logits.shape[1]} scores for each picture, but there are {classes} "
            f"classes: give its last layer {classes} outputs."
        )
    raise CourseError(
        f"The model turns {count} pictures into a tensor {tuple(logits.shape)}, but one row of "
        f"{classes} scores for each picture is needed, ({count}, {classes}): flatten what the "
        f"last convolution gives and end with a linear layer with {classes} outputs."
    )
