"""Compare ways to learn from few labelled pictures, with and without a trained network.

    python -m course_utils.experiments.compare_transfer

writes `assets/results/transfer.json`; that took 3 minutes on one core. CIFAR-10 is compared if its
file is there (see `load_dataset`). With names of data sets behind it, the command makes only their
records again.

- "frozen": EfficientNet-Lite0, its features computed once, and a linear layer;
- "last parts": its last three parts are trained as well, the others are frozen;
- "all": all of it is trained, early parts with smaller steps;
- "scratch": `SimpleCNN` with random weights and augmentation, for more seconds of the processor
  than "frozen" needs.

Each draw has other labelled pictures, the same for all ways; a larger choice contains the smaller
one. The accuracy is measured on pictures of the test part, the same for all draws.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from course_utils.core import CourseError, seeded
from course_utils.data import (
    Augment,
    DataError,
    Dataset,
    ImageSet,
    load_boxes,
    load_dataset,
    resized,
)
from course_utils.experiments.results import Record, command_of, load_results, save_results
from course_utils.metrics import evaluate
from course_utils.models import SimpleCNN, card_of, load_pretrained
from course_utils.training import (
    Precision,
    features,
    fine_tune,
    fit,
    for_network,
    linear_head,
    one_cycle,
    with_head,
)

NAME = "transfer"
COMMAND = command_of(__file__)
DRAWS = (0, 1, 2)
PRECISION = Precision(threads=1)
CELL = 48
"""Side of a picture of one blood cell, in pixels."""


@dataclass(frozen=True)
class Task:
    """The comparison on one data set.

    Attributes:
        size: Side of the pictures for the trained network.
        labels: Labelled pictures of each class.
        shown: Pictures that fine-tuning shows in all, with repetitions, by number of labels; no
            fine-tuning for other numbers.
        steps: Of the training from scratch.
        tested: Pictures of the test part, at most.
    """

    size: int
    labels: tuple[int, ...]
    shown: dict[int, int]
    steps: int
    tested: int = 500


TASKS = {
    "emoji": Task(96, (3, 10, 30), {10: 400}, steps=100),
    "cifar10": Task(96, (3, 10, 30), {}, steps=200),
    "fashion-mnist": Task(64, (3, 10, 30), {}, steps=250),
    "blood cells": Task(96, (3, 10, 30), {}, steps=100, tested=300),
}


def load(name: str) -> Dataset:
    """Return a data set of `TASKS`."""
    return _cells() if name == "blood cells" else load_dataset(name, validation=0)


def chosen_rows(labels: Tensor, count: int, draw: int) -> Tensor:
    """Return the places of `count` pictures of each class, class by class."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(draw))
    return torch.cat([order[labels[order] == label][:count] for label in labels.unique()])


def compare(name: str, task: Task, draws: tuple[int, ...] = DRAWS) -> Iterator[Record]:
    """Yield a record for each way, number of labels and draw."""
    data, network = load(name), load_pretrained("efficientnet_lite0")
    card = card_of(network)
    tested = data.test.few(min(task.tested, len(data.test)))
    data = Dataset(name, name, data.train, data.validation, tested)
    prepared = for_network(Dataset(name, name, tested, tested, tested), card, size=task.size).test
    known = features(network, tested.images, card=card, size=task.size)

    for draw in draws:
        most = data.train.subset(chosen_rows(data.train.labels, max(task.labels), draw))
        of_most = features(network, most.images, card=card, size=task.size)
        for count in task.labels:
            first = torch.arange(len(most)) % max(task.labels) < count
            chosen = most.subset(first)
            small = Dataset(name, name, chosen, chosen.subset([]), tested)
            head = linear_head(of_most[first], chosen.labels, len(data.classes))
            with torch.no_grad():
                right = (head(known).argmax(1) == tested.labels).float().mean().item()
            yield _record(name, "frozen", count, draw, right)
            yield _record(name, "scratch", count, draw, _from_scratch(small, task.steps, draw))
            for way, trained in (("last parts", 3), ("all", None)):
                if count in task.shown:
                    model = with_head(network, head)  # it starts from the frozen features' answer
                    few_large = for_network(small, card, size=task.size)
                    epochs = max(1, round(task.shown[count] / len(chosen)))
                    settings = {"batch_size": 16, "augment": Augment(flip=True), "seed": draw}
                    settings |= {"epochs": epochs, "precision": PRECISION, "progress": False}
                    fine_tune(model, few_large, trained=trained, learning_rate=3e-4, **settings)
                    score = evaluate(model, prepared, mean=card.mean, std=card.std).accuracy
                    yield _record(name, way, count, draw, score)


def _from_scratch(data: Dataset, steps: int, seed: int) -> float:
    """Return the accuracy of a `SimpleCNN` that is trained for about `steps` steps."""
    model = seeded(lambda: SimpleCNN.for_data(data), seed)
    batch = min(32, len(data.train))
    epochs = max(1, round(steps * batch / len(data.train)))
    augment = Augment(pad_crop=data.image_shape[1] // 12, flip=True)
    fit(
        model,
        data,
        epochs=epochs,
        batch_size=batch,
        augment=augment,
        scheduler=lambda optimizer, n: one_cycle(optimizer, n, 2e-3),
        precision=PRECISION,
        seed=seed,
        progress=False,
    )
    return evaluate(model, data.test, mean=data.mean, std=data.std).accuracy


def _record(data: str, way: str, labels: int, draw: int, accuracy: float) -> Record:
    return {"data": data, "way": way, "labels": labels, "draw": draw, "accuracy": accuracy}


def _cells() -> Dataset:
    """Return photographs of single blood cells, cut out of the shipped ones."""
    boxes = load_boxes("bccd")
    parts = []
    for part in (boxes.train, boxes.test):
        images, labels = [], []
        for image, its_boxes, its_labels in zip(part.images, part.boxes, part.labels, strict=True):
            for box, label in zip(its_boxes.tolist(), its_labels.tolist(), strict=True):
                left, top, right, bottom = map(round, box)
                images.append(resized(image[None, :, top:bottom, left:right], CELL)[0])
                labels.append(label)
        whole = ImageSet(torch.stack(images), torch.tensor(labels), part.classes)
        # Red cells are many: of each class as many as of the rarest.
        rarest = int(torch.bincount(whole.labels).min())
        parts.append(whole.few(rarest * len(whole.classes)))
    return Dataset("cells", "Blood cells", parts[0], parts[0].subset([]), parts[1])


def main(*names: str) -> None:
    """Run the comparisons on these data sets, by default on all, and write the results."""
    torch.set_num_threads(1)
    settings = {"network": "efficientnet_lite0", "draws": len(DRAWS)}
    for name in names or TASKS:
        try:
            load(name)
        except DataError as error:
            print(f"{name} is left out: {error}")
            continue
        new = list(tqdm(compare(name, TASKS[name]), desc=name, unit="training"))
        try:
            kept = [one for one in load_results(NAME).records if one["data"] != name]
        except CourseError:  # the first time
            kept = []
        path = save_results(NAME, kept + new, command=COMMAND, settings=settings)
        print(f"{len(new)} trainings in {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
