"""Cases that `test_distributed.py` runs in one process and in several, and compares.

`python -m torch.distributed.run --nproc_per_node 2 -m tests.training.distributed_cases FOLDER`
runs all cases, one after the other, and saves what each rank found in FOLDER.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import sys
import threading
import warnings
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from course_utils.core.errors import CourseError
from course_utils.data.augment import Augment
from course_utils.models.simple import SimpleCNN
from course_utils.training.fit import fit
from course_utils.training.history import Diverged
from tests.toys import toy_data, toy_model, weights

RANK = int(os.environ.get("RANK", 0))
LAST = int(os.environ.get("WORLD_SIZE", 1)) - 1

quick = partial(fit, precision="float32", progress=False, device="cpu")
SETTINGS = {
    "epochs": 4,
    "optimizer": partial(torch.optim.SGD, momentum=0.9),
    "learning_rate": 0.02,
    "label_smoothing": 0.1,
    "l1": 1e-4,
    "augment": Augment(pad_crop=1, flip=True, cutout=2),
}


class PartlyUsed(nn.Module):
    """One of its layers is never called."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = toy_model(), toy_model(seed=1)

    def forward(self, images):
        return self.used(images)


def result(model: nn.Module, history) -> dict:
    return {"history": history.as_dict(), "weights": weights(model)}


def train(folder: Path, train: int, batch_size: int) -> dict:
    """20 steps, of the article's SimpleCNN, which starts with other weights in each rank."""
    torch.manual_seed(RANK)
    model = SimpleCNN(1, 3, (8, 8))
    return result(
        model, quick(model, toy_data(train, validation=25), batch_size=batch_size, **SETTINGS)
    )


def adamw(folder: Path) -> dict:
    model = toy_model()
    return result(model, quick(model, toy_data(), batch_size=15, epochs=5))


def unused(folder: Path, l1: float) -> dict:
    model = PartlyUsed()
    settings = {**SETTINGS, "l1": l1, "optimizer": partial(torch.optim.SGD, weight_decay=0.1)}
    return result(model, quick(model, toy_data(), batch_size=15, **settings))


def resumed(folder: Path) -> dict:
    path = folder / "new" / "training.pt"
    two = {**SETTINGS, "epochs": 2}
    quick(toy_model(), toy_data(), batch_size=15, checkpoint=path, **two)
    assert path.exists()
    model = toy_model(seed=1 + RANK)  # its weights come from the file
    settings = {**SETTINGS, "checkpoint": path, "resume": True}
    found = result(model, quick(model, toy_data(), batch_size=15, **settings))
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    return found


def damaged(folder: Path) -> dict:
    path = folder / "damaged.pt"
    path.write_bytes(b"rubbish")
    try:
        quick(toy_model(), toy_data(), checkpoint=path, resume=True)
    except CourseError as error:
        return {"error": str(error)}


def stopped(folder: Path) -> dict:
    """Only the last rank asks for it."""
    stop, last = threading.Event(), RANK == LAST
    told = []

    def on_step(step):
        told.append(step.step)
        if last and step.step == 6:
            stop.set()

    model = toy_model(norm=True)
    history = quick(
        model, toy_data(), batch_size=15, epochs=9, stop=stop if last else None, on_step=on_step
    )
    return {**result(model, history), "told": told}


def stopped_in_validation(folder: Path) -> dict:
    stop, model = threading.Event(), toy_model()

    def stop_while_validating(*_):
        if not model.training and told:
            stop.set()

    told = []
    if RANK == 0:
        model.register_forward_hook(stop_while_validating)
    data = toy_data(validation=600)  # two batches for each rank
    return result(model, quick(model, data, batch_size=15, stop=stop, on_step=told.append))


def diverged(folder: Path) -> dict:
    try:
        quick(toy_model(), toy_data(), optimizer=torch.optim.SGD, learning_rate=1e9, epochs=20)
    except Diverged as error:
        finite = all(map(math.isfinite, error.history.step_loss))
        return {"error": str(error), "step": error.step, "finite": finite}


def automatic(folder: Path) -> dict:
    model = toy_model()
    return result(model, quick(model, toy_data(), epochs=1, precision="auto"))


def norm(folder: Path) -> dict:
    model = toy_model(norm=True, dropout=0.5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = result(model, quick(model, toy_data(train=63), batch_size=15, epochs=2))
    return {**found, "warnings": [str(w.message) for w in caught if "BatchNorm" in str(w.message)]}


def bar_and_callbacks(folder: Path) -> dict:
    steps, epochs = [], []
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        quick(
            toy_model(),
            toy_data(),
            epochs=2,
            progress=True,
            on_step=steps.append,
            on_epoch=lambda history: epochs.append(len(history.epoch)),
        )
    return {"shown": shown.getvalue(), "steps": [list(s) for s in steps], "epochs": epochs}


def few_pictures(folder: Path, batch_size: int, norm: bool) -> dict:
    model = toy_model(norm=norm)
    if norm:
        model.append(nn.BatchNorm1d(3))
    try:
        quick(model, toy_data(), batch_size=batch_size, epochs=1)
    except CourseError as error:
        return {"error": str(error)}
    return {"error": None}


def group_of_the_caller(folder: Path) -> dict:
    """Last, as its group uses the launcher's store under the usual name."""
    assert not dist.is_initialized()
    if "RANK" not in os.environ:
        return {}
    dist.init_process_group("gloo")
    quick(toy_model(), toy_data(), epochs=1)
    total = torch.ones(1)
    dist.all_reduce(total)
    dist.destroy_process_group()
    return {"total": total.item()}


CASES = {
    "uneven": partial(train, train=61, batch_size=13),
    "fewer pictures than ranks": partial(train, train=61, batch_size=15),
    "adamw": adamw,
    "unused": partial(unused, l1=0.0),
    "unused with l1": partial(unused, l1=1e-3),
    "resumed": resumed,
    "damaged": damaged,
    "stopped": stopped,
    "stopped in validation": stopped_in_validation,
    "diverged": diverged,
    "automatic": automatic,
    "norm": norm,
    "bar and callbacks": bar_and_callbacks,
    "few pictures": partial(few_pictures, batch_size=1, norm=False),
    "few pictures for BatchNorm": partial(few_pictures, batch_size=3, norm=True),
    "enough pictures for BatchNorm": partial(few_pictures, batch_size=4, norm=True),
    "group of the caller": group_of_the_caller,
}


if __name__ == "__main__":
    found = {}
    for name, case in CASES.items():
        print(f"rank {RANK}: {name}", flush=True)
        found[name] = case(Path(sys.argv[1]))
    torch.save(found, Path(sys.argv[1], f"rank{RANK}.pt"))
