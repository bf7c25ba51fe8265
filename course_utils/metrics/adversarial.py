"""Adversarial examples: the smallest change of every pixel that misleads a network most.

An attack changes each pixel by at most ε, in the direction that makes a loss larger:

- FGSM takes one step of size ε (Goodfellow, Shlens and Szegedy 2015, "Explaining and harnessing
  adversarial examples");
- PGD takes several smaller ones, and after each goes back to the nearest allowed picture (Madry et
  al. 2018, "Towards deep learning models resistant to adversarial attacks").

Pixels are from 0 to 1, so a change of 8 of 255 grey levels is ε = 8/255. The network is in eval
mode during an attack, and is left exactly as it was. Each picture is attacked by itself: the others
in the batch do not matter, except for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.core import (
    CourseError,
    check_network,
    device_of,
    error_line,
    evaluation_mode,
    is_number,
    is_out_of_memory,
    memory_in_words,
    shape_text,
    whole_number,
)
from course_utils.metrics.labelled import class_numbers

AttackLoss = Callable[[Tensor], Tensor]
"""Takes logits (N, classes), and returns what the attack makes larger, one number a picture."""

ATTACKS = ("noise", "fgsm", "pgd")
"""From the mildest to the strongest change of the same size; "noise" is none."""

_NO_GRADIENT = (
    "No gradient goes from the scores back to the pictures, so there is no direction to follow: an "
    "int8 network and one that rounds have none. Attack the float network that it was made from, "
    "and show it the result."
)


def fgsm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    epsilon: float,
    mean: Tensor | float,
    std: Tensor | float,
    loss: AttackLoss | None = None,
) -> Tensor:
    """Return pictures attacked by FGSM: float32 (N, C, H, W), from 0 to 1.

    They are the pictures plus ε times the sign of the loss's gradient, cut to [0, 1].

    Args:
        model, images, labels, epsilon, mean, std, loss: As for `pgd`.

    Raises:
        CourseError: As for `pgd`.
    """
    check_epsilon(epsilon)
    settings = {"epsilon": epsilon, "mean": mean, "std": std, "loss": loss}
    return pgd(model, images, labels, **settings, steps=1, step_size=epsilon or 1.0, seed=None)


@memory_in_words("give fewer pictures at a time")
@torch.inference_mode(False)
@torch.enable_grad()
def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    epsilon: float,
    mean: Tensor | float,
    std: Tensor | float,
    steps: int = 10,
    step_size: float | None = None,
    loss: AttackLoss | None = None,
    seed: int | None = 0,
) -> Tensor:
    """Return pictures attacked by PGD: float32 (N, C, H, W), from 0 to 1.

    No pixel differs by more than ε from that of the picture, except for rounding.

    Args:
        model: Takes normalised pictures, returns logits (N, classes).
        images: (N, C, H, W), uint8 or floats from 0 to 1, before they are normalised.
        labels: True classes, int64 (N,). The attack makes their cross-entropy larger.
        epsilon: Largest change of a pixel, from 0 to 1, such as 8/255.
        mean, std: The normalisation of the model, (C,) or one number.
        steps: Number of gradients; each costs as much as a step of a training.
        step_size: Change of each pixel in a step; None for 2.5 · ε / steps.
        loss: What to make larger in place of the labels' cross-entropy, such as `away_from` or
            `towards`.
        seed: Of the random start inside the allowed change, the same for all pictures; None to
            start at the pictures.

    Raises:
        OutOfMemory: If there is not enough memory.
        CourseError: If a setting is out of its range, the pictures are not such pictures, the model
            does not take them, or no gradient reaches them.
    """
    check_network(model)
    check_epsilon(epsilon)
    whole_number("steps", steps, 1)
    size = 2.5 * epsilon / steps if step_size is None else step_size
    if not (is_number(size) and math.isfinite(size) and (size > 0 or step_size is None)):
        raise CourseError(f"step_size={step_size!r}: give a number above 0, such as epsilon / 4.")
    pixels = _pixels(images).to(device_of(model))
    normalise = _normaliser(mean, std, pixels)
    rise = _loss_of(labels, loss, len(pixels))
    start = pixels
    if seed is not None:
        # One draw for all pictures: what a picture becomes does not depend on the others.
        draw = np.random.default_rng(whole_number("seed", seed, 0))
        change = draw.uniform(-epsilon, epsilon, (1, *pixels.shape[1:]))
        start = pixels + torch.from_numpy(change).to(pixels)
    if not len(pixels):
        return pixels
    steps = steps if epsilon > 0 else 1

    def scores(given: Tensor) -> Tensor:
        return _scores(model, normalise(given))

    with evaluation_mode(model):
        found = climb(scores, pixels, rise, epsilon, steps, size, start)
    return found.to(images.device)


def sign_noise(images: Tensor, epsilon: float, *, seed: int = 0) -> Tensor:
    """Return pictures in which each pixel is changed by ε, up or down by the throw of a coin.

    It is noise as large as the change of `fgsm`, to compare with: float32 (N, C, H, W), cut to
    [0, 1].

    Args:
        images: As for `pgd`.
        epsilon: Change of each pixel, from 0 to 1.
        seed: Of the coin.

    Raises:
        CourseError: If ε is out of its range, or the pictures are not such pictures.
    """
    check_epsilon(epsilon)
    pixels = _pixels(images)
    coin = np.random.default_rng(whole_number("seed", seed, 0))
    signs = torch.from_numpy(2 * coin.integers(2, size=tuple(pixels.shape)) - 1).to(pixels)
    return (pixels + epsilon * signs).clamp(0, 1)


def probabilities(
    model: nn.Module, images: Tensor, *, mean: Tensor | float, std: Tensor | float
) -> Tensor:
    """Return what the network says of attacked pictures: softmax of its scores, (N, classes).

    It runs in eval mode and without gradients, and does not change.

    Args:
        model, images, mean, std: As for `pgd`.

    Raises:
        CourseError: If the pictures are not such pictures, or the model does not take them.
    """
    pixels = _pixels(images).to(device_of(model))
    normalise = _normaliser(mean, std, pixels)
    with evaluation_mode(model), torch.no_grad():
        return _scores(model, normalise(pixels)).softmax(1).to(images.device)


def attack(
    kind: str,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    mean: Tensor | float,
    std: Tensor | float,
    steps: int = 10,
    seed: int = 0,
) -> Tensor:
    """Return pictures after one of `ATTACKS`, or after noise of the same size.

    Args:
        kind: "noise" is `sign_noise`, "fgsm" and "pgd" are the functions of this name.
        model, images, labels, epsilon, mean, std: As for `pgd`.
        steps: Of PGD.
        seed: Of the noise, and of the start of PGD.

    Raises:
        CourseError: If there is no such attack, or as for `pgd`.
    """
    settings = {"epsilon": epsilon, "mean": mean, "std": std}
    if kind == "noise":
        return sign_noise(images, epsilon, seed=seed)
    if kind == "fgsm":
        return fgsm(model, images, labels, **settings)
    if kind == "pgd":
        return pgd(model, images, labels, **settings, steps=steps, seed=seed)
    raise CourseError(f"kind={kind!r}: give one of {', '.join(map(repr, ATTACKS))}.")


def away_from(classes: Sequence[int]) -> AttackLoss:
    """Return a loss for `pgd` and `fgsm`: −log of the probability of all these classes together.

    An attack on the label alone moves a cat only to another kind of cat. This one leaves them all.

    Raises:
        CourseError: If they are not numbers of classes; in the attack, if the network has fewer.
    """
    try:
        chosen = sorted({whole_number("classes", one, 0) for one in classes})
    except TypeError:
        chosen = []
    if not chosen:
        raise CourseError(
            f"classes={classes!r}: give a list of numbers of classes, such as [3, 5]."
        )

    def rise(logits: Tensor) -> Tensor:
        whole_number("classes", chosen[-1], 0, logits.shape[1] - 1)
        return logits.logsumexp(1) - logits[:, chosen].logsumexp(1)

    return rise


def towards(target: int) -> AttackLoss:
    """Return a loss for `pgd` and `fgsm`: the log of the probability of one class, the target.

    Raises:
        CourseError: If it is not the number of a class; in the attack, if the network has fewer.
    """
    whole_number("target", target, 0)

    def rise(logits: Tensor) -> Tensor:
        whole_number("target", target, 0, logits.shape[1] - 1)
        return logits.log_softmax(1)[:, target]

    return rise


def climb(
    scores: Callable[[Tensor], Tensor],
    pixels: Tensor,
    rise: AttackLoss,
    epsilon: float,
    steps: int,
    step_size: float,
    start: Tensor,
    *,
    strict: bool = True,
) -> Tensor:
    """Return the pictures after `steps` steps upwards, the inner loop of every attack.

    It needs a block with gradients on, and a network in eval mode.

    Args:
        scores: Takes pixels (N, C, H, W) from 0 to 1, returns logits.
        pixels: The pictures, which stay within ε.
        rise: What to make larger, see `AttackLoss`.
        start: The first pictures; they are moved to the nearest allowed ones.
        strict: Whether a gradient that is 0 everywhere is an error.

    Raises:
        CourseError: If there is no gradient, or it is not finite.
    """
    low, high = (pixels - epsilon).clamp_(min=0), (pixels + epsilon).clamp_(max=1)
    found = start.clamp(low, high)
    for step in range(steps):
        found = found.detach().requires_grad_()
        value = rise(scores(found))
        if not isinstance(value, Tensor) or value.shape != (len(pixels),):
            what = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise CourseError(
                f"The loss of an attack returns {what}, but one number for each of the "
                f"{len(pixels)} pictures is needed: leave out mean() and sum()."
            )
        if not value.requires_grad:
            raise CourseError(_NO_GRADIENT)
        (gradient,) = torch.autograd.grad(value.sum(), [found], allow_unused=True)
        if gradient is None or (strict and step == 0 and epsilon > 0 and not gradient.any()):
            raise CourseError(_NO_GRADIENT)
        if not gradient.isfinite().all():
            raise CourseError(
                "The gradient of the loss is not finite: look for NaN in the network's weights."
            )
        found = (found.detach() + step_size * gradient.sign()).clamp(low, high)
    return found


def check_epsilon(epsilon: Any) -> None:
    """Raise a `CourseError` unless `epsilon` is a number from 0 to 1."""
    if not (is_number(epsilon) and 0 <= epsilon <= 1):
        raise CourseError(
            f"epsilon={epsilon!r}: give the largest change of a pixel, whose values are from 0 to "
            "1; 8 of 255 grey levels are 8/255."
        )


def _loss_of(labels: Any, loss: AttackLoss | None, count: int) -> AttackLoss:
    if (labels is None) == (loss is None):
        raise CourseError(
            "Give an attack either labels, whose cross-entropy it makes larger, or a loss of your "
            "own, such as towards(3)."
        )
    if loss is not None:
        return loss

    true = torch.as_tensor(class_numbers(labels, None)) if count else torch.zeros(0).long()
    if len(true) != count:
        raise CourseError(f"There are {count} pictures, but {len(true)} labels: give one for each.")

    def rise(logits: Tensor) -> Tensor:
        class_numbers(true, logits.shape[1])
        return F.cross_entropy(logits, true.to(logits.device), reduction="none")

    return rise


def _pixels(images: Any) -> Tensor:
    """Return pictures as float32 from 0 to 1, in new memory."""
    if not isinstance(images, Tensor):
        found = f"a {type(images).__name__}"
    elif images.dim() != 4:
        found = f"a tensor of shape {tuple(images.shape)}"
    elif images.dtype == torch.uint8:
        return images.float() / 255
    elif not images.is_floating_point():
        found = f"numbers of type {images.dtype}".replace("torch.", "")
    elif not images.isfinite().all():
        found = "pictures with NaN or infinite pixels"
    elif images.numel() and not 0 <= images.min() <= images.max() <= 1:
        found = f"pixels from {images.min():.3g} to {images.max():.3g}"
    else:
        return images.detach().float().clone()
    raise CourseError(
        f"An attack takes pictures (N, C, H, W), uint8 or floats from 0 to 1, not {found}: give "
        "them as they are before they are normalised, and mean and std beside them."
    )


def _normaliser(mean: Any, std: Any, pixels: Tensor) -> Callable[[Tensor], Tensor]:
    values = [torch.as_tensor(one, dtype=torch.float32).reshape(-1, 1, 1) for one in (mean, std)]
    channels = pixels.shape[1]
    if any(len(one) not in (1, channels) or not one.isfinite().all() for one in values):
        raise CourseError(
            f"mean and std must be finite numbers, one of each or {channels}, one for each channel."
        )
    shift, scale = (one.to(pixels.device).clone() for one in values)
    if (scale < 0).any():
        raise CourseError(f"std must not be negative, but it is {scale.flatten().tolist()}.")
    # As `Batches` does: a channel with one value only is divided by 1.
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return lambda given: (given - shift) / scale


def _scores(model: nn.Module, batch: Tensor) -> Tensor:
    try:
        scores = model(batch)
    except CourseError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise CourseError(
            f"The network does not take pictures of {shape_text(batch.shape[1:])} "
            f"({error_line(error)})."
        ) from error
    if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(batch):
        what = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise CourseError(
            f"The network must return scores ({len(batch)}, classes) for {len(batch)} pictures, "
            f"not {what}."
        )
    return scores.float()
