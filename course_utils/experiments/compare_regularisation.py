"""Compare methods against overfitting where labels are few, wrong or many (§2.3.2).

    python -m course_utils.experiments.compare_regularisation

writes `assets/results/regularisation.json`; that takes about 8 minutes on one core.

The network is large for its task: two convolutions and two dense layers, 204,778 parameters. It is
trained on few images, on few images with wrong labels, and on many; once the new images are moved.
Each training is run with five seeds. A seed chooses the images, the wrong labels, the first weights
and the order, so methods are compared seed by seed. The strengths of the methods were chosen with
seed 10.

Every training goes on to its last epoch and also notes the weights that early stopping would have
kept, so both are known from one training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from course_utils.core import mixed_seed, seeded
from course_utils.data import Augment, Dataset, ImageSet, load_dataset
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.metrics import evaluate
from course_utils.models import SimpleCNN
from course_utils.training import EarlyStopping, Precision, fit

NAME = "regularisation"
COMMAND = command_of(__file__)
SEEDS = (0, 1, 2, 3, 4)
POOL = 4000
"""The images to train on come from the first 4,000; the last 2,500 are new to every network."""
NEW = 2500
VALIDATION = 300
PATIENCE = 10
STORED_EPOCHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 35, 40)


@dataclass(frozen=True)
class Setting:
    """One kind of training set.

    Attributes:
        images: how many to train on.
        wrong: fraction of their labels that is wrong.
        moved: by how many pixels, at most, the new images are moved; those to train on are not.
    """

    images: int
    wrong: float
    epochs: int
    moved: int = 0


@dataclass(frozen=True)
class Method:
    """A method against overfitting: what it changes in a training without any.

    Attributes:
        times: how many times the images, with as many times fewer epochs, so about as many steps.
        options: further arguments of `fit`.
    """

    dropout: float = 0.0
    weight_decay: float = 0.0
    times: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


AUGMENT = {"augment": Augment(pad_crop=2, flip=True)}
METHODS = {
    "nothing": Method(),
    "dropout 0.5": Method(dropout=0.5),
    "weight decay 1": Method(weight_decay=1.0),
    "label smoothing 0.1": Method(options={"label_smoothing": 0.1}),
    "augmentation": Method(options=AUGMENT),
    "four times the images": Method(times=4),
}
SETTINGS = {
    "300 images": Setting(300, 0.0, 40),
    "300 images, 30 % wrong labels": Setting(300, 0.3, 40),
    "300 images, new ones moved": Setting(300, 0.0, 40, moved=2),
    "3,000 images": Setting(3000, 0.0, 8),
}
TRIED = {
    "300 images": tuple(METHODS),
    "300 images, 30 % wrong labels": tuple(METHODS),
    "300 images, new ones moved": ("nothing", "augmentation"),
    "3,000 images": ("nothing", "dropout 0.5", "augmentation"),
}
"""The methods by setting."""


def large_network(dropout: float = 0.0) -> nn.Sequential:
    """Return the network: images (N, 1, 28, 28) in, logits (N, 10) out."""
    return nn.Sequential(
        *SimpleCNN(widths=(8, 16))[:-1],
        *(nn.Linear(784, 256), nn.ReLU(), nn.Dropout(dropout), nn.Linear(256, 10)),
    )


def with_wrong_labels(images: ImageSet, share: float, *, seed: int) -> ImageSet:
    """Return the images with a `share` of the labels replaced by another class, at random."""
    count, classes = len(images), len(images.classes)
    generator = torch.Generator().manual_seed(mixed_seed(seed, 1))
    chosen = torch.randperm(count, generator=generator)[: round(share * count)]
    labels = images.labels.clone()
    labels[chosen] += torch.randint(1, classes, (len(chosen),), generator=generator)
    return replace(images, labels=labels % classes)


def parts(
    data: Dataset, setting: Setting, times: int = 1, *, seed: int
) -> tuple[Dataset, ImageSet]:
    """Return the data to train with, and the images that are new to every network."""
    pool = data.train.subset(range(POOL)).few(times * setting.images, seed=seed)
    train = with_wrong_labels(pool, setting.wrong, seed=seed)
    validation = data.validation.few(VALIDATION)
    new = data.train.subset(range(len(data.train) - NEW, len(data.train)))
    if setting.moved:
        move = Augment(pad_crop=setting.moved)
        new = replace(new, images=move(new.images, torch.Generator().manual_seed(seed)))
    return replace(data, train=train, validation=validation), new


def train_once(
    method: Method, data: Dataset, new: ImageSet, epochs: int, seed: int
) -> list[Record]:
    """Train the network with one method; return one record for each stored epoch.

    `accuracy` and `loss` are those of the last epoch on the new images, `kept_accuracy` and
    `kept_loss` those of the weights that early stopping keeps. `train_accuracy` is measured on the
    images and labels of the training, without augmentation and dropout.
    """
    model = seeded(lambda: large_network(method.dropout), seed)
    early = EarlyStopping(model, PATIENCE, monitor="validation_accuracy")
    history = fit(
        model,
        data,
        epochs=epochs,
        optimizer=partial(torch.optim.AdamW, weight_decay=method.weight_decay),
        learning_rate=2e-3,
        precision=Precision(threads=1),
        on_epoch=early,
        seed=seed,
        progress=False,
        **method.options,
    )
    train, last = (
        evaluate(model, part, mean=data.mean, std=data.std) for part in (data.train, new)
    )
    early.restore()
    kept = evaluate(model, new, mean=data.mean, std=data.std)
    run = {
        "train_accuracy": train.accuracy,
        "accuracy": last.accuracy,
        "loss": last.loss,
        "kept_accuracy": kept.accuracy,
        "kept_loss": kept.loss,
        "kept_epoch": early.best_epoch,
        "stopped_epoch": early.last_epoch or epochs,
    }
    curves = zip(history.epoch, history.validation_accuracy, history.validation_loss, strict=True)
    return [
        run | {"epoch": epoch, "validation_accuracy": accuracy, "validation_loss": loss}
        for epoch, accuracy, loss in curves
        if epoch in STORED_EPOCHS or epoch == epochs
    ]


def compare(
    data: Dataset,
    tried: Mapping[str, Sequence[str]] = TRIED,
    seeds: tuple[int, ...] = SEEDS,
    **changes: int,
) -> Iterator[list[Record]]:
    """Train with each setting, method and seed; yield the records of one training.

    Args:
        tried: names of methods by the name of the setting.
        changes: fields of `Setting` that replace those of all settings.
    """
    for name, methods in tried.items():
        setting = replace(SETTINGS[name], **changes)
        for method_name in methods:
            method = METHODS[method_name]
            epochs = setting.epochs // method.times
            for seed in seeds:
                small, new = parts(data, setting, method.times, seed=seed)
                run = {"setting": name, "method": method_name, "seed": seed}
                yield [run | row for row in train_once(method, small, new, epochs, seed)]


def main() -> None:
    """Run all trainings and write the results."""
    torch.set_num_threads(1)
    data = load_dataset("fashion-mnist")
    total = len(SEEDS) * sum(map(len, TRIED.values()))
    runs = tqdm(compare(data), total=total, desc=NAME, unit="training")
    records = [record for run in runs for record in run]
    settings = {"data": data.name, "patience": PATIENCE, "validation_images": VALIDATION}
    path = save_results(NAME, records, command=COMMAND, settings=settings)
    print(f"{len(records)} records in {path}")


if __name__ == "__main__":
    main()
