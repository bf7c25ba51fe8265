"""Transfer learning: a network that was trained on many pictures learns a new task from few.

>>> from course_utils.data import load_dataset
>>> from course_utils.models import card_of, load_pretrained
>>> network = load_pretrained("efficientnet_lite0")
>>> emoji = for_network(load_dataset("emoji"), card_of(network))
>>> found = features(network, emoji.train.images[:2], card=card_of(network))
>>> found.shape
torch.Size([2, 1280])

Three ways, from cheap to dear: a linear layer on the frozen features (`features`, computed once,
and `linear_head`); the last parts of the network trained as well; all of it trained, the early
parts with smaller steps (both with `fine_tune`).
"""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.core import (
    CourseError,
    device_of,
    evaluation_mode,
    is_number,
    memory_in_words,
    seeded,
    whole_number,
)
from course_utils.data import Dataset, ImageSet, resized
from course_utils.models import Card
from course_utils.training.fit import fit
from course_utils.training.history import History
from course_utils.training.schedules import Schedule

SIZE = 96
"""Side of the pictures in pixels: a fifth of the work of 224, and nearly as good on the course's
data sets. It is a multiple of 32, which EfficientNet-Lite0 needs."""


def for_network(data: Dataset, card: Card, *, size: int = SIZE) -> Dataset:
    """Return a data set with pictures as a trained network takes them.

    They are made size × size (bicubic); grey ones become colour. Its mean and deviation are those
    of the pictures that the network was trained on.

    Raises:
        CourseError: If the pictures have neither one channel nor as many as the network takes.
    """
    parts = [
        ImageSet(_fitting(part.images, card, size), part.labels, part.classes)
        for part in (data.train, data.validation, data.test)
    ]
    return Dataset(data.name, data.title, *parts, data.source, (card.mean, card.std))


@memory_in_words("make batch_size smaller")
def features(
    model: nn.Module, images: Tensor, *, card: Card, size: int = SIZE, batch_size: int = 32
) -> Tensor:
    """Return what the last linear layer of `model` takes, float32 (N, features), on the CPU.

    The model is in eval mode and does not change: the statistics of its BatchNorm layers stay.

    Args:
        model: Such as `load_pretrained("efficientnet_lite0")`.
        images: uint8 (N, C, H, W). They become pictures as in `for_network`.
        card: Of the model, from `card_of` or `pretrained_card`.

    Raises:
        OutOfMemory: If there is not enough memory.
        CourseError: If there is no picture, they are of another kind, or the model has no linear
            layer that it calls.
    """
    if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.dim() != 4:
        found = (
            f"{images.dtype} of shape {tuple(images.shape)}"
            if isinstance(images, Tensor)
            else (f"a {type(images).__name__}")
        )
        raise CourseError(f"images must be uint8 (N, C, H, W), not {found}.".replace("torch.", ""))
    if not len(images):
        raise CourseError("There is no picture: give at least one.")
    layer = model.get_submodule(last_linear(model))
    device, seen = device_of(model), []
    mean, std = (one.to(device).reshape(-1, 1, 1) for one in (card.mean, card.std))
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(1)))
    found = []
    try:
        with evaluation_mode(model), torch.no_grad():
            for some in images.split(whole_number("batch_size", batch_size, 1)):
                pictures = _fitting(some, card, size).to(device)
                model((pictures.float() / 255 - mean) / std)
                if len(seen) != 1:
                    raise CourseError(
                        f"The model calls its last linear layer {len(seen)} times, but features "
                        "are what it takes in one call."
                    )
                found.append(seen.pop().float().cpu())
    finally:
        hook.remove()
    return torch.cat(found)


def linear_head(
    found: Tensor, labels: Tensor, classes: int | None = None, *, strength: float = 0.01
) -> nn.Linear:
    """Return a linear layer that classifies features: scikit-learn's logistic regression.

    Each feature is brought to mean 0 and deviation 1; these numbers become a part of the layer.

    Args:
        found: Of `features`, (N, features).
        labels: int64 (N,).
        classes: Number of scores; None for the number of different labels.
        strength: Inverse of the penalty on large weights, `C` of scikit-learn. Small where there
            are many features and few pictures.

    Raises:
        CourseError: If there are fewer than two classes, a class has no picture, or the features
            are not finite numbers, one row for each label.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    _require_rows(found, labels)
    there = labels.unique().tolist()
    classes = len(there) if classes is None else whole_number("classes", classes, 1)
    if len(there) < 2 or there != [*range(classes)]:
        lacking = sorted(set(range(max(2, classes))) - set(there))
        raise CourseError(
            f"There is no picture of class {', '.join(map(str, lacking)) or classes}: a classifier "
            "needs at least one picture of each of two or more classes, 0, 1, 2 ..."
        )
    if not (is_number(strength) and 0 < strength < math.inf):
        raise CourseError(f"strength={strength!r}: give a number above 0; 0.01 is usual here.")
    scaler = StandardScaler().fit(found.double().numpy())
    scaled = scaler.transform(found.double().numpy())
    with warnings.catch_warnings():
        # With one picture of each class it would ask whether the labels are measured values.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        fitted = LogisticRegression(C=strength, max_iter=2000).fit(scaled, labels.numpy())
    weight, bias = fitted.coef_, fitted.intercept_
    if len(weight) == 1:  # of two classes scikit-learn has the score of the second one alone
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / scaler.scale_
    layer = seeded(lambda: nn.Linear(found.shape[1], classes), 0)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias - weight @ scaler.mean_))
    return layer


def cross_validated(found: Tensor, labels: Tensor, *, folds: int = 4, seed: int = 0) -> Tensor:
    """Return the class of each picture, int64 (N,), by a `linear_head` that has not seen it.

    The pictures of each class are dealt into `folds` parts. For each part a head learns from all
    other parts. So every picture is a test picture once (cross-validation; Stone 1974,
    "Cross-validatory choice and assessment of statistical predictions").

    Args:
        found: Of `features`, (N, features).
        labels: int64 (N,); the classes are 0, 1, 2 ..., each with at least two pictures.
        folds: At least 2; no more than the rarest class has pictures.
        seed: Of the dealing.

    Raises:
        CourseError: If a class has too few pictures, or as in `linear_head`.
    """
    _require_rows(found, labels)
    counts = torch.bincount(labels).tolist()
    whole_number("folds", folds, 2)
    if counts and min(counts) < folds:
        label = counts.index(min(counts))
        raise CourseError(
            f"Class {label} has {counts[label]} picture{'s' * (counts[label] != 1)}, but {folds} "
            "folds need at least as many: give more pictures, or make folds smaller."
        )
    generator = torch.Generator().manual_seed(whole_number("seed", seed, 0))
    part, answers = torch.empty_like(labels), torch.empty_like(labels)
    for label, count in enumerate(counts):
        part[labels == label] = torch.randperm(count, generator=generator) % folds
    with torch.no_grad():
        for fold in range(folds):
            head = linear_head(found[part != fold], labels[part != fold], len(counts))
            answers[part == fold] = head(found[part == fold]).argmax(1)
    return answers


def last_linear(model: nn.Module) -> str:
    """Return the name of the last `nn.Linear` of a model, its classifier.

    Raises:
        CourseError: If there is none.
    """
    names = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    if not names or not names[-1]:
        raise CourseError(
            "The model has no linear layer inside, so its features are not known: take a network "
            "that ends with nn.Linear."
        )
    return names[-1]


def with_head(model: nn.Module, head: nn.Linear | int, *, seed: int = 0) -> nn.Module:
    """Return a copy of `model` whose last linear layer is `head`; the model does not change.

    Args:
        head: Such as `linear_head` returns, or a number of classes for a new layer with random
            weights.
        seed: Of these weights.

    Raises:
        CourseError: If the head takes another number of features.
    """
    name = last_linear(model)
    old = model.get_submodule(name)
    if not isinstance(head, nn.Linear):
        count = whole_number("head", head, 1)
        head = seeded(lambda: nn.Linear(old.in_features, count), seed)
    if head.in_features != old.in_features:
        raise CourseError(
            f"The head takes {head.in_features} features, but the network has {old.in_features}: "
            "compute the features with this network."
        )
    copied, new = copy.deepcopy(model), copy.deepcopy(head).to(old.weight.device)
    parent, _, own = name.rpartition(".")
    setattr(copied.get_submodule(parent), own, new.requires_grad_())
    return copied.eval()


@contextlib.contextmanager
def frozen(*parts: nn.Module) -> Iterator[None]:
    """Freeze parts of a network for a `with` block: nothing in them changes, whatever trains.

    Their parameters take no gradient. That alone is not enough: in train mode BatchNorm still moves
    its running statistics, and dropout draws. So they compute in eval mode, also where `fit`, or
    the reader, calls `model.train()`.
    """
    parameters = {p: p.requires_grad for part in parts for p in part.parameters()}
    hooks = [part.register_forward_pre_hook(_in_eval_mode) for part in parts]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, trained in parameters.items():
            parameter.requires_grad_(trained)
        for hook in hooks:
            hook.remove()


def _in_eval_mode(part: nn.Module, _inputs: Any) -> None:
    if any(module.training for module in part.modules()):
        part.eval()


def parts_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return the parts of a network that have parameters, by name, in order.

    They are its direct children; where there is only one, its children.
    """
    place, prefix = model, ""
    while True:
        found = {
            prefix + name: part
            for name, part in place.named_children()
            if any(True for _ in part.parameters())
        }
        if len(found) != 1 or isinstance(next(iter(found.values())), nn.Linear):
            return found
        name, place = next(iter(found.items()))
        prefix = f"{name}."


def fine_tune(
    model: nn.Module,
    data: Dataset,
    *,
    trained: int | None = None,
    learning_rate: float = 1e-3,
    decay: float = 0.4,
    epochs: int = 8,
    **arguments: Any,
) -> History:
    """Train the last parts of a network, in place, the earlier ones with smaller steps.

    Smaller steps for earlier parts ("discriminative fine-tuning") are of Howard and Ruder 2018,
    "Universal language model fine-tuning for text classification": what early layers know is more
    general. The optimizer is AdamW; the rate rises over a tenth of the steps, and falls as a
    cosine.

    Args:
        model: Such as `with_head` returns.
        data: As `for_network` returns it.
        trained: Number of parts (`parts_of`) from the end that are trained; the others are frozen.
            None for all, 1 for the classifier alone.
        learning_rate: Of the last part.
        decay: Factor of the rate from each part to the one before it; 1 for the same rate.
        epochs, arguments: As for `fit`; not the optimizer and the scheduler.

    Raises:
        CourseError: If there are fewer parts, a number is out of its range, or as in `fit`.
    """
    if not (is_number(decay) and 0 < decay <= 1):
        raise CourseError(f"decay={decay!r}: give a factor above 0 and up to 1; 0.4 is usual.")
    parts = list(parts_of(model).values())
    count = len(parts) if trained is None else whole_number("trained", trained, 1, len(parts))
    if not (is_number(learning_rate) and 0 < learning_rate < math.inf):
        raise CourseError(f"learning_rate={learning_rate!r}: give a number above 0.")
    if taken := {"optimizer", "scheduler", "scheduler_every"} & arguments.keys():
        raise CourseError(f"fine_tune makes its own {' and '.join(sorted(taken))}: leave it out.")
    early, late = parts[: len(parts) - count], parts[len(parts) - count :]
    groups = [
        {"params": list(part.parameters()), "lr": learning_rate * decay**depth}
        for depth, part in enumerate(reversed(late))
    ]
    steps = epochs * max(1, len(data.train) // arguments.get("batch_size", 64))
    schedule = Schedule("cosine", warmup=0.1 if steps >= 20 else 0.0)
    with frozen(*early):
        optimizer = torch.optim.AdamW(groups)
        return fit(model, data, epochs=epochs, optimizer=optimizer, scheduler=schedule, **arguments)


def neighbours(query: Tensor, pool: Tensor, count: int = 5) -> Tensor:
    """Return the rows of `pool` that point most nearly where each row of `query` does.

    Args:
        query: Features (M, features).
        pool: Features (N, features).
        count: Neighbours of each.

    Returns:
        int64 (M, count), the nearest first, by the cosine of the angle.

    Raises:
        CourseError: If the two have other numbers of features, or there are fewer rows.
    """
    if query.dim() != 2 or pool.dim() != 2 or query.shape[1] != pool.shape[1]:
        raise CourseError(
            f"query {tuple(query.shape)} and pool {tuple(pool.shape)} need the same features, (M, "
            "features) and (N, features)."
        )
    whole_number("count", count, 1, len(pool))
    return (F.normalize(query) @ F.normalize(pool).T).topk(count, dim=1).indices


def _require_rows(found: Tensor, labels: Tensor) -> None:
    if found.dim() != 2 or len(found) != len(labels):
        raise CourseError(
            f"Features of shape {tuple(found.shape)} and {len(labels)} labels: there must be one "
            "row of features for each label."
        )
    if not found.isfinite().all():
        raise CourseError("The features have nan or infinite numbers: look at the network's.")


def _fitting(images: Tensor, card: Card, size: int) -> Tensor:
    """Return uint8 pictures with the network's channels, size × size."""
    whole_number("size", size, 1)
    channels = len(card.mean)
    if images.shape[1] not in (1, channels):
        raise CourseError(
            f"The pictures have {images.shape[1]} channels, but {card.name} takes {channels}: give "
            f"pictures with 1 or {channels}."
        )
    return resized(images, size).expand(-1, channels, -1, -1)
