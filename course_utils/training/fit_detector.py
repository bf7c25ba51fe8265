"""Train a detector with `fit`: its loss compares boxes, not labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from course_utils.core import CourseError, device_of, evaluation_mode
from course_utils.data import Dataset, ImageSet
from course_utils.models import Detector, Proposals, detection_loss
from course_utils.training.fit import fit
from course_utils.training.history import History
from course_utils.training.schedules import one_cycle

_AT_ONCE = 64  # pictures


def fit_detector(
    detector: Detector,
    data: Dataset,
    *,
    epochs: int = 3,
    flips: bool = True,
    batch_size: int = 16,
    learning_rate: float = 2e-3,
    **options: Any,
) -> History:
    """Train `detector`, in place, to find the objects of the training pictures; return the history.

    This is `fit` with the loss of a detector, AdamW with weight decay 0.05, and a one-cycle
    schedule (Smith and Topin 2019, "Super-convergence"). Of a backbone that is wholly frozen, the
    maps are computed once, before the training, because they never change.

    Args:
        data: As `load_boxes` returns it; its mean and deviation normalise the pictures.
        epochs: Passes over the training pictures; with `flips` each pass has four times as many.
        flips: Whether to show each picture mirrored and upside down, too.
        batch_size: Pictures in each step.
        learning_rate: The highest one of the schedule.
        options: Others of `fit`, such as `seed`, `stop`, `on_step`, `precision` and `progress`.

    Raises:
        CourseError: If the detector has another number of classes, a class has no training picture,
            or as `fit` raises it.
    """
    if detector.classes != len(data.classes):
        raise CourseError(
            f"The detector has {detector.classes} classes, {data.title} has {len(data.classes)}: "
            f"build it with classes={len(data.classes)}."
        )
    data.train.check_every_class()
    boxes = data.train.with_flips() if flips else data.train
    targets = boxes.targets()
    # The label of a picture is its number, with which the loss finds its boxes.
    numbers = torch.arange(len(boxes))
    numbered = ImageSet(boxes.images, numbers, tuple(map(str, range(len(boxes)))))
    pictures = Dataset(data.name, data.title, numbered, numbered.subset([]), numbered.subset([]))
    frozen = not any(weight.requires_grad for weight in detector.backbone.parameters())
    if frozen:
        # The choice of a precision would measure the backbone, which does not run any more.
        options.setdefault("precision", "float32")
        maps = backbone_maps(
            detector, data.normalise, boxes.images, progress=options.get("progress", True)
        )

    def loss(model: Detector, images: Tensor, numbers: Tensor) -> Tensor:
        where = numbers.cpu()
        if frozen:
            outputs = model.read([level[where].to(images.device) for level in maps])
        else:
            outputs = model(images)
        return detection_loss(outputs, targets[where].to(images.device), model.strides).total

    settings = {
        "optimizer": partial(torch.optim.AdamW, weight_decay=0.05),
        "learning_rate": learning_rate,
        "scheduler": partial(one_cycle, peak=learning_rate),
    }
    return fit(
        detector, pictures, epochs=epochs, batch_size=batch_size, loss=loss, **settings | options
    )


@torch.no_grad()
def backbone_maps(
    detector: Detector,
    normalise: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    progress: bool = True,
) -> list[Tensor]:
    """Return the maps of the backbone for uint8 pictures (N, C, height, width), on the CPU.

    Args:
        normalise: Makes pictures what the detector takes, such as `Dataset.normalise`.
        progress: Show a progress bar.

    Returns:
        For each level (N, channels, H, W).
    """
    from tqdm.auto import tqdm

    device = device_of(detector)
    with evaluation_mode(detector):
        parts = [
            [level.cpu() for level in detector.backbone(normalise(part).to(device))]
            for part in tqdm(images.split(_AT_ONCE), desc="backbone", disable=not progress)
        ]
    return [torch.cat(level) for level in zip(*parts, strict=True)]


@torch.no_grad()
def propose_all(detector: Detector, data: Dataset, images: Tensor | None = None) -> list[Proposals]:
    """Return what a detector proposes for pictures, in small batches.

    Args:
        data: Its mean and deviation normalise the pictures.
        images: uint8 (N, C, height, width); None for the test pictures of `data`.
    """
    chosen = data.test.images if images is None else images
    device = device_of(detector)
    return [
        one
        for part in chosen.split(_AT_ONCE)
        for one in detector.propose(data.normalise(part).to(device))
    ]
