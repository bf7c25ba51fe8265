"""Evaluate a classifier: loss, and accuracy with its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.core import CourseError, device_of, evaluation_mode, memory_in_words
from course_utils.data import Batches, ImageSet
from course_utils.metrics.intervals import Interval, wilson_interval


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        correct, total: Number of pictures whose label had the highest score, and of all.
        loss: Mean cross-entropy in nats.
        predictions: Class with the highest score, int64 (N,), on the CPU, in the set's order.
        labels: True classes, int64 (N,), on the CPU.
        logits: Scores of the model, float32 (N, classes), on the CPU.
    """

    correct: int
    total: int
    loss: float
    predictions: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    logits: Tensor = field(repr=False)

    @property
    def accuracy(self) -> float:
        """Share of pictures that were classified correctly, in [0, 1]."""
        return self.correct / self.total

    @property
    def right(self) -> Tensor:
        """True for each picture that was classified correctly, bool (N,)."""
        return self.predictions == self.labels

    @property
    def probabilities(self) -> Tensor:
        """Softmax of the logits, float32 (N, classes)."""
        return self.logits.softmax(1)

    @property
    def losses(self) -> Tensor:
        """Cross-entropy of each picture in nats, float32 (N,)."""
        return F.cross_entropy(self.logits, self.labels, reduction="none")

    def interval(self, confidence: float = 0.95) -> Interval:
        """Return Wilson's interval for the accuracy, see `wilson_interval`."""
        return wilson_interval(self.correct, self.total, confidence)

    def __str__(self) -> str:
        return f"{self.accuracy:.1%} of {self.total:,} (95 % interval {self.interval()})"


@memory_in_words("make batch_size smaller")
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
    """Show every picture of `image_set` to `model` once, and count the right answers.

    It runs in eval mode and without gradients; the model does not change.

    Args:
        model: Takes float32 (N, C, H, W), returns logits (N, classes).
        image_set: Such as `dataset.test`.
        mean, std: Of each channel of the *training* pictures, (C,), to normalise with.
        batch_size: Pictures at a time; changes memory and speed, not the result (except rounding).
        device: Device of the pictures; None for the device of the model's first parameter.
        on_batch: Called before each batch; an exception in it ends the evaluation.

    Raises:
        OutOfMemory: If there is not enough memory.
        CourseError: If there is no picture, or the model does not return logits (N, classes).
    """
    total = len(image_set)
    if not total:
        raise CourseError("There is no picture to evaluate on: give a set with at least one.")
    device = torch.device(device) if device is not None else device_of(model)
    batches = Batches(image_set, batch_size, mean=mean, std=std, device=device)
    loss = torch.zeros((), device=device)
    scores: list[Tensor] = []
    with evaluation_mode(model), torch.no_grad():
        for images, labels in batches:
            if on_batch is not None:
                on_batch()
            logits = model(images)
            check_logits(logits, len(labels), len(image_set.classes))
            loss += F.cross_entropy(logits.float(), labels, reduction="sum")
            scores.append(logits.float())
    logits, labels = torch.cat(scores).cpu(), image_set.labels.cpu()
    answers = logits.argmax(1)
    correct = int((answers == labels).sum())
    mean_loss = loss.item() / total
    return Evaluation(correct, total, mean_loss, answers, labels, image_set.classes, logits)


def check_logits(logits: object, count: int, classes: int) -> None:
    """Raise a `CourseError` unless `logits` is a tensor (count, classes)."""
    if not isinstance(logits, Tensor):
        raise CourseError(
            f"The model returns a {type(logits).__name__}, but one tensor of logits "
            f"({count}, {classes}) is needed: let its forward return only that."
        )
    if logits.shape == (count, classes):
        return
    if logits.dim() == 2 and len(logits) == count:
        raise CourseError(
            f"The model returns {logits.shape[1]} scores for each picture, but there are {classes} "
            f"classes: give its last layer {classes} outputs."
        )
    raise CourseError(
        f"The model turns {count} pictures into a tensor {tuple(logits.shape)}, but one row of "
        f"{classes} scores for each picture is needed, ({count}, {classes}): flatten the output of "
        f"the last convolution and end with a linear layer with {classes} outputs."
    )
