"""Compare a student that learns alone with one that a teacher helps, where it helps and where not.

    python -m course_utils.experiments.compare_distillation

writes `assets/results/distillation.json`; that took 3 minutes on one core. All pictures are of
Fashion-MNIST, all accuracies of its 2,000 test pictures. The student alone and the taught student
start from the same weights and make the same number of steps.

- "no time": all 9,000 labels, 3 epochs. The teacher is the network of notebook 02_2.
- "patient": 1,000 labels and augmentation, 30 epochs; the teacher (the same, which has seen more
  labels) answers for the very pictures that the student sees, as Beyer et al. 2022 recommend.
- "fixed answers": the same, but the teacher answers once for each picture, before augmentation.
- "weak teacher": 30 labels a class. The teacher is a linear layer on frozen features of
  EfficientNet-Lite0, trained on these labels alone; it answers for 2,000 pictures without labels,
  and the taught student learns from these answers.
- "hard answers": the same, but the student learns the teacher's best class, not its probabilities.
- "no labels": the same as "weak teacher", but the network of notebook 02_2 answers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils.core import seeded
from course_utils.data import Augment, Dataset, ImageSet, load_dataset
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.metrics import evaluate
from course_utils.models import SimpleCNN, card_of, load_pretrained
from course_utils.training import (
    Distillation,
    Precision,
    distillation_loss,
    features,
    fit,
    linear_head,
    one_cycle,
)

NAME = "distillation"
COMMAND = command_of(__file__)
SEEDS = (0, 1, 2, 3, 4)
LITE0_SEEDS = (0, 1, 4)  # of the two settings with the features of a large network
TEMPERATURE, MIX = 4.0, 0.9
UNLABELLED = 2000
EPOCHS = 10  # of the pictures without labels
AUGMENT = Augment(pad_crop=2, flip=True)
SETTINGS = (*("no time", "patient", "fixed answers", "weak teacher", "hard answers", "no labels"),)


def student(seed: int, widths: tuple[int, int] = (4, 8)) -> SimpleCNN:
    """Return a small network with the weights of its seed."""
    return seeded(lambda: SimpleCNN(widths=widths), seed)


def train(model: nn.Module, data: Dataset, seed: int, **settings: Any) -> float:
    """Train for `epochs` and return the accuracy on the test pictures."""
    fit(
        model,
        data,
        scheduler=lambda optimizer, steps: one_cycle(optimizer, steps, 4e-3),
        precision=Precision(threads=1),
        seed=seed,
        progress=False,
        **settings,
    )
    return evaluate(model, data.test, mean=data.mean, std=data.std).accuracy


def with_rows(data: Dataset, pictures: ImageSet) -> Dataset:
    """Return a data set whose labels are the numbers of the rows, to look up answers in a loss."""
    names = tuple(map(str, range(len(pictures))))
    rows = ImageSet(pictures.images, torch.arange(len(pictures)), names)
    return Dataset("rows", "Rows", rows, rows.subset([]), rows.subset([]), "memory", _of(data))


def _of(data: Dataset) -> tuple[Tensor, Tensor]:
    return data.mean, data.std


def part_of(data: Dataset, pictures: ImageSet) -> Dataset:
    """Return a data set with other training pictures, normalised as `data` is."""
    none = pictures.subset([])
    return Dataset(data.name, data.title, pictures, none, data.test, "memory", _of(data))


def compare(
    data: Dataset, teacher: nn.Module, answers: Callable[[ImageSet, ImageSet], Tensor], seed: int
) -> Iterator[Record]:
    """Yield the accuracies of one seed in each setting.

    Args:
        answers: Of a pool and of labelled pictures, returns the logits for the pool of another
            teacher, which learned from the labelled pictures alone.
    """

    def record(setting: str, alone: float, distilled: float, teaching: float) -> Record:
        accuracies = {"alone": alone, "distilled": distilled, "teacher": teaching}
        return {"setting": setting, "seed": seed, **accuracies}

    score = evaluate(teacher, data.test, mean=data.mean, std=data.std).accuracy
    loss = Distillation(teacher, TEMPERATURE, MIX)
    alone = train(student(seed), data, seed, epochs=3)
    yield record("no time", alone, train(student(seed), data, seed, epochs=3, loss=loss), score)

    few = data.train.few(1000, seed=seed)
    patient = {"epochs": 30, "augment": AUGMENT}
    alone = train(student(seed), part_of(data, few), seed, **patient)
    taught = train(student(seed), part_of(data, few), seed, loss=loss, **patient)
    yield record("patient", alone, taught, score)
    with torch.no_grad():
        logits = teacher(data.normalise(few.images))
    taught = _from_answers(data, few, logits, seed, few.labels, **patient)
    yield record("fixed answers", alone, taught, score)

    pool = data.train.few(UNLABELLED)
    few = pool.few(300, seed=seed)
    steps = EPOCHS * -(-len(pool) // 64)
    wide = functools.partial(student, seed, (8, 16))
    alone = train(wide(), part_of(data, few), seed, epochs=steps // 5, augment=AUGMENT)
    if seed in LITE0_SEEDS:
        logits = answers(pool, few)
        right = (logits.argmax(1) == pool.labels).float().mean().item()
        taught = _from_answers(data, pool, logits, seed, epochs=EPOCHS, model=wide())
        yield record("weak teacher", alone, taught, right)
        hard = 100 * F.one_hot(logits.argmax(1), logits.shape[1]).float()
        taught = _from_answers(data, pool, hard, seed, epochs=EPOCHS, model=wide(), temperature=1.0)
        yield record("hard answers", alone, taught, right)
    with torch.no_grad():
        logits = teacher(data.normalise(pool.images))
    taught = _from_answers(data, pool, logits, seed, epochs=EPOCHS, model=wide())
    yield record("no labels", alone, taught, score)


def _from_answers(
    data: Dataset,
    pictures: ImageSet,
    logits: Tensor,
    seed: int,
    labels: Tensor | None = None,
    *,
    temperature: float = TEMPERATURE,
    model: nn.Module | None = None,
    **settings: Any,
) -> float:
    """Train a student on logits for each picture, without labels or with a share of them."""
    model = student(seed) if model is None else model
    mix = {"mix": 1.0 if labels is None else MIX, "temperature": temperature}

    def loss(model: nn.Module, images: Tensor, rows: Tensor) -> Tensor:
        known = None if labels is None else labels[rows]
        return distillation_loss(model(images), logits[rows], known, **mix)

    rows = with_rows(data, pictures)
    fit(
        model,
        rows,
        loss=loss,
        scheduler=lambda optimizer, steps: one_cycle(optimizer, steps, 4e-3),
        precision=Precision(threads=1),
        seed=seed,
        progress=False,
        **settings,
    )
    return evaluate(model, data.test, mean=data.mean, std=data.std).accuracy


def answers_of_lite0(size: int = 64) -> Callable[[ImageSet, ImageSet], Tensor]:
    """Return a teacher for `compare`; the features of a pool are computed once."""
    network = load_pretrained("efficientnet_lite0")
    known: dict[bytes, Tensor] = {}

    def answers(pool: ImageSet, labelled: ImageSet) -> Tensor:
        keys = [[picture.numpy().tobytes() for picture in one.images] for one in (pool, labelled)]
        if not all(key in known for key in keys[0] + keys[1]):
            found = features(network, pool.images, card=card_of(network), size=size)
            known.update(zip(keys[0], found, strict=True))
        of_pool, of_labelled = (torch.stack([known[key] for key in one]) for one in keys)
        with torch.no_grad():
            return linear_head(of_labelled, labelled.labels)(of_pool)

    return answers


def main() -> None:
    """Run all trainings and write the results."""
    torch.set_num_threads(1)
    data = load_dataset("fashion-mnist")
    teacher, answers = load_pretrained("first_cnn"), answers_of_lite0()
    settings = {"temperature": TEMPERATURE, "mix": MIX, "unlabelled": UNLABELLED}
    records: list[Record] = []
    for seed in tqdm(SEEDS, desc=NAME, unit="seed"):
        records += compare(data, teacher, answers, seed)
        path = save_results(NAME, records, command=COMMAND, settings=settings)
    print(f"{len(records)} comparisons in {path}")


if __name__ == "__main__":
    main()
