"""Checks of weights for chapter 02_3: He's standard deviation, and sums of weights."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from course_utils.exercises.answers import Wrong, reason, shown


def he(layer: nn.Module) -> float:
    """Return He's standard deviation √(2 / n_in) (He et al. 2015)."""
    return math.sqrt(2 / layer.weight[0].numel())


def other_rule(layer: nn.Module, std: float) -> str:
    """Name the other rule that leads to this standard deviation; '' if none is known."""
    fan_in, fan_out = layer.weight[0].numel(), layer.weight[:, 0].numel()
    rules = [
        (2 / fan_in, "that is the variance: √(2 / n_in) is the standard deviation"),
        ((2 / fan_in) ** 0.25, "√(2 / n_in) is the standard deviation itself, not the variance"),
        (math.sqrt(2 / fan_out), "that is for n_out, the outputs, instead of n_in"),
        (math.sqrt(2 / (fan_in + fan_out)), "that is Xavier's rule, made for tanh"),
        (math.sqrt(1 / fan_in), "that is √(1 / n_in), but ReLU halves the signal: use 2"),
        (math.sqrt(1 / (3 * fan_in)), "that is PyTorch's default"),
        (math.sqrt(2 / layer.weight.shape[1]), "the kernel's height and width are missing in n_in"),
    ]
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        all_channels = math.sqrt(2 / (fan_in * layer.groups))
        rules = [(all_channels, "a filter sees only the channels of its group"), *rules]
    return reason(rules, std, tolerance=0.02)


def sample_model() -> nn.Sequential:
    """Return a nested model with groups, a layer without bias, and two kinds of normalisation."""
    return nn.Sequential(
        nn.Conv2d(3, 96, (3, 5), padding="same"),
        nn.BatchNorm2d(96),
        nn.Sequential(
            nn.Conv2d(96, 64, 3, groups=4, bias=False),
            nn.GroupNorm(4, 64),
            nn.Sequential(nn.Conv2d(64, 64, 3), nn.ReLU()),
        ),
        nn.Conv2d(64, 64, 3),
        nn.Flatten(),
        nn.Linear(600, 30),
    )


def weighted_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield convolutions and linear layers with their names in words."""
    for name, layer in model.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            yield f"layer {name} ({type(layer).__name__})", layer


def check_weights(name: str, layer: nn.Module, weight: Tensor) -> None:
    """Check for mean 0 and He's standard deviation, within six standard errors."""
    if not bool(torch.isfinite(weight).all()):
        raise Wrong(f"{name}: the weights contain nan or infinity")
    want, got = he(layer), weight.std().item()
    tolerance = 6 / math.sqrt(2 * weight.numel())
    if abs(got / want - 1) > tolerance:
        because = other_rule(layer, got) or f"√(2 / {weight[0].numel()})"
        raise Wrong(
            f"{name}: the weights' standard deviation is {shown(got)}, it should be "
            f"{shown(want)} ({because})"
        )
    mean = weight.mean().item()
    if abs(mean) > 6 * want / math.sqrt(weight.numel()):
        raise Wrong(f"{name}: the weights' mean is {shown(mean)}, it should be near 0")


def other_penalty(model: nn.Module, weights: list[Tensor], got: float) -> str:
    """Name the other sum that has this value; '' if none is known."""
    called_weight = [p for name, p in model.named_parameters() if name.endswith("weight")]
    top = [child.weight for child in model.children() if isinstance(child, (nn.Conv2d, nn.Linear))]
    ways = [
        (sum(p.abs().sum().item() for p in model.parameters()), "the biases do not count"),
        (sum(p.abs().sum().item() for p in called_weight), "BatchNorm's weights do not count"),
        (sum(p.square().sum().item() for p in weights), "that is L2: squares instead of |w|"),
        (sum(p.sum().item() for p in weights), "w was added, not |w|"),
        (sum(p.abs().mean().item() for p in weights), "that is a sum of means"),
        (sum(p.abs().sum().item() for p in top), "nested layers were left out"),
    ]
    return reason(ways, got)
