"""Cases that `test_distributed.py` runs in one process and in several, and compares.

`python -m torch.distributed.run --nproc_per_node 2 -m tests.training.distributed_cases FOLDER`
runs all cases, one after the other, and saves what each rank found in FOLDER.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import warnings
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from course_utils.core import CourseError
from course_utils.data import Augment
from course_utils.models import SimpleCNN
from course_utils.training import fit
from tests.toys import toy_data, toy_model, weights
from tests.training.toy_fit import Coder, redraw

RANK = int(os.environ.get("RANK", 0))
LAST = int(os.environ.get("WORLD_SIZE", 1)) - 1

SETTINGS = {
    "epochs": 4,
    "optimizer": partial(torch.optim.SGD, momentum=0.9),
    "learning_rate": 0.02,
    "label_smoothing": 0.1,
    "l1": 1e-4,
    "augment": Augment(pad_crop=1, flip=True, cutout=2),
}


def train(model: nn.Module | None = None, data=None, **settings) -> dict:
    """Train in batches of 15 pictures; return the history and the weights."""
    model = model or toy_model()
    settings = {"batch_size": 15, "precision": "float32", "epochs": 1} | settings
    history = fit(model, data or toy_data(), progress=False, device="cpu", **settings)
    return {"history": history.as_dict(), "weights": weights(model)}


def uneven(folder: Path, batch_size: int) -> dict:
    """20 steps, of the article's SimpleCNN, which starts with other weights in each rank."""
    torch.manual_seed(RANK)
    data = toy_data(train=61, validation=25)
    return train(SimpleCNN(1, 3, (8, 8)), data, batch_size=batch_size, **SETTINGS)


def unused(folder: Path, l1: float) -> dict:
    """One of the model's layers is never called."""
    model = toy_model()
    model[3].unused = toy_model(seed=1)
    optimizer = partial(torch.optim.SGD, weight_decay=0.1)
    return train(model, **SETTINGS | {"l1": l1, "optimizer": optimizer})


def own_loss(folder: Path, calls: int = 1) -> dict:
    def loss(model, images, labels):
        return sum(F.cross_entropy(model(images), labels) for _ in range(calls)) / calls

    settings = SETTINGS | {"label_smoothing": 0.0, "loss": loss}
    return train(data=toy_data(train=61, validation=25), batch_size=13, **settings)


def resumed(folder: Path) -> dict:
    path = folder / "new" / "training.pt"
    train(checkpoint=path, **SETTINGS | {"epochs": 2})
    assert path.exists()
    model = toy_model(seed=RANK)  # where the rank is not 0, its weights come from the file
    found = train(model, checkpoint=path, resume=True, **SETTINGS)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    return found


def damaged(folder: Path) -> dict:
    path = folder / "damaged.pt"
    path.write_bytes(b"rubbish")
    return train(checkpoint=path, resume=True)


def stopped(folder: Path) -> dict:
    """Only the last rank asks for it."""
    stop = threading.Event() if RANK == LAST else None
    told = []

    def on_step(step):
        told.append(step.step)
        if stop and step.step == 6:
            stop.set()

    return train(toy_model(norm=True), epochs=9, stop=stop, on_step=on_step) | {"told": told}


def stopped_in_validation(folder: Path) -> dict:
    stop, model, told = threading.Event(), toy_model(), []

    def stop_while_validating(*_):
        if RANK == 0 and not model.training and told:
            stop.set()

    model.register_forward_hook(stop_while_validating)
    data = toy_data(validation=600)  # two batches for each rank
    return train(model, data, epochs=8, stop=stop, on_step=told.append)


def diverged(folder: Path) -> dict:
    return train(optimizer=torch.optim.SGD, learning_rate=1e9, epochs=20)


def norm(folder: Path) -> dict:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = train(toy_model(norm=True, dropout=0.5), toy_data(train=63), epochs=2)
    return {**found, "warnings": [str(w.message) for w in caught if "BatchNorm" in str(w.message)]}


def bar_and_callbacks(folder: Path) -> dict:
    steps, epochs = [], []
    calls = {"on_step": steps.append, "on_epoch": lambda history: epochs.append(len(history.epoch))}
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        fit(toy_model(), toy_data(), epochs=2, precision="float32", device="cpu", **calls)
    return {"shown": shown.getvalue(), "steps": [list(s) for s in steps], "epochs": epochs}


def few_pictures(folder: Path, batch_size: int, *norm: nn.Module) -> dict:
    return train(nn.Sequential(toy_model(), *norm), batch_size=batch_size)


def group_of_the_caller(folder: Path) -> dict:
    """Last, as its group uses the launcher's store under the usual name."""
    assert not dist.is_initialized()
    dist.init_process_group("gloo")
    train()
    total = torch.ones(1)
    dist.all_reduce(total)
    dist.destroy_process_group()
    return {"total": total.item()}


CASES = {
    "uneven": partial(uneven, batch_size=13),
    "fewer pictures than ranks": partial(uneven, batch_size=15),
    "adamw": lambda folder: train(epochs=5),
    "unused": partial(unused, l1=0.0),
    "unused with l1": partial(unused, l1=1e-3),
    "own loss": own_loss,
    "loss of two calls": partial(own_loss, calls=2),
    "redraw": lambda folder: train(Coder(), toy_data(validation=25), loss=redraw, epochs=2),
    "resumed": resumed,
    "damaged": damaged,
    "stopped": stopped,
    "stopped in validation": stopped_in_validation,
    "diverged": diverged,
    "automatic": lambda folder: train(precision="auto"),
    "norm": norm,
    "bar and callbacks": bar_and_callbacks,
    "few pictures": lambda folder: few_pictures(folder, 1),
    "few pictures for BatchNorm": lambda folder: few_pictures(folder, 3, nn.BatchNorm1d(3)),
    "enough pictures for BatchNorm": lambda folder: few_pictures(folder, 4, nn.BatchNorm1d(3)),
    "group of the caller": group_of_the_caller,
}


if __name__ == "__main__":
    found = {}
    for name, case in CASES.items():
        print(f"rank {RANK}: {name}", flush=True)
        try:
            found[name] = case(Path(sys.argv[1]))
        except CourseError as error:
            found[name] = {"error": str(error), "history": getattr(error, "history", None)}
    torch.save(found, Path(sys.argv[1], f"rank{RANK}.pt"))
