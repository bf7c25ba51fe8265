"""Measure a detector: which boxes are right, precision and recall, average precision by size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from course_utils.core import CourseError, is_number

if TYPE_CHECKING:
    from course_utils.data import BoxSet

COCO_IOU = tuple(0.5 + 0.05 * step for step in range(10))
"""The IoU thresholds over which COCO takes the mean: 0.5, 0.55, ..., 0.95."""

_COCO_SMALL = 32
"""Below this side in pixels COCO calls an object small, above three times as much large."""


class Found(Protocol):
    """Boxes that a detector found in a picture, the surest first."""

    boxes: Tensor  # (K, 4)
    scores: Tensor  # (K,)
    labels: Tensor  # (K,)


def box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return intersection over union of each box with each other: (K, M) of (K, 4) and (M, 4).

    1 for equal boxes, 0 for boxes that do not touch, and 0 where both have no area.
    """
    # torchvision's returns NaN for two boxes without an area.
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    both = (high - low).clamp(min=0).prod(2)
    area, other = ((one[:, 2:] - one[:, :2]).prod(1) for one in (boxes, others))
    union = area[:, None] + other[None] - both
    return torch.where(union > 0, both / union.clamp(min=1e-12), 0.0)


@dataclass(frozen=True)
class Matches:
    """Marks of the found boxes that are right, and of the objects that were found.

    Attributes:
        right: True for each found box that matches an object: (K,).
        seen: True for each object that was found: (M,).
    """

    right: Tensor
    seen: Tensor

    @property
    def precision(self) -> float:
        """Share of the found boxes that are right; 1 if nothing was found."""
        return float(self.right.float().mean()) if len(self.right) else 1.0

    @property
    def recall(self) -> float:
        """Share of the objects that were found; 1 if there is none."""
        return float(self.seen.float().mean()) if len(self.seen) else 1.0


def match(found: Found, boxes: Tensor, labels: Tensor, overlap: float = 0.5) -> Matches:
    """Return which found boxes are right: each object counts once, for the surest box.

    A box matches the object of its class with the largest IoU, if that is at least `overlap` and
    no surer box has taken the object.

    Args:
        found: The surest first.
        boxes, labels: Of the objects: (M, 4), (M,).
    """
    right = torch.zeros(len(found.boxes), dtype=torch.bool)
    seen = torch.zeros(len(boxes), dtype=torch.bool)
    if not len(boxes):
        return Matches(right, seen)
    same = found.labels[:, None] == labels[None]
    iou = box_iou(found.boxes, boxes).where(same, -1.0).numpy().copy()
    for number, row in enumerate(iou):  # NumPy, because there may be thousands of boxes
        best = int(row.argmax())
        if row[best] >= overlap:
            right[number] = seen[best] = True
            iou[:, best] = -1  # taken
    return Matches(right, seen)


def match_all(found: Sequence[Found], truth: BoxSet, overlap: float = 0.5) -> Matches:
    """Return the matches of all pictures, one after the other."""
    _check_number(found, truth)
    each = [
        match(one, boxes, labels, overlap)
        for one, boxes, labels in zip(found, truth.boxes, truth.labels, strict=True)
    ]
    none = torch.zeros(0, dtype=torch.bool)
    return Matches(
        torch.cat([none, *(one.right for one in each)]),
        torch.cat([none, *(one.seen for one in each)]),
    )


@dataclass(frozen=True)
class DetectionScores:
    """Average precision (AP) from 0 to 1; NaN where there are no such objects.

    Attributes:
        mean: Over all classes.
        small, medium, large: Of the objects of one size, mean over the classes that have some.
        classes: Of each class.
    """

    mean: float
    small: float
    medium: float
    large: float
    classes: dict[str, float]


def average_precision(
    found: Sequence[Found],
    truth: BoxSet,
    *,
    iou: Sequence[float] = (0.5,),
    small: float = 16.0,
) -> DetectionScores:
    """Return the average precision of a detector, by class and by size of the objects.

    AP is the area under the curve of precision over recall, as the lowest accepted score falls.
    torchmetrics computes it by COCO's rules: of the boxes of a class in a picture at most 100, and
    precision at 101 values of recall (Lin et al. 2014, "Microsoft COCO").

    Args:
        found: For each picture of `truth`. Give boxes of low scores, too: they belong to the curve.
        iou: Least IoU of a right box; of several values the mean is taken, see `COCO_IOU`.
        small: An object is small if its area is below `small`² pixels, and large if it is above
            (3·`small`)². COCO's 32 pixels are meant for photographs of about 640×480.

    Raises:
        CourseError: If the number of pictures differs, or a number is outside its range.
    """
    from torchmetrics.detection import MeanAveragePrecision

    _check_number(found, truth)
    if not (is_number(small) and 0 < small < float("inf")):
        raise CourseError(f"small={small!r}: give a side in pixels above 0.")
    if not iou or not all(is_number(one) and 0 < one <= 1 for one in iou):
        raise CourseError(f"iou={iou!r}: give numbers above 0 and up to 1, such as (0.5,).")
    if not sum(map(len, truth.boxes)):
        raise CourseError("There is no box to find in these pictures, so there is no AP.")
    scale = _COCO_SMALL / small  # COCO's limits are fixed, so all boxes grow
    metric = MeanAveragePrecision(
        iou_thresholds=list(iou), extended_summary=True, backend="faster_coco_eval"
    )
    metric.warn_on_many_detections = False
    metric.update(
        [{"boxes": f.boxes * scale, "scores": f.scores, "labels": f.labels} for f in found],
        [
            {"boxes": boxes * scale, "labels": labels}
            for boxes, labels in zip(truth.boxes, truth.labels, strict=True)
        ],
    )
    # Axes: IoU, recall, class, size (all, small, medium, large), most boxes (1, 10, 100).
    precision = metric.compute()["precision"][..., -1]
    everywhere = {
        int(label)
        for part in ("detection", "groundtruth")
        for one in getattr(metric, f"{part}_labels")
        for label in one
    }
    by_class = {label: precision[:, :, k, 0] for k, label in enumerate(sorted(everywhere))}
    missing = precision.new_full((1,), -1)
    return DetectionScores(
        *(_mean(precision[..., size]) for size in range(4)),
        classes={
            name: _mean(by_class.get(label, missing)) for label, name in enumerate(truth.classes)
        },
    )


def _mean(precision: Tensor) -> float:
    """Return the mean; COCO writes −1 where a class has no objects."""
    there = precision[precision > -1]
    return float(there.mean()) if len(there) else float("nan")


def _check_number(found: Sequence[Any], truth: BoxSet) -> None:
    if len(found) != len(truth):
        raise CourseError(
            f"There are boxes for {len(found)} pictures, but the truth has {len(truth)}: give one "
            "for each, in the same order."
        )
