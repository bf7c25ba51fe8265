"""Describe what decides the numbers of a training, so that a checkpoint can keep and compare it."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from course_utils.core import CourseError, plain_state
from course_utils.data import Dataset
from course_utils.training.optimizers import SteppedScheduler

Identity = dict[str, Any]
"""Name -> a plain value, or the fingerprint of many numbers."""

FINGERPRINTS = (
    *("training pictures", "training labels", "validation pictures", "validation labels"),
    *("normalisation", "starting weights", "learning rates"),
)
_MOST = 3  # differences that a sentence names


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """Return a checksum of the shapes, number formats and numbers of all tensors."""
    whole = hashlib.sha256()
    for tensor in tensors:
        whole.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
        # NumPy has no bfloat16, so the bytes.
        whole.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return whole.hexdigest()


def weights_fingerprint(weights: Mapping[str, Any]) -> str:
    """Return the fingerprint of a `state_dict`."""
    return fingerprint(value for _, value in sorted(weights.items()) if isinstance(value, Tensor))


def of_data(data: Dataset) -> Identity:
    """Return what identifies the pictures and labels."""
    found = {
        f"{name} {what}": fingerprint([values])
        for name, part in (("training", data.train), ("validation", data.validation))
        for what, values in (("pictures", part.images), ("labels", part.labels))
    }
    if data.statistics is not None:  # otherwise they follow from the pictures
        found["normalisation"] = fingerprint(data.statistics)
    return found


def of_model(model: nn.Module) -> Identity:
    """Return what identifies the layers, their settings and their weights."""
    return {
        "layers": re.sub(r" at 0x[0-9a-fA-F]+", "", str(model)),
        "frozen": [name for name, p in model.named_parameters() if not p.requires_grad],
        "starting weights": weights_fingerprint(model.state_dict()),
    }


def of_optimizer(optimizer: Optimizer) -> Identity:
    """Return the optimizer's class and settings; with several parameter groups, lists of them."""
    groups = []
    for group in optimizer.param_groups:
        settings = {k: v for k, v in group.items() if k != "params"}
        # A schedule has already changed the rate, and keeps that of the reader in one of these.
        rate = settings.pop("initial_lr", settings.get("lr"))
        settings["lr"] = settings.get("max_lr", rate)
        numbers = {k: v.tolist() if isinstance(v, Tensor) else v for k, v in settings.items()}
        groups.append(plain_state(numbers))
    names = dict.fromkeys(itertools.chain(*groups))
    values = {name: [group.get(name) for group in groups] for name in names}
    return {
        "optimizer": type(optimizer).__name__,
        **{f"optimizer.{n}": v[0] if len(v) == 1 else v for n, v in values.items()},
    }


def of_scheduler(stepped: SteppedScheduler, epochs: int) -> Identity:
    """Return the class and settings of the schedule, and its course."""
    scheduler = stepped.scheduler
    if scheduler is None:
        return {"scheduler": "NoneType"}
    rates = []
    try:
        rates += stepped.rates()
    except CourseError:  # it is too short, which is said elsewhere, or it has been used
        rates.append(["end"])
    course = ";".join(f"{r:.9g}" if isinstance(r, float) else r for step in rates for r in step)
    return {
        "scheduler": type(scheduler).__name__,
        "epochs": epochs,  # its curve depends on the number of epochs
        "scheduler_every": stepped.every,
        **{f"scheduler.{k}": v for k, v in plain_state(scheduler.state_dict()).items()},
        "learning rates": hashlib.sha256(course.encode()).hexdigest(),
    }


def equal(one: Any, other: Any) -> bool:
    """Return whether two plain values are equal; what cannot be compared is not."""
    try:
        return bool(one == other)
    except Exception:
        return False


def differences(theirs: Identity, mine: Identity) -> list[str]:
    """Return in words what differs, and of many differences the first and their number."""
    names = [n for n in dict.fromkeys([*mine, *theirs]) if not equal(theirs.get(n), mine.get(n))]
    # Of another class, the settings are others as well.
    for kind in ("optimizer", "scheduler"):
        if kind in names:
            names = [n for n in names if not n.startswith(f"{kind}.")]
    words = [_difference(name, theirs, mine) for name in names]
    more = len(words) - _MOST
    return words if more <= 0 else [*words[:_MOST], f"{more} more"]


def _difference(name: str, theirs: Identity, mine: Identity) -> str:
    if name not in theirs:
        return f"nothing is kept about its {name}"
    if name in FINGERPRINTS:
        return f"other {name}"
    one, other = str(theirs[name]), str(mine.get(name))
    if name == "layers":
        lines = itertools.zip_longest(one.splitlines(), other.splitlines(), fillvalue="nothing")
        one, other = next((a.strip(), b.strip()) for a, b in lines if a != b)
        return f"another model, with {one} where there is now {other}"
    if max(len(one), len(other)) > 60:
        return f"another {name}"
    return f"{name}={one}, now it is {other}"
