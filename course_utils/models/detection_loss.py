"""The loss of a detector: which place is responsible for which box, and how wrong it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.core import CourseError
from course_utils.models.detector import Detector, Places, flatten

REACH = 4
"""Each level takes boxes up to so many strides; the coarsest level takes all larger ones."""

RADIUS = 1.5
"""Only places so near to the middle of a box are responsible for it, in strides."""


class DetectionLoss(NamedTuple):
    """The parts of the loss, each for one responsible place.

    Attributes:
        scores: Focal loss of the classes (Lin et al. 2017, "Focal loss for dense object
            detection").
        boxes: 1 − GIoU of the boxes (Rezatofighi et al. 2019, "Generalized intersection over
            union").
        centreness: Cross-entropy of the centreness.
    """

    scores: Tensor
    boxes: Tensor
    centreness: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum, which training makes smaller."""
        return self.scores + self.boxes + self.centreness


def detection_loss(
    outputs: Sequence[Tensor], targets: Tensor, strides: Sequence[int]
) -> DetectionLoss:
    """Return the loss of a batch.

    Args:
        outputs: As `Detector.forward` returns them.
        targets: Boxes and classes as `BoxSet.targets` returns them: (N, M, 5).
        strides: Of the levels.
    """
    from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

    places, flat = Places.of(outputs, strides), flatten(outputs)
    classes = flat.shape[2] - 5
    if targets.dim() != 3 or targets.shape[::2] != (len(flat), 5):
        raise CourseError(
            f"targets must have the shape ({len(flat)}, boxes, 5), not {tuple(targets.shape)}."
        )
    if len(targets) and targets.shape[1] and targets[..., 0].max() >= classes:
        raise CourseError(
            f"A box has the label {int(targets[..., 0].max())}, but the detector has {classes} "
            f"classes, 0 to {classes - 1}."
        )
    chosen = responsible(places, targets)
    picture, place = (chosen >= 0).nonzero(as_tuple=True)
    right = targets[picture, chosen[picture, place]]
    labels, wanted = right[:, 0].long(), right[:, 1:]
    count = max(1, len(labels))
    truth = torch.zeros_like(flat[..., :classes])
    truth[picture, place, labels] = 1
    scores = sigmoid_focal_loss(flat[..., :classes], truth, reduction="sum") / count
    centred = centreness(places.centres[place], wanted)
    found = places.boxes(flat[..., classes : classes + 4])[picture, place]
    # A place near the edge of an object knows less about the other edge, so it counts less.
    boxes = (generalized_box_iou_loss(found, wanted) * centred).sum() / centred.sum().clamp(min=1)
    logits = flat[picture, place, classes + 4]
    centre = F.binary_cross_entropy_with_logits(logits, centred, reduction="sum") / count
    return DetectionLoss(scores, boxes, centre)


def detector_loss(model: Detector, images: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of a detector on a batch of normalised pictures: one number."""
    return detection_loss(model(images), targets, model.strides).total


def responsible(places: Places, targets: Tensor) -> Tensor:
    """Return for each place the number of the box that it should find; −1 for background.

    A place is responsible for a box if its level takes boxes of this size (`REACH`), and it is in
    the box and near to its middle (`RADIUS`). The place nearest to the middle is responsible
    however small the box is. Of several boxes the smallest counts.

    Args:
        targets: (N, M, 5).

    Returns:
        int64 (N, P).
    """
    labels, boxes = targets[..., 0], targets[..., 1:]
    if not targets.shape[1]:
        return torch.full((len(targets), len(places.levels)), -1, device=targets.device)
    sizes = boxes[..., 2:] - boxes[..., :2]
    middles = (boxes[..., 2:] + boxes[..., :2]) / 2
    longest = sizes.amax(-1)[:, None]  # (N, 1, M)
    strides, levels = places.strides[:, None], places.levels[:, None]
    fits = (longest > REACH / 2 * strides) | (levels == 0)
    fits &= (longest <= REACH * strides) | (levels == places.levels.max())
    away = (places.centres[:, None] - middles[:, None]).abs()  # (N, P, M, 2)
    reach = torch.minimum(sizes[:, None] / 2, RADIUS * strides[..., None])
    near = (away <= reach.clamp(min=strides[..., None] / 2)).all(-1)
    area = sizes.prod(-1)[:, None].where(fits & near & (labels >= 0)[:, None], torch.inf)
    smallest, chosen = area.min(-1)
    return chosen.where(smallest.isfinite(), -1)


def centreness(centres: Tensor, boxes: Tensor) -> Tensor:
    """Return 1 for a place in the middle of its box, 0 at its edge or outside (Tian et al. 2019).

    It is √(min(l, r) / max(l, r) · min(t, b) / max(t, b)) with the distances to the four sides.

    Args:
        centres: (K, 2).
        boxes: (K, 4).
    """
    near = torch.minimum(centres - boxes[:, :2], boxes[:, 2:] - centres).clamp(min=0)
    far = torch.maximum(centres - boxes[:, :2], boxes[:, 2:] - centres)
    return (near / far).prod(1).sqrt()
