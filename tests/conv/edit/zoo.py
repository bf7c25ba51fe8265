"""Small networks of published kinds, to try edits on: their registry, and shared parts.

Each has a few thousand weights, but is wired as its namesake is. They are written for these tests;
`zoo_plain`, `zoo_mobile`, `zoo_attention` and `zoo_odd` hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Entry:
    """One network.

    Attributes:
        shapes: of its inputs, without the batch.
        inexact: kinds of edit that may change the function, although they keep it elsewhere.
        reason: why they may.
        either: layers whose edits may be refused or made: both are right.
    """

    name: str
    build: Build
    shapes: tuple[tuple[int, ...], ...]
    inexact: frozenset[str]
    reason: str
    either: frozenset[str]

    def model(self, seed: int = 0) -> nn.Module:
        """Return a network whose channels all have other weights and statistics."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.build()
            for module in model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.running_mean.normal_(0, 0.1)
                    module.running_var.uniform_(0.5, 1.5)
                if getattr(module, "weight", None) is not None and "Norm" in type(module).__name__:
                    nn.init.uniform_(module.weight, 0.5, 1.5)
                    nn.init.normal_(module.bias, 0, 0.1)
        return model.eval()

    def inputs(self, batch: int = 2, device: str = "cpu") -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(1)
        pictures = (torch.randn(batch, *shape, generator=generator) for shape in self.shapes)
        return tuple(picture.to(device) for picture in pictures)


ZOO: dict[str, Entry] = {}


def network(
    *shapes: tuple[int, ...],
    inexact: Collection[str] = (),
    reason: str = "",
    either: Collection[str] = (),
) -> Callable[[Build], Build]:
    """Register a network under its name, with the shapes of its inputs."""

    def register(build: Build) -> Build:
        name = build.__name__
        ZOO[name] = Entry(name, build, shapes, frozenset(inexact), reason, frozenset(either))
        return build

    return register


class Net(nn.Module):
    """A network of `features`, then global average pooling and a linear `head`."""

    def __init__(self, features: nn.Module, width: int, classes: int = 5):
        super().__init__()
        self.features, self.head = features, nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


def conv_bn(
    c_in: int, c_out: int, k: int = 3, s: int = 1, g: int = 1, act: Build | None = nn.ReLU
) -> nn.Sequential:
    """Return a convolution without a bias, BatchNorm, and an activation unless it is None."""
    layers = [nn.Conv2d(c_in, c_out, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(c_out)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Sum(nn.Module):
    """The sum of the outputs of its branches."""

    def __init__(self, *branches: nn.Module):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return sum(branch(x) for branch in self.branches)


class Cat(nn.Module):
    """The outputs of its branches, concatenated."""

    def __init__(self, *branches: nn.Module):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


class Lambda(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Gate(nn.Module):
    """Squeeze-excitation (Hu et al. 2018) with linear layers, as first published."""

    def __init__(self, width: int, small: int):
        super().__init__()
        self.down, self.up = nn.Linear(width, small), nn.Linear(small, width)

    def forward(self, x):
        n, c = x.shape[:2]
        weights = self.up(torch.relu(self.down(x.mean((2, 3))))).sigmoid()
        return x * weights.view(n, c, 1, 1)
