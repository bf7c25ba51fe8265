"""One candidate of a search: its network and its training, from the values of its settings."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.conv import deepen, edit_conv, layer_table, simple, simple_settings
from course_utils.core import CourseError, private_random_numbers
from course_utils.data import Augment
from course_utils.training import COMPARED_OPTIMIZERS, OPTIMIZERS, SCHEDULES

AUGMENTATIONS = {
    "none": None,
    "flip": Augment(flip=True),
    "crop": Augment(pad_crop=2),
    "flip and crop": Augment(flip=True, pad_crop=2),
}

ARTICLE: dict[str, Any] = {
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "schedule": "constant",
    "optimizer": "Adam",
    "label_smoothing": 0.0,
    "augment": "none",
    "batch_size": 64,
}
"""How the article trains; settings that are not searched have these values."""

CHOICES: dict[str, Collection[str]] = {
    "optimizer": COMPARED_OPTIMIZERS,
    "schedule": SCHEDULES,
    "augment": AUGMENTATIONS,
}
"""Settings of the training whose values are names -> the names that they may have."""

WEIGHTS = ("keep", "fresh")

_NOISE = 0.02
"""Standard deviation of the noise on copies, as a share of the weights' standard deviation."""


@dataclass(frozen=True)
class Settings:
    """The values of a candidate, sorted by what they change.

    Attributes:
        edits: layer -> arguments of `edit_conv`.
        depths: layer -> number of convolutions in its place.
        training: all names of `ARTICLE`, with the candidate's values.
    """

    edits: dict[str, dict[str, Any]]
    depths: dict[str, int]
    training: dict[str, Any]

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Settings:
        """Sort the values of a candidate.

        Raises:
            CourseError: an optimizer, a schedule or an augmentation is not known.
        """
        edits: dict[str, dict[str, Any]] = {}
        depths: dict[str, int] = {}
        training = dict(ARTICLE)
        for name, value in params.items():
            layer, dot, setting = name.rpartition(".")
            if not dot:
                training[setting] = value
            elif setting == "depth":
                depths[layer] = value
            else:
                edits.setdefault(layer, {})[setting] = value
        for name, known in CHOICES.items():
            if (value := training[name]) not in known:
                raise CourseError(f"{name}={value!r} is not known here: {', '.join(known)}.")
        return cls(edits, depths, training)

    def fit_arguments(self) -> dict[str, Any]:
        """Return the arguments of `fit` for this training."""
        t = self.training
        return {
            "optimizer": partial(OPTIMIZERS[t["optimizer"]], weight_decay=t["weight_decay"]),
            "learning_rate": float(t["learning_rate"]),
            "scheduler": SCHEDULES[t["schedule"]],
            "label_smoothing": t["label_smoothing"],
            "augment": AUGMENTATIONS[t["augment"]],
            "batch_size": t["batch_size"],
        }


def build(
    model: nn.Module,
    params: Mapping[str, Any],
    example_input: Tensor,
    *,
    weights: str = "keep",
    seed: int = 0,
) -> nn.Module:
    """Return a copy of `model` with the layers of a candidate; values of the training are ignored.

    Layers are edited in the order of `params`, each with all its settings at once; the layers
    after them are adapted. `depth` comes last.

    Args:
        params: name -> value, as a `SearchSpace` suggests them.
        example_input: a batch (N, C, H, W); only its shape counts.
        weights: "keep" the learned weights (see `add_noise_to_copies`), or draw "fresh" ones (see
            `reset_weights`).
        seed: of all random numbers.

    Raises:
        ImpossibleSetting: no layer can have these settings.
        EditError: the rest of the network cannot be adapted.
    """
    if weights not in WEIGHTS:
        raise CourseError(f"weights={weights!r}: choose 'keep' or 'fresh'.")
    settings = Settings.of(params)
    original = model
    for layer, wanted in settings.edits.items():
        now = simple_settings(model.get_submodule(layer))
        if any(now[name] != simple(value) for name, value in wanted.items()):
            # All settings, also those that stay: a padding that is not named follows the kernel.
            model = edit_conv(model, layer, example_input=example_input, **wanted)
    for layer, depth in settings.depths.items():
        model = deepen(model, layer, depth)
    if model is original:
        model = copy.deepcopy(original)
    with private_random_numbers():
        torch.manual_seed(seed)
        if weights == "fresh":
            reset_weights(model)
        else:
            add_noise_to_copies(original, model)
    return model


def multiply_adds(model: nn.Module, example_input: Tensor) -> int:
    """Return the multiply-adds for one picture, of all convolutions and matrix products."""
    return sum(row.multiply_adds or 0 for row in layer_table(model, example_input))


def reset_weights(model: nn.Module) -> None:
    """Draw new weights, in place, by each layer's own `reset_parameters`.

    A layer whose parameters are all frozen keeps them, because it would not be trained.
    """
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        frozen = own and not any(parameter.requires_grad for parameter in own)
        if hasattr(module, "reset_parameters") and not frozen:
            module.reset_parameters()


def add_noise_to_copies(original: nn.Module, model: nn.Module) -> None:
    """Add noise, in place, to copied kernels of the layers that have more kernels than before.

    Exactly equal channels would have equal gradients for ever. The first of equal kernels gets no
    noise. Its standard deviation is a fiftieth of the standard deviation of the layer's weights.
    """
    before = {name: len(weight) for name, weight in original.named_parameters()}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # `deepen` moves a layer's own convolution to <name>.conv.
            known = name if name in before else name.replace(".conv.weight", ".weight")
            if weight.dim() > 1 and len(weight) > before.get(known, len(weight)):
                copies = _copies(weight)
                noise = _NOISE * weight.std() * torch.randn(weight.shape)
                weight[copies] += noise.to(weight)[copies]


def _copies(weight: Tensor) -> Tensor:
    """Return which rows are equal to an earlier one: bool (rows,)."""
    _, kind = torch.unique(weight.flatten(1), dim=0, return_inverse=True)
    kinds = kind.tolist()
    earlier = [number in kinds[:row] for row, number in enumerate(kinds)]
    return torch.tensor(earlier, device=weight.device)
