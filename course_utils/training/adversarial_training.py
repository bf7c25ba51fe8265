"""Adversarial training: the network learns from pictures that are attacked in each step.

Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks". Each step first
looks for the change of at most ε that makes the loss largest, and then makes the loss on the
changed pictures smaller.

>>> from course_utils.data import load_dataset
>>> from course_utils.models import SimpleCNN
>>> from course_utils.training import fit
>>> data = load_dataset("fashion-mnist")
>>> loss = AdversarialTraining(8 / 255, mean=data.mean, std=data.std)
>>> fit(SimpleCNN(), data, loss=loss, epochs=1)  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.core import CourseError, evaluation_mode, is_number, whole_number
from course_utils.metrics import check_epsilon, climb


@dataclass(frozen=True)
class AdversarialTraining:
    """A loss for `fit(model, data, loss=AdversarialTraining(8 / 255, data.mean, data.std))`.

    The attack is PGD with a random start for each picture, on the network in eval mode; the loss is
    the cross-entropy of the attacked pictures, in train mode. So a step takes about 1 + `steps`
    times as long.

    Args:
        epsilon: Largest change of a pixel, from 0 to 1, such as 8/255.
        mean, std: Those of the training pictures, with which `fit` normalises them.
        steps: Of PGD, each of the size 2.5 · ε / steps, but at most 1.25 · ε, which works for a
            single step, too (Wong, Rice and Kolter 2020, "Fast is better than free").
        share: Of the attacked pictures in the loss, from 0 to 1; the rest is the cross-entropy of
            the pictures as they are.

    Raises:
        CourseError: If a setting is out of its range; in the training, if the model does not return
            logits, or mean and std have not one value for each channel.
    """

    epsilon: float
    mean: Sequence[float]
    std: Sequence[float]
    steps: int = 3
    share: float = 1.0

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        whole_number("steps", self.steps, 1)
        if not (is_number(self.share) and 0 <= self.share <= 1):
            raise CourseError(
                f"share={self.share!r}: give the share of the attacked pictures in the loss, from "
                "0 to 1."
            )
        for name in ("mean", "std"):
            # As numbers they stand in the name that a checkpoint knows the loss by.
            values = torch.as_tensor(getattr(self, name), dtype=torch.float32).flatten()
            if not values.isfinite().all() or (name == "std" and (values < 0).any()):
                raise CourseError(
                    f"{name}={values.tolist()}: give the finite numbers of the training pictures, "
                    "such as data.mean and data.std."
                )
            if name == "std":  # as `Batches` does
                values = torch.where(values == 0, torch.ones_like(values), values)
            object.__setattr__(self, name, tuple(values.tolist()))

    def __call__(self, model: Any, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch; `fit` calls it."""
        attacked = self.attacked(model, images, labels)
        if self.share == 1:
            return F.cross_entropy(model(attacked), labels)
        both = model(torch.cat([attacked, images])).split(len(images))
        hard, plain = (F.cross_entropy(logits, labels) for logits in both)
        return self.share * hard + (1 - self.share) * plain

    def attacked(self, model: Any, images: Tensor, labels: Tensor) -> Tensor:
        """Return the attacked pictures, normalised as `images` are."""
        if len(self.mean) not in (1, images.shape[1]) or len(self.std) != len(self.mean):
            raise CourseError(
                f"mean and std have {len(self.mean)} and {len(self.std)} values, but the pictures "
                f"{images.shape[1]} channels."
            )
        network = model if isinstance(model, nn.Module) else model.network
        shift, scale = (
            torch.tensor(v, device=images.device).reshape(-1, 1, 1) for v in (self.mean, self.std)
        )
        # In eval mode the pictures of a batch do not depend on each other.
        with torch.enable_grad(), evaluation_mode(network):
            pixels = (images.detach() * scale + shift).clamp(0, 1)
            start = pixels + self.epsilon * (2 * torch.rand_like(pixels) - 1)
            found = climb(
                lambda given: network((given - shift) / scale),
                pixels,
                lambda logits: _losses(logits, labels),
                self.epsilon,
                self.steps,
                min(2.5 / self.steps, 1.25) * self.epsilon,
                start,
                strict=False,
            )
        return ((found - shift) / scale).detach()


def _losses(logits: Any, labels: Tensor) -> Tensor:
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(labels):
        what = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise CourseError(
            f"The model returns {what} for {len(labels)} pictures, but logits (N, classes) are "
            "needed: adversarial training is for networks that classify."
        )
    return F.cross_entropy(logits.float(), labels, reduction="none")
