"""Robustness: the accuracy on corrupted pictures, and on pictures that were attacked.

The corruptions are noise, blur, weak contrast and the like, each in five strengths, by
Hendrycks and Dietterich 2019, "Benchmarking neural network robustness to common corruptions and
perturbations". The strengths are those of their CIFAR-10-C, which is made for small pictures. The
attacks are those of `course_utils.metrics.adversarial`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.core import CourseError, whole_number
from course_utils.data import ImageSet
from course_utils.metrics.adversarial import ATTACKS, attack, check_epsilon, probabilities
from course_utils.metrics.evaluate import evaluate
from course_utils.metrics.intervals import wilson_interval

if TYPE_CHECKING:
    import pandas

STRENGTHS = (1, 2, 3, 4, 5)
"""From hardly visible to strong."""

# What the number of each strength means is said in `corrupt`.
_AMOUNTS = {
    "noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "blur": (0.4, 0.6, 0.7, 0.8, 1.0),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    "jpeg": (80, 65, 58, 50, 40),
}
CORRUPTIONS = tuple(_AMOUNTS)
"""Names of the corruptions."""

_SIDE = 32  # of the pictures of CIFAR-10, for which the strengths of the blur are made


def corrupt(images: Tensor, kind: str, strength: int, *, seed: int = 0) -> Tensor:
    """Return corrupted copies of pictures: uint8, of the same shape, on the same device.

    Args:
        images: uint8 (C, H, W) or (N, C, H, W), grey (C = 1) or RGB (C = 3).
        kind: One of `CORRUPTIONS`:
            "noise" adds normally distributed numbers to all pixels, of the standard deviation
            0.04, 0.06, 0.08, 0.09 or 0.10 (pixels from 0 to 1);
            "blur" is a Gaussian blur, of the standard deviation 0.4, 0.6, 0.7, 0.8 or 1 pixel if
            the shorter side has 32 pixels, and in proportion for others;
            "contrast" multiplies the distance from the mean grey of the picture by 0.75, 0.5, 0.4,
            0.3 or 0.15;
            "brightness" adds 0.05, 0.1, 0.15, 0.2 or 0.3 to all pixels;
            "jpeg" compresses with the quality 80, 65, 58, 50 or 40, and reads the result.
        strength: From 1 to 5.
        seed: Of the noise. The same seed draws the same noise for each strength, only larger.

    Raises:
        CourseError: If there are no such pictures, no such corruption, or no such strength.
    """
    _check_images(images)
    if kind not in CORRUPTIONS:
        raise CourseError(f"kind={kind!r}: give one of {', '.join(map(repr, CORRUPTIONS))}.")
    whole_number("strength", strength, STRENGTHS[0], STRENGTHS[-1])
    whole_number("seed", seed, 0)
    amount = _AMOUNTS[kind][strength - 1]
    if kind == "noise":
        return _with_noise(images, amount, seed)
    # Importing torchvision takes a second.
    from torchvision.transforms.v2 import functional

    if kind == "blur":
        sigma = amount * min(images.shape[-2:]) / _SIDE
        # The edge is mirrored, so the kernel must not reach over the whole picture.
        reach = [min(math.ceil(3 * sigma), side - 1) for side in reversed(images.shape[-2:])]
        return functional.gaussian_blur(images, [2 * one + 1 for one in reach], [sigma, sigma])
    if kind == "contrast":
        faded = functional.adjust_contrast(images.float() / 255, amount)
        return faded.mul_(255).round_().to(torch.uint8)
    if kind == "brightness":
        return (images.int() + round(255 * amount)).clamp(max=255).to(torch.uint8)
    pictures = images.reshape(-1, *images.shape[-3:]).permute(0, 2, 3, 1).cpu().numpy()
    result = np.empty_like(pictures)
    for place, one in zip(result, pictures, strict=True):
        place[:] = _through_jpeg(one, amount)
    found = torch.from_numpy(result).permute(0, 3, 1, 2).contiguous()
    return found.reshape(images.shape).to(images.device)


def corruption_accuracies(
    model: nn.Module,
    image_set: ImageSet,
    *,
    mean: Tensor,
    std: Tensor,
    kinds: Sequence[str] = CORRUPTIONS,
    strengths: Sequence[int] = STRENGTHS,
    seed: int = 0,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    on_batch: Callable[[], None] | None = None,
) -> pandas.DataFrame:
    """Return the accuracy of a network on corrupted pictures, one row for each corruption.

    The first row is of the pictures as they are: kind "none", strength 0. The mean accuracy over
    all other rows is a usual summary.

    Args:
        model, image_set, mean, std, batch_size, device, on_batch: As for `evaluate`.
        kinds: Of `CORRUPTIONS`.
        strengths: From 1 to 5.
        seed: Of the noise.

    Returns:
        Columns: kind, strength, correct, total, accuracy, and low and high, the ends of Wilson's
        95 % interval.

    Raises:
        OutOfMemory: If there is not enough memory.
        CourseError: As `corrupt` and `evaluate` do, or if there is no corruption to measure.
    """
    import pandas as pd

    _check_set(image_set)
    levels = _listed("strengths", strengths, STRENGTHS)
    chosen = [(kind, one) for kind in _listed("kinds", kinds, CORRUPTIONS) for one in levels]
    for kind, strength in chosen:  # a wrong name is said before minutes of work
        corrupt(image_set.images[:0], kind, strength, seed=seed)
    settings = {"mean": mean, "std": std, "batch_size": batch_size, "device": device}
    rows = []
    for kind, strength in [("none", 0), *chosen]:
        images = image_set.images
        if strength:
            images = corrupt(images, kind, strength, seed=seed)
        corrupted = ImageSet(images, image_set.labels, image_set.classes)
        found = evaluate(model, corrupted, **settings, on_batch=on_batch)
        counts = {"correct": found.correct, "total": found.total, "accuracy": found.accuracy}
        rows.append({"kind": kind, "strength": strength} | counts | found.interval()._asdict())
    return pd.DataFrame(rows)


def attack_accuracies(
    model: nn.Module,
    image_set: ImageSet,
    epsilons: Sequence[float],
    *,
    mean: Tensor,
    std: Tensor,
    attacks: Sequence[str] = ATTACKS,
    steps: int = 10,
    seed: int = 0,
    batch_size: int = 256,
) -> pandas.DataFrame:
    """Return the accuracy of a network on attacked pictures, one row for each attack and each ε.

    Args:
        model, image_set, mean, std, batch_size: As for `evaluate`.
        epsilons: Largest changes of a pixel, from 0 to 1, such as [0, 4/255, 8/255].
        attacks: Of `ATTACKS`.
        steps: Of PGD.
        seed: Of the noise, and of the start of PGD.

    Returns:
        Columns: attack, epsilon, correct, total, accuracy, and low and high, the ends of Wilson's
        95 % interval.

    Raises:
        OutOfMemory: If there is not enough memory.
        CourseError: As `attack` and `evaluate` do, or if there is no attack or no ε.
    """
    import pandas as pd

    _check_set(image_set)
    whole_number("batch_size", batch_size, 1)
    sizes = _listed("epsilons", epsilons, ["0", "8/255"])
    for epsilon in sizes:
        check_epsilon(epsilon)
    scale = {"mean": mean, "std": std}
    settings = scale | {"steps": steps, "seed": seed}
    rows = []
    for kind in _listed("attacks", attacks, ATTACKS):
        for epsilon in sizes:
            correct = 0
            for start in range(0, len(image_set), batch_size):
                part = image_set.subset(range(start, min(start + batch_size, len(image_set))))
                changed = attack(kind, model, part.images, part.labels, epsilon=epsilon, **settings)
                shares = probabilities(model, changed, **scale)
                correct += int((shares.argmax(1) == part.labels).sum())
            found = {"correct": correct, "total": len(image_set)}
            found["accuracy"] = correct / len(image_set)
            found |= wilson_interval(correct, len(image_set))._asdict()
            rows.append({"attack": kind, "epsilon": epsilon} | found)
    return pd.DataFrame(rows)


def _check_set(image_set: Any) -> None:
    if not isinstance(image_set, ImageSet):
        raise CourseError(
            f"image_set must be labelled pictures, not a {type(image_set).__name__}: give an "
            "ImageSet, such as data.test."
        )
    if not len(image_set):
        raise CourseError("There is no picture to evaluate on: give a set with at least one.")


def _listed(name: str, values: Any, known: Sequence[Any]) -> tuple[Any, ...]:
    found = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else ()
    if not found:
        shown = ", ".join(map(str, known[:2]))
        raise CourseError(f"{name}={values!r}: give a list, such as [{shown}].")
    return found


def _check_images(images: Any) -> None:
    if not isinstance(images, Tensor):
        found = f"a {type(images).__name__}"
    elif images.dtype != torch.uint8:
        found = f"numbers of type {images.dtype}".replace("torch.", "")
    elif images.dim() not in (3, 4) or images.shape[-3] not in (1, 3):
        found = f"a tensor of shape {tuple(images.shape)}"
    elif 0 in images.shape[-2:]:
        found = f"pictures of {images.shape[-2]}×{images.shape[-1]} pixels"
    else:
        return
    raise CourseError(
        f"corrupt takes uint8 pictures (N, C, H, W) with 1 or 3 channels, not {found}: give them "
        "as they are before they are normalised, such as data.test.images."
    )


def _through_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """Return a picture (H, W, 1 or 3) as it looks after it was saved as JPEG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(
        file, "JPEG", quality=quality
    )
    with Image.open(file) as found:
        return np.asarray(found).reshape(picture.shape)


def _with_noise(images: Tensor, deviation: float, seed: int) -> Tensor:
    # NumPy draws the same numbers on every processor; those of PyTorch differ in the last digit.
    drawn = np.random.default_rng(seed).standard_normal(tuple(images.shape), dtype=np.float32)
    noise = torch.from_numpy(drawn).to(images.device)
    return noise.mul_(255 * deviation).add_(images).round_().clamp_(0, 255).to(torch.uint8)
