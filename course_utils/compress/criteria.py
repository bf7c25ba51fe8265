"""Criteria for pruning: a score for each channel of each layer; the lowest ones go first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.conv import ChannelGroup
from course_utils.core import CourseError, device_of, evaluation_mode, whole_number
from course_utils.data import Batches, Dataset
from course_utils.metrics import check_model_fits

CRITERIA = ("l1", "l2", "batch_norm", "activation", "taylor", "random")
"""Names for `importance`."""

Importance = str | Callable[..., Tensor]
_BATCH = 128


def importance_of(
    model: nn.Module,
    groups: list[ChannelGroup],
    importance: Importance,
    data: Dataset | None = None,
    *,
    pictures: int = 512,
    seed: int = 0,
) -> Importance:
    """Return what `edit_conv` and `narrow` take as `importance`, for a criterion by name.

    - "l1", "l2": norm of the weights that make the channel (Li et al. 2017, "Pruning filters for
      efficient ConvNets").
    - "batch_norm": size of the factor by which the BatchNorm behind the layer multiplies the
      channel (Liu et al. 2017, "Learning efficient convolutional networks through network
      slimming").
    - "activation": share of the channel's numbers that are above zero, so that a ReLU lets them
      through (Hu et al. 2016, "Network trimming").
    - "taylor": how much the loss would change without the channel, by the first term of its Taylor
      series: |mean over the map of number · gradient|, averaged over pictures (Molchanov et al.
      2017, "Pruning convolutional neural networks for resource efficient inference").
    - "random": for comparison.

    "activation" and "taylor" look at the channel behind the BatchNorm of its layer, if there is
    one. A layer without a score of its own (a linear layer, or for "batch_norm" one without
    BatchNorm) has the "l1" norm of its weights.

    Args:
        groups: Of `channel_groups(model)`.
        importance: One of `CRITERIA`, or a function, which is returned as it is.
        data: For "activation" and "taylor": the training pictures are used.
        pictures: How many of them, the same number of each class.
        seed: Chooses the pictures and draws the random scores.

    Raises:
        CourseError: If there is no such criterion, data that it needs is missing or does not fit,
            or no layer has a BatchNorm.
    """
    if callable(importance) or importance in ("l1", "l2"):
        return importance
    if importance not in CRITERIA:
        raise CourseError(
            f"importance={importance!r}: give one of {', '.join(map(repr, CRITERIA))}, or a "
            "function."
        )
    layers = {name: group.norms.get(name) for group in groups for name in group.layers}
    if importance == "random":
        scores = _random_scores(model, layers, whole_number("seed", seed, 0))
    elif importance == "batch_norm":
        scores = {
            name: model.get_submodule(norm).weight.detach().abs()
            for name, norm in layers.items()
            if norm
        }
        if not scores:
            raise CourseError(
                "importance='batch_norm' needs a BatchNorm behind the convolutions, and this "
                "network has none: give 'l1' or 'taylor'."
            )
    else:
        if data is None:
            raise CourseError(
                f"importance={importance!r} looks at pictures: give data=load_dataset(...)."
            )
        check_model_fits(model, data, device_of(model))
        count = whole_number("pictures", pictures, 1)
        few = data.train.few(min(count, len(data.train)), seed=seed)
        batches = Batches(few, _BATCH, mean=data.mean, std=data.std, device=device_of(model))
        measure = _taylor_scores if importance == "taylor" else _activation_scores
        scores = measure(model, layers, batches, len(few))
    return _Scores(scores)


class _Scores:
    """Scores that are known already, as a function of a layer."""

    def __init__(self, scores: Mapping[str, Tensor]) -> None:
        self.scores = scores

    def __call__(self, weight: Tensor, layer: str) -> Tensor:
        own = self.scores.get(layer)
        return weight.detach().flatten(1).abs().sum(1) if own is None else own


def _random_scores(
    model: nn.Module, layers: Mapping[str, str | None], seed: int
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(model.get_submodule(name).out_channels, generator=generator)
        for name in layers
    }


def _activation_scores(
    model: nn.Module, layers: Mapping[str, str | None], batches: Batches, total: int
) -> dict[str, Tensor]:
    sums: dict[str, Any] = dict.fromkeys(layers, 0.0)

    def look(name: str, output: Tensor) -> None:
        sums[name] = sums[name] + (output > 0).float().mean((2, 3)).sum(0) / total

    with _watched(model, layers, look), torch.no_grad():
        for images, _ in batches:
            model(images)
    return sums


def _taylor_scores(
    model: nn.Module, layers: Mapping[str, str | None], batches: Batches, total: int
) -> dict[str, Tensor]:
    sums: dict[str, Any] = dict.fromkeys(layers, 0.0)

    def look(name: str, output: Tensor) -> None:
        # A copy, because a ReLU may change the output in its place.
        numbers = output.detach().clone()

        def add(gradient: Tensor) -> None:
            sums[name] = sums[name] + (numbers * gradient).mean((2, 3)).abs().sum(0) / total

        output.register_hook(add)

    with _watched(model, layers, look), torch.inference_mode(False), torch.enable_grad():
        for images, labels in batches:
            # The gradient of the pictures passes each layer, and leaves the weights' own as it is.
            images = images.clone().requires_grad_()
            loss = F.cross_entropy(model(images).float(), labels, reduction="sum")
            torch.autograd.grad(loss, images)
    return sums


@contextmanager
def _watched(
    model: nn.Module, layers: Mapping[str, str | None], look: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Call `look(name, output)` whenever a layer or the BatchNorm behind it has run.

    Only inside the block; the model runs in eval mode there.
    """
    with ExitStack() as stack:
        stack.enter_context(evaluation_mode(model))
        for name, norm in layers.items():

            def hook(_module: nn.Module, _inputs: Any, output: Tensor, name: str = name) -> None:
                look(name, output)

            layer = model.get_submodule(norm or name)
            stack.callback(layer.register_forward_hook(hook).remove)
        yield
