"""Judge the memory and the multiply-adds of a convolution before the work, by its settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from course_utils.conv.window import whole
from course_utils.core import OutOfMemory, require_memory

MOST_CHANNELS = 2**16
"""Of one layer; the widest layers of known networks have a quarter of that."""

MOST_MULTIPLY_ADDS = 10**12
"""Of one layer for its input: about half a minute on one thread."""


@dataclass(frozen=True)
class LayerCosts:
    """The size of a convolution, its feature maps and its work, for some inputs.

    Attributes:
        weights: their number.
        pixels: of all its maps, without the channels.
        numbers: of all feature maps, and of what it pads itself.
        multiply_adds: of all its calls.
    """

    weights: int
    pixels: int
    numbers: int
    multiply_adds: int

    @classmethod
    def of(cls, settings: dict[str, Any], inputs: Sequence[tuple[int, int, int]]) -> LayerCosts:
        """Return the costs of a layer with these arguments of `nn.Conv2d`.

        They may be impossible: maps without a size count nothing.

        Args:
            inputs: (N, H, W) of each call.
        """
        kernel, stride, dilation = (
            whole(name, settings[name], 2) for name in ("kernel_size", "stride", "dilation")
        )
        spans = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        match settings["padding"]:
            case "same":
                totals = spans
            case str():  # "valid", or what the rules will refuse with the nearest that works
                totals = [0, 0]
            case padding:
                totals = [2 * p for p in whole("padding", padding, 2)]
        channels, groups = settings["out_channels"], max(settings["groups"], 1)
        each = settings["in_channels"] // groups * math.prod(kernel)
        numbers = pixels = 0
        for count, *size in inputs:
            padded = [n + total for n, total in zip(size, totals, strict=True)]
            steps = zip(padded, spans, stride, strict=True)
            area = count * math.prod(max(n - s - 1, -1) // max(step, 1) + 1 for n, s, step in steps)
            pixels += area
            if settings["padding_mode"] != "zeros":
                numbers += count * settings["in_channels"] * math.prod(padded)
        return cls(channels * each, pixels, numbers + channels * pixels, channels * each * pixels)


def require_few_channels(what: str, channels: int, former: int = 0) -> None:
    """Raise an error if a layer gets more channels than it had, and too many.

    Raises:
        OutOfMemory: with both numbers.
    """
    if channels > max(MOST_CHANNELS, former):
        raise OutOfMemory(f"{what}: give at most {MOST_CHANNELS:,} channels to one layer.")


def require_affordable(
    what: str,
    costs: LayerCosts,
    former: LayerCosts | None = None,
    *,
    most_multiply_adds: int = MOST_MULTIPLY_ADDS,
    itemsize: int = 4,
    device: torch.device | str = "cpu",
) -> None:
    """Raise an error if a layer takes more than it did, and too much.

    Args:
        what: the layer and its settings; the beginning of the sentence.
        former: what it takes now; None for a new layer.
        itemsize: bytes of a number.

    Raises:
        OutOfMemory: with the numbers, and with what to make smaller.
    """
    former = former or LayerCosts(0, 0, 0, 0)
    advice = "give smaller numbers, or a smaller input"
    if costs.weights > former.weights or costs.numbers > former.numbers:
        # The weights are copied twice on the way, the maps once.
        needed = itemsize * (3 * costs.weights + 2 * costs.numbers)
        parts = f"{costs.weights:,} weights and {costs.numbers:,} numbers in feature maps"
        require_memory(needed, f"{what} ({parts})", advice, device)
    if costs.multiply_adds > max(most_multiply_adds, former.multiply_adds):
        counts = [f"{n / 1e9:,.5g} billion" for n in (costs.multiply_adds, most_multiply_adds)]
        raise OutOfMemory(
            f"{what} computes {counts[0]} multiply-adds, and over {counts[1]} take too long: "
            f"{advice}."
        )
