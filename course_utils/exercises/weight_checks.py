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


MARK = 0.5
"""Every weight of a convolution or linear layer before an answer draws new ones."""


class Marked:
    """A model whose numbers are known: its tensors by name, and copies of their values.

    Weights become `MARK`, and biases and the numbers of all other layers 0.25 or 3, so that a reset
    of a norm to its usual start is seen as well.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model.train()
        self.layers = dict(weighted_layers(model))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(0.25)
            for layer in self.layers.values():
                layer.weight.fill_(MARK)
            for buffer in model.buffers():
                buffer.fill_(3)
        self.tensors = dict((*model.named_parameters(), *model.named_buffers()))
        self.values = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}

    def label(self, name: str) -> str:
        """Return where a tensor is: "layer 2.1 (GroupNorm): its weight"."""
        owner, _, own = name.rpartition(".")
        return f"layer {owner} ({type(self.model.get_submodule(owner)).__name__}): its {own}"

    def check_in_place(self) -> None:
        """Check that the model still has the same parameters, and that all of them learn."""
        now = dict((*self.model.named_parameters(), *self.model.named_buffers()))
        for name, tensor in self.tensors.items():
            if now.get(name) is not tensor:
                raise Wrong(
                    f"{self.label(name)} is another tensor now, so an optimizer that was made "
                    "before would never change it: change the old one in place"
                )
            if isinstance(tensor, nn.Parameter) and not tensor.requires_grad:
                raise Wrong(
                    f"{self.label(name)} can no longer learn: requires_grad is False (they no "
                    "longer require a gradient)"
                )

    def check_others(self) -> None:
        """Check that nothing but the weights and biases of the weighted layers has changed."""
        own = {id(p) for layer in self.layers.values() for p in layer.parameters()}
        for name, tensor in self.tensors.items():
            if id(tensor) not in own and not torch.equal(tensor, self.values[name]):
                was, got = (float(t.flatten()[0]) for t in (self.values[name], tensor))
                raise Wrong(
                    f"{self.label(name)} has changed from {shown(was)} to {shown(got)}: only "
                    "convolutions and linear layers get new numbers"
                )
        if not self.model.training:
            raise Wrong("the model was in train mode, and is in eval mode now: leave that alone")


def weighted_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield convolutions and linear layers with their names in words."""
    for name, layer in model.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            yield f"layer {name} ({type(layer).__name__})", layer


def check_weights(name: str, layer: nn.Module, weight: Tensor) -> None:
    """Check for a normal distribution with mean 0 and He's standard deviation.

    The tolerances are six standard errors.
    """
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
    # The fourth moment of a normal distribution is 3 σ⁴; of a uniform one it is 1.8 σ⁴.
    kurtosis = ((weight - mean) / got).pow(4).mean().item()
    if abs(kurtosis - 3) > 6 * math.sqrt(24 / weight.numel()):
        because = "uniform" if abs(kurtosis - 1.8) < 0.1 else "not normal"
        raise Wrong(
            f"{name}: the weights' standard deviation is right, but their distribution is "
            f"{because}: the task asks for a normal one"
        )
    if len(weight.unique()) < 0.9 * weight.numel():
        raise Wrong(f"{name}: many of its weights are equal: draw each one by itself")


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
