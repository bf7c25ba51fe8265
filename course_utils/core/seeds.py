"""Seeds, and random numbers that are repeatable and leave PyTorch's global ones unchanged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Made = TypeVar("Made")
_Number = TypeVar("_Number", int, np.ndarray)

_MASK = (1 << 64) - 1  # keeps 64 bits: Python's integers have no limit, and arrays need no mask


# Seeds


def mixed_seed(*numbers: int, bits: int = 63) -> int:
    """Return a seed that depends on all numbers and on their order.

    Similar numbers, such as (0, 1) and (1, 0), lead to very different seeds.

    >>> mixed_seed(0, 1) == mixed_seed(1, 0)
    False

    Args:
        numbers: The lowest 64 bits of each count.
        bits: The seed is from 0 to 2**bits - 1; from 1 to 64. NumPy's and Optuna's seeds have 32.
    """
    mixed = 0
    for number in numbers:
        mixed = splitmix64(mixed ^ (number & _MASK))
    return mixed >> (64 - bits)


def splitmix64(number: _Number) -> _Number:
    """Return a well-mixed number for a number; different numbers lead to different ones.

    This is one step of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
    generators").

    Args:
        number: From 0 to 2**64 - 1, or a uint64 array of such numbers, each mixed by itself.
    """
    mixed = number + 0x9E3779B97F4A7C15 & _MASK
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & _MASK
    return mixed ^ (mixed >> 31)


# PyTorch's global random numbers


@contextlib.contextmanager
def private_random_numbers(device: torch.device | str = "cpu") -> Iterator[None]:
    """Restore PyTorch's global random state, of the CPU and of `device`, when the block ends.

    >>> before = torch.get_rng_state()
    >>> with private_random_numbers():
    ...     _ = torch.rand(3)
    >>> torch.equal(before, torch.get_rng_state())
    True
    """
    generators = _global_generators(torch.device(device))
    states = [generator.get_state() for generator in generators]
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def seed_layers(device: torch.device | str, *numbers: int) -> None:
    """Set the seed of what layers such as dropout draw, on the CPU and on `device`.

    Use it inside `private_random_numbers`. The seed is `mixed_seed(*numbers)`.
    """
    seed = mixed_seed(*numbers)
    for generator in _global_generators(torch.device(device)):
        generator.manual_seed(seed)


def seeded(make: Callable[[], Made], seed: int) -> Made:
    """Return `make()`, with its random numbers fixed by `seed`; for networks with new weights.

    The numbers are drawn on the CPU, and PyTorch's global random state is restored afterwards. The
    seed is mixed by `seed_layers`, so the weights differ from those after
    `torch.manual_seed(seed)`.

    >>> draw = lambda: torch.rand(3)
    >>> torch.equal(seeded(draw, 1), seeded(draw, 1))
    True
    """
    with private_random_numbers():
        seed_layers("cpu", seed)
        return make()


def draw_default_weights(weight: Tensor, bias: Tensor | None, generator: torch.Generator) -> None:
    """Initialise the weight and the bias of a layer in place, as `nn.Conv2d` and `nn.Linear` do.

    Both are uniform within ±√(1 / n_in), with n_in the number of inputs of each output. PyTorch's
    own `reset_parameters` takes no generator. The order of drawing is PyTorch's, so the same seed
    leads to the same numbers as there.
    """
    # √5 is what PyTorch passes: it makes the bounds ±√(1 / n_in).
    nn.init.kaiming_uniform_(weight, a=5**0.5, generator=generator)
    if bias is not None:
        bound = weight[0].numel() ** -0.5
        nn.init.uniform_(bias, -bound, bound, generator=generator)


def _global_generators(device: torch.device) -> list[torch.Generator]:
    """Return the CPU's generator and, if it has its own, the device's."""
    generators = [torch.default_generator]
    if device.type == "cuda":
        torch.cuda.init()
        index = device.index if device.index is not None else torch.cuda.current_device()
        generators.append(torch.cuda.default_generators[index])
    elif device.type == "mps":
        generators.append(torch.mps._get_default_mps_generator())
    return generators
