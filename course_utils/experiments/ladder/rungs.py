"""The rungs of the ladder: the article's network first, then one idea more in each (§5.1).

A rung is plain data: which network, which arguments of `fit`, and what is done with the result. It
says all that `climb` needs, so a reader can add a rung of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from course_utils.core import CourseError, seeded
from course_utils.data import Augment, DataError, Dataset, load_dataset
from course_utils.models import StagedCNN, whitening_kernels
from course_utils.training import AveragedWeights, initialise, one_cycle

WHITENED = 2_000
"""Training pictures from which the kernels for patches are computed."""


@dataclass(frozen=True)
class Rung:
    """One rung.

    Attributes:
        name: Short, and different for each rung.
        adds: What is new, in a few words.
        network: Arguments of `StagedCNN`.
        fit: Arguments of `fit`, without those of the machine.
        validation: Share of the training pictures that is set aside to choose the epoch; with 0
            the last epoch counts.
        standardise: Normalise with mean and deviation of the training pictures; otherwise with 0.5
            and 0.5, as the article.
        initialise: Scheme of `training.initialise` for all layers but the last; "" for PyTorch's.
        average: Decay of an average of the weights; 0 for none.
        mirror, shift: Views of each test picture, see `AveragedViews`; False and 0 for the picture
            alone.
        teacher: Name of the rung whose network teaches this one; "" for none.
        lesson: Arguments of `Distillation`, besides the teacher.
        weights_of: Name of the rung whose weights are used, so that nothing is trained; "" if this
            one is trained.
    """

    name: str
    adds: str
    network: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    validation: float = 0.0
    standardise: bool = False
    initialise: str = ""
    average: float = 0.0
    mirror: bool = False
    shift: int = 0
    teacher: str = ""
    lesson: Mapping[str, float] = field(default_factory=dict)
    weights_of: str = ""


@dataclass(frozen=True)
class Plan:
    """The sizes of a ladder, which depend on the data and on the time that there is.

    Attributes:
        data: Name for `load_dataset`.
        first_epochs, epochs: Of the first rung, and of the others.
        batch_size, sgd_batch_size: Pictures in each step, and with SGD.
        validation: Share of the training pictures that is set aside.
        moved: Pixels by which augmentation moves a picture.
        narrow, wide: Channels of the stages of the small and of the large network.
        peak: Highest learning rate of SGD.
        shift: Pixels by which the views of a test picture are moved.
    """

    data: str
    first_epochs: int = 2
    epochs: int = 8
    batch_size: int = 64
    sgd_batch_size: int = 64
    validation: float = 0.1
    moved: int = 1
    narrow: tuple[int, ...] = (16, 32)
    wide: tuple[int, ...] = (24, 48, 96)
    peak: float = 0.1
    shift: int = 0


PLANS = {
    "fashion_mnist_small": Plan("fashion-mnist"),
    "cifar10": Plan(
        "cifar10",
        first_epochs=5,
        epochs=7,
        sgd_batch_size=256,
        validation=0.04,
        moved=2,
        wide=(64, 192, 256),
        peak=0.4,
        shift=1,
    ),
}
"""The ladders of the course, by the name on the command line."""


def rungs_of(plan: Plan) -> tuple[Rung, ...]:
    """Return the rungs of a plan, the first one first."""
    rungs = [
        Rung(
            "article",
            "the article's network and settings",
            fit={
                "epochs": plan.first_epochs,
                "batch_size": plan.batch_size,
                "optimizer": torch.optim.Adam,
                "learning_rate": 1e-3,
            },
        )
    ]

    def add(name: str, adds: str, **changes: Any) -> None:
        """Add a rung that is the one before with changes."""
        before = rungs[-1]
        for part in ("network", "fit"):
            changes[part] = {**getattr(before, part), **changes.get(part, {})}
        rungs.append(replace(before, name=name, adds=adds, **changes))

    add(
        "longer",
        "more epochs, the best one chosen on validation pictures",
        fit={"epochs": plan.epochs},
        validation=plan.validation,
    )
    add("standardised", "mean and deviation of the training pictures", standardise=True)
    add(
        "augmented",
        "pictures mirrored and moved",
        fit={"augment": Augment(flip=True, pad_crop=plan.moved)},
    )
    add("second block", "a second convolution", network={"widths": plan.narrow})
    add(
        "batch norm",
        "BatchNorm and He's first weights",
        network={"batch_norm": True},
        initialise="he",
    )
    add("residual", "a residual block in each stage", network={"residual": True})
    add(
        "schedule",
        "a learning rate that rises and falls",
        fit={
            "learning_rate": 5e-3,
            "scheduler": partial(one_cycle, peak=5e-3, cycle_momentum=False),
        },
    )
    sgd = partial(torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=5e-4)
    add(
        "SGD",
        "SGD with Nesterov's momentum and weight decay",
        fit={
            "batch_size": plan.sgd_batch_size,
            "optimizer": sgd,
            "learning_rate": plan.peak,
            "scheduler": partial(one_cycle, peak=plan.peak, cycle_momentum=False),
        },
    )
    add("smoothing", "label smoothing", fit={"label_smoothing": 0.1})
    add("averaged", "an average of the weights (EMA)", average=0.99)
    add("whitened", "a first layer that whitens patches", network={"patches": 2})
    add(
        "larger",
        "three stages, wider ones",
        network={"widths": plan.wide, "pooled": True},
    )
    add(
        "views",
        "the mean over views of each test picture",
        mirror=True,
        shift=plan.shift,
        weights_of="larger",
    )
    add(
        "distilled",
        "taught by a trained twin (the rung 'larger'), tested with views",
        fit={"label_smoothing": 0.0},
        teacher="larger",
        lesson={"temperature": 2.0, "mix": 0.7},
        weights_of="",
    )
    return tuple(rungs)


def rung_data(rung: Rung, plan: Plan) -> Dataset:
    """Return the data as a rung uses them: with its validation part and its normalisation.

    Raises:
        DataError: If the data are not there.
    """
    data = load_dataset(plan.data, validation=rung.validation)
    return prepared(data, rung)


def prepared(data: Dataset, rung: Rung) -> Dataset:
    """Return `data` with the normalisation of a rung.

    Raises:
        DataError: If a class has no picture in a part, unless the whole validation part is empty.
    """
    for name in ("train", "validation", "test"):
        part = getattr(data, name)
        counts = part.labels.bincount(minlength=len(data.classes)).tolist()
        absent = [repr(one) for one, count in zip(data.classes, counts, strict=True) if not count]
        if absent and (len(part) or name != "validation"):
            raise DataError(
                f"{data.title} has no {name} picture of the class {', '.join(absent)}: split so "
                "that each part has every class, or leave the class out."
            )
    if rung.standardise:
        return data
    half = torch.full((data.image_shape[0],), 0.5)
    return replace(data, statistics=(half, half))


def build(rung: Rung, data: Dataset, seed: int) -> nn.Module:
    """Return the network of a rung with its first weights, which depend on the seed.

    Raises:
        CourseError: If the pictures are too small for it.
    """
    channels, *size = data.image_shape
    model = seeded(
        lambda: StagedCNN(channels, len(data.classes), tuple(size), **rung.network), seed
    )
    if rung.initialise:
        initialise(model[:-1], rung.initialise, seed=seed)
    if rung.network.get("patches"):
        images = data.normalise(data.train.images[:WHITENED])
        with torch.no_grad():
            model.patches.weight.copy_(whitening_kernels(images, rung.network["patches"]))
        model.patches.weight.requires_grad_(False)
    return AveragedWeights(model, rung.average) if rung.average else model


def rung_named(name: str, rungs: tuple[Rung, ...]) -> Rung:
    """Return the rung with this name.

    Raises:
        CourseError: If there is none.
    """
    for rung in rungs:
        if rung.name == name:
            return rung
    known = ", ".join(repr(rung.name) for rung in rungs)
    raise CourseError(f"There is no rung {name!r}: there are {known}.")
