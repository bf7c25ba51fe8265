"""One candidate of a search: the network that the values ask for, and how it is trained."""

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
"""How the article trains; what a search leaves open is as here."""

CHOICES: dict[str, Collection[str]] = {
    "optimizer": COMPARED_OPTIMIZERS,
    "schedule": SCHEDULES,
    "augment": AUGMENTATIONS,
}
"""What these settings of the training may be, by name."""

WEIGHTS = ("keep", "fresh")

_NOISE = 0.02


@dataclass(frozen=True)
class Settings:
    """Values of a candidate, taken apart.

    Attributes:
        edits: layer -> arguments of `edit_conv`.
        depths: layer -> number of convolutions in its place.
        training: all of `ARTICLE`'s names, with the candidate's values.

    Raises:
        CourseError: an optimizer, a schedule or an augmentation that is not known.
    """

    edits: dict[str, dict[str, Any]]
    depths: dict[str, int]
    training: dict[str, Any]

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Settings:
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
            if training[name] not in known:
                raise CourseError(
                    f"{name}={training[name]!r} is not known here: {', '.join(known)}."
                )
        return cls(edits, depths, training)

    def fit_arguments(self) -> dict[str, Any]:
        """Arguments of `fit` for this training."""
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
    """A copy of `model` with the layers that `params` ask for; the training's values are ignored.

    Layers are edited in the order of `params`, each with all its settings at once; what couples
    them follows. `depth` comes last.

    Args:
        params: name -> value, as a `SearchSpace` suggests them.
        example_input: a batch (N, C, H, W); only its shape counts.
        weights: "keep" what was learned, "fresh" draws new ones (each layer's own
            `reset_parameters`, except of frozen ones). Kept channels that were copied get a little
            noise, or their copies would have the same gradients for ever.
        seed: of all that is drawn.

    Raises:
        ImpossibleSetting: no layer has such settings.
        EditError: the network cannot follow.
    """
    if weights not in WEIGHTS:
        raise CourseError(f"weights={weights!r}: choose 'keep' or 'fresh'.")
    settings = Settings.of(params)
    original = model
    for layer, wanted in settings.edits.items():
        now = simple_settings(model.get_submodule(layer))
        changes = {name: value for name, value in wanted.items() if now[name] != simple(value)}
        if changes:
            model = edit_conv(model, layer, example_input=example_input, **changes)
    for layer, depth in settings.depths.items():
        model = deepen(model, layer, depth)
    if model is original:
        model = copy.deepcopy(original)
    with private_random_numbers():
        torch.manual_seed(seed)
        if weights == "fresh":
            draw_again(model)
        else:
            tell_copies_apart(original, model)
    return model


def multiply_adds(model: nn.Module, example_input: Tensor) -> int:
    """Of one picture, over all convolutions and linear layers."""
    return sum(row.multiply_adds or 0 for row in layer_table(model, example_input))


def draw_again(model: nn.Module) -> None:
    """Fresh weights, in place, by each layer's own `reset_parameters`.

    A layer whose parameters are all frozen keeps them, for no training would mend it.
    """
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        frozen = own and not any(parameter.requires_grad for parameter in own)
        if hasattr(module, "reset_parameters") and not frozen:
            module.reset_parameters()


def tell_copies_apart(original: nn.Module, model: nn.Module) -> None:
    """Noise, in place, on kernels that are copies of others in a layer that has more than before.

    Copies of a channel that are exactly equal would have equal gradients for ever. The noise is a
    fiftieth of the standard deviation of the layer's weights; the first of equal ones stays.
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
    """Which rows are equal to one before them: bool (rows,)."""
    _, kind = torch.unique(weight.flatten(1), dim=0, return_inverse=True)
    seen: set[int] = set()
    again = []
    for number in kind.tolist():
        again.append(number in seen)
        seen.add(number)
    return torch.tensor(again, device=weight.device)
