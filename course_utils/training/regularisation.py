"""Compare methods against overfitting by the gap between training and validation accuracy.

A network that has learnt its training pictures by heart classifies nearly all of them correctly,
but far fewer new ones. `train_regularised` trains the same network from the same first weights with
one combination of methods and measures both accuracies (the training accuracy without augmentation
and dropout, so that they can be compared). The methods:

- dropout: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from
  overfitting";
- weight decay: with Adam (Kingma & Ba 2015) it is an L2 term in the gradient, which Adam then
  rescales; AdamW decouples it (Loshchilov & Hutter 2019, "Decoupled weight decay regularization");
- L1: the sum of the weights' absolute values, added to the loss (Tibshirani 1996);
- augmentation: see `course_utils.data.augment`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from course_utils.core import CourseError, seeded, whole_number
from course_utils.data import Augment, Dataset
from course_utils.metrics import evaluate
from course_utils.models import SimpleCNN
from course_utils.training.fit import fit
from course_utils.training.history import History
from course_utils.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    import pandas

DECAYING_OPTIMIZERS = ("Adam", "AdamW")
"""Two of `OPTIMIZERS` that apply weight decay in different ways."""


@dataclass(frozen=True)
class Regularisation:
    """One combination of methods, and the size of the training.

    Args:
        dropout: share of the values dropped before the classifier while training, in [0, 1).
        optimizer: "Adam" (decay in the gradient) or "AdamW" (decoupled).
        weight_decay: of that optimizer.
        l1: factor of the sum of the weights' absolute values in the loss.
        pad_crop, flip, cutout: of `Augment`.
        pictures: number of training pictures, the same number of each class.
        epochs: passes over them.
        learning_rate: of the optimizer.

    Raises:
        CourseError: a number outside its range, or an unknown optimizer.
    """

    dropout: float = 0.0
    optimizer: str = "Adam"
    weight_decay: float = 0.0
    l1: float = 0.0
    pad_crop: int = 0
    flip: bool = False
    cutout: int = 0
    pictures: int = 1000
    epochs: int = 25
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        if self.optimizer not in DECAYING_OPTIMIZERS:
            raise CourseError(
                f"There is no optimizer {self.optimizer!r} here: choose Adam or AdamW."
            )
        if not 0 <= self.dropout < 1:
            raise CourseError(f"dropout={self.dropout}: give a share from 0 to 0.9.")
        for name in ("weight_decay", "l1"):
            if not getattr(self, name) >= 0:
                raise CourseError(f"{name}={getattr(self, name)} is negative: 0 switches it off.")
        for name in ("pictures", "epochs"):
            whole_number(name, getattr(self, name), 1)

    @property
    def augment(self) -> Augment | None:
        """The augmentation, None if there is none."""
        augment = Augment(self.pad_crop, self.flip, self.cutout)
        return None if augment == Augment() else augment

    @property
    def label(self) -> str:
        """The methods, short enough for a chart: "dropout 0.5 + flip"."""
        parts = {
            f"dropout {self.dropout:g}": self.dropout,
            f"{self.optimizer} decay {self.weight_decay:g}": self.weight_decay,
            f"L1 {self.l1:g}": self.l1,
            f"crop {self.pad_crop}": self.pad_crop,
            "flip": self.flip,
            f"cutout {self.cutout}": self.cutout,
        }
        used = [text for text, value in parts.items() if value]
        if not used:
            return "no method" if self.optimizer == "Adam" else f"no method, {self.optimizer}"
        return " + ".join(used)


@dataclass(frozen=True)
class RegularisationRun:
    """The result of a training with one combination.

    Attributes:
        train_accuracy: share of the training pictures that are classified correctly, without
            augmentation and dropout.
        validation_accuracy: the same for the validation pictures.
        history: the curves; None during the training.
    """

    settings: Regularisation
    train_accuracy: float
    validation_accuracy: float
    history: History | None = None

    @property
    def label(self) -> str:
        """The label of the settings."""
        return self.settings.label

    @property
    def gap(self) -> float:
        """Training minus validation accuracy."""
        return self.train_accuracy - self.validation_accuracy


def train_regularised(
    settings: Regularisation,
    data: Dataset,
    *,
    model: Callable[[float], nn.Module] | None = None,
    seed: int = 0,
    **options: Any,
) -> RegularisationRun | None:
    """Train a network with one combination of methods and measure the gap.

    Args:
        data: `settings.pictures` of its training pictures are used.
        model: takes the dropout, returns a network with new weights. Default: `SimpleCNN`.
        seed: of the weights, of the choice and order of the pictures and of the dropout.
        options: passed to `fit`: `precision`, `stop`, `on_step`, `on_epoch`.

    Returns:
        None if it was stopped, because with fewer epochs it could not be compared with others.

    Raises:
        CourseError: too few training pictures, no validation pictures, or a network or augmentation
            that does not fit them.
        Diverged: the loss is not finite any more.
    """
    if not len(data.validation):
        raise CourseError("The gap needs validation pictures: load the data with validation=0.1.")
    few = data.train.few(settings.pictures, seed=seed)
    small = replace(data, train=few)
    make = model or (lambda dropout: SimpleCNN.for_data(data, dropout=dropout))
    network = seeded(lambda: make(settings.dropout), seed)
    history = fit(
        network,
        small,
        epochs=settings.epochs,
        batch_size=64,
        optimizer=partial(OPTIMIZERS[settings.optimizer], weight_decay=settings.weight_decay),
        learning_rate=settings.learning_rate,
        l1=settings.l1,
        augment=settings.augment,
        seed=seed,
        progress=False,
        **options,
    )
    if history.stopped:
        return None
    train, validation = (
        evaluate(network, part, mean=small.mean, std=small.std).accuracy
        for part in (small.train, small.validation)
    )
    return RegularisationRun(settings, train, validation, history)


def augmented(
    pictures: Tensor, settings: Regularisation, *, copies: int = 1, seed: int = 0
) -> Tensor:
    """Return `pictures` as the network sees them in `copies` epochs: uint8 (copies, N, C, H, W).

    Raises:
        CourseError: the augmentation does not fit the pictures, see `Augment`.
    """
    generator = torch.Generator().manual_seed(seed)
    augment = settings.augment or Augment()
    return torch.stack([augment(pictures, generator) for _ in range(copies)])


def gaps_as_frame(runs: Sequence[RegularisationRun]) -> pandas.DataFrame:
    """Return a row for each run: the methods, both accuracies and the gap."""
    import pandas as pd

    return pd.DataFrame(
        {
            "methods": run.label,
            "train accuracy": run.train_accuracy,
            "validation accuracy": run.validation_accuracy,
            "gap": run.gap,
            **asdict(run.settings),
        }
        for run in runs
    )
