"""Brief trainings of copies, which show how well an edited network can learn."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from course_utils.core import CourseError
from course_utils.data import Dataset, ImageSet
from course_utils.training import Step, fit
from course_utils.widgets.one_click.held_out import HeldOutImages, adapt_images
from course_utils.widgets.one_click.measured_network import MeasuredNetwork

_MOST_IMAGES, _LEAST_IMAGES = 8192, 256
_MOST_COST = 4e10  # multiply-adds of all forward passes of a training


@dataclass(frozen=True)
class BrieflyTrained:
    """A copy of a network after a brief training with a number of `images`."""

    model: nn.Module
    accuracy: float  # on all held-out images, in [0, 1]
    images: int


def training_size(network: MeasuredNetwork) -> int:
    """Return the number of images for a brief training: fewer for a costly network."""
    count = _MOST_IMAGES
    while count > _LEAST_IMAGES and count * network.multiply_adds > _MOST_COST:
        count //= 2
    return min(count, len(network.held_out.data.train))


def train_briefly(
    network: MeasuredNetwork,
    *,
    images: int | None = None,
    seed: int = 0,
    stop: threading.Event | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> BrieflyTrained | None:
    """Train a copy of the network for a few seconds; return None if it was stopped.

    This is one epoch over the first training images with AdamW. The learning rate falls from 0.001
    to 0 along a cosine, so a network that is trained already loses little.

    Args:
        images: number of training images. Default: `training_size(network)`.
        seed: for the order of the images, and for dropout.
        stop, on_step: as for `fit`.

    Raises:
        CourseError: the network's outputs are not scores of the data's classes.
        Diverged: the loss is nan or infinite.
    """
    if reason := network.why_no_accuracy:
        raise CourseError(f"This network cannot be trained here. {reason}")
    images = images or training_size(network)
    model = copy.deepcopy(network.model)
    history = fit(
        model,
        _first_images(network.held_out, images),
        epochs=1,
        learning_rate=1e-3,
        scheduler=CosineAnnealingLR,
        precision="float32",
        device=next(model.parameters()).device,
        seed=seed,
        stop=stop,
        on_step=on_step,
        progress=False,
    )
    if history.stopped:
        return None
    after = network.edited(model)
    return BrieflyTrained(model, after.accuracy(len(after.held_out)), images)


@dataclass(frozen=True, eq=False, repr=False)
class _PartOfDataset(Dataset):
    """A part of the training images that is normalised like the whole data set.

    `Dataset` measures mean and std of its own images, but the held-out images are normalised with
    those of all training images.
    """

    mean: Tensor = field(kw_only=True)
    std: Tensor = field(kw_only=True)

    def __post_init__(self) -> None:
        """Keep the given mean and std."""


def _first_images(held_out: HeldOutImages, count: int) -> Dataset:
    """Return the first `count` training images in the shape that the network accepts."""
    data = held_out.data
    part = data.train.subset(range(count))
    images = adapt_images(part.images.float(), held_out.shape).round().to(torch.uint8)
    train = ImageSet(images, part.labels, part.classes)
    none = train.subset([])
    channels = held_out.shape[0]
    # One value for each channel that `adapt_images` makes.
    mean, std = (
        values.mean()[None] if channels == 1 else values[torch.arange(channels) % len(values)]
        for values in (data.mean, data.std)
    )
    return _PartOfDataset(data.name, data.title, train, none, none, mean=mean, std=std)
