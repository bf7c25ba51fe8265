"""Small networks of published kinds, to try edits on: their registry, and shared parts.

Each has a few thousand weights, but is wired as its namesake is. They are written for these tests;
`zoo_plain`, `zoo_mobile`, `zoo_attention` and `zoo_odd` hold them.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Build = Callable[..., nn.Module]


class Wired(nn.Module):
    """A function (layer, *inputs, *arguments) as a network, whose first run makes its layers.

    In the function, `layer(kind, ...)` is the module `kind(...)`; if that is a tensor, a parameter
    or (whole numbers) a buffer. The names are "0", "1", ... unless a `name` is given. Every run
    asks for the same layers in the same order; those that only training uses come last.
    """

    def __init__(self, function: Callable, *arguments: Any, **options: Any):
        super().__init__()
        self.function, self.arguments, self.options = function, arguments, options

    def forward(self, *inputs):
        numbers = itertools.count()

        def layer(kind: Callable, *args: Any, name: str = "", **options: Any) -> Any:
            name = name or str(next(numbers))
            if not hasattr(self, name):
                made = kind(*args, **options)
                if not isinstance(made, Tensor):
                    self.add_module(name, made)
                elif made.is_floating_point():
                    self.register_parameter(name, nn.Parameter(made))
                else:
                    self.register_buffer(name, made)
            return getattr(self, name)

        layer.training = self.training
        return self.function(layer, *inputs, *self.arguments, **self.options)


def block(function: Callable) -> Build:
    """Return a constructor of `Wired` networks with this function; it takes their arguments."""
    return functools.partial(Wired, function)


def wired(function: Callable, *inputs: Tensor, **options: Any) -> Wired:
    """Return the network of a function in eval mode, after its first run."""
    model = Wired(function, **options)
    model(*inputs)
    return model.eval()


@dataclass(frozen=True)
class Entry:
    """One network.

    Attributes:
        shapes: of its inputs, without the batch.
        inexact: kinds of edit that may change the function, although they keep it elsewhere.
        either: layers whose edits may be refused or made: both are right.
    """

    name: str
    build: Build
    shapes: tuple[tuple[int, ...], ...]
    inexact: Collection[str]
    either: Collection[str]

    def model(self, seed: int = 0) -> nn.Module:
        """Return a network whose channels all have other weights and statistics."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            model = self.build()
            model(*self.inputs())
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
    *shapes: tuple[int, ...], inexact: Collection[str] = (), either: Collection[str] = ()
) -> Callable[[Callable], Callable]:
    """Register a network under its name: a class, a builder, or the function of a `Wired` one."""

    def register(function: Callable) -> Callable:
        build = block(function) if inspect.signature(function).parameters else function
        name = function.__name__
        ZOO[name] = Entry(name, build, shapes or ((3, 16, 16),), inexact, either)
        return function

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


class Cat(Sum):
    """The outputs of its branches, concatenated."""

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


@block
def Gate(layer, x, width, small):
    """Squeeze-excitation (Hu et al. 2018) with linear layers, as first published."""
    down, up = layer(nn.Linear, width, small), layer(nn.Linear, small, width)
    return x * up(torch.relu(down(x.mean((2, 3))))).sigmoid().view(*x.shape[:2], 1, 1)
