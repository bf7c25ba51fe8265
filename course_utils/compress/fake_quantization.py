"""Train a network that knows that its numbers will be rounded: quantization-aware training.

Rounding has the derivative 0 nearly everywhere, so nothing would be learned. The straight-through
estimator takes the rounded numbers forward, and lets the gradient pass backward as if nothing had
been rounded (Bengio et al. 2013, "Estimating or propagating gradients through stochastic neurons").
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from course_utils.compress.masks import require_no_masks
from course_utils.compress.quantization import (
    layers_to_round,
    quantize_between,
    require_bits,
    rounded_weight,
)
from course_utils.core import CourseError, device_of, evaluation_mode


def straight_through(values: Tensor, rounded: Tensor) -> Tensor:
    """Return `rounded`, with the gradient of `values`."""
    return values + (rounded - values).detach()


class RoundedWeight(nn.Module):
    """Round a weight whenever it is used; the float weight behind it is what training moves."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, weight: Tensor) -> Tensor:
        return straight_through(weight, rounded_weight(weight, self.bits))


class RoundedInput(nn.Module):
    """Round the input of a layer to levels between two fixed ends, which a calibration finds.

    Attributes:
        low, high: The ends; they contain 0.
        observing: While True, the ends follow the smallest and largest input, and nothing is
            rounded.
    """

    low: Tensor
    high: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits, self.observing = bits, True
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.observing:
            low, high = x.detach().aminmax()
            self.low = torch.minimum(self.low, low)
            self.high = torch.maximum(self.high, high)
            return x
        low, high = float(self.low), float(self.high)
        inside = x.clamp(low, high)  # what is cut off has no gradient
        return straight_through(inside, quantize_between(inside, low, high, self.bits).values())


def fake_quantize(
    model: nn.Module, calibration: Tensor, *, weight_bits: int = 4, activation_bits: int = 8
) -> nn.Module:
    """Return a copy that computes with rounded weights and inputs of its layers, in floats.

    Measure it as it is for quantization after training. Train it with `fit`, and it is
    quantization-aware training: the float weights behind the rounded ones move to where rounding
    does little harm. Each output channel of a weight has a scale of its own.

    Args:
        calibration: Pictures as the network takes them, (N, C, H, W); the ends of each layer's
            input are those of these pictures.
        weight_bits, activation_bits: 2 to 8.

    Raises:
        CourseError: If a number of bits is outside its range, the network has no convolution and no
            linear layer, it has masks or rounded weights already, or it does not run on the
            pictures.
    """
    require_bits(weight_bits, "weight_bits")
    require_bits(activation_bits, "activation_bits")
    require_no_masks(model)
    rounded = copy.deepcopy(model)
    inputs = []
    for name, layer in layers_to_round(rounded):
        if parametrize.is_parametrized(layer, "weight"):
            raise CourseError(f"The weight of {name} is computed already, so it is not rounded.")
        layer.input_levels = RoundedInput(activation_bits)
        layer.register_forward_pre_hook(_round_input)
        inputs.append(layer.input_levels)
    rounded.to(device_of(model))
    calibrate(rounded, calibration)
    for levels in inputs:
        levels.observing = False
    for _, layer in layers_to_round(rounded):
        parametrize.register_parametrization(layer, "weight", RoundedWeight(weight_bits))
    return rounded


def calibrate(model: nn.Module, pictures: Tensor, *, batch_size: int = 64) -> None:
    """Show pictures to a network in eval mode, so that those who observe its numbers see them.

    Raises:
        CourseError: If there is no picture, a number is not finite, or the network does not run on
            them.
    """
    require_pictures(pictures)
    with evaluation_mode(model), torch.no_grad():
        for batch in pictures.to(device_of(model)).split(batch_size):
            try:
                model(batch)
            except (RuntimeError, ValueError, TypeError) as error:
                raise CourseError(
                    f"The network does not run on calibration pictures {tuple(batch.shape)}: "
                    f"{str(error).splitlines()[0]}"
                ) from error


def require_pictures(pictures: Any) -> None:
    """Raise a `CourseError` unless `pictures` is a tensor of finite floats with a picture in it."""
    if not isinstance(pictures, Tensor) or pictures.dim() < 2 or not len(pictures):
        given = getattr(pictures, "shape", type(pictures).__name__)
        raise CourseError(
            f"The calibration pictures are {given}: give a tensor (N, C, H, W) with at least one."
        )
    if not pictures.is_floating_point() or not pictures.isfinite().all():
        raise CourseError(
            "The calibration pictures must be finite floats, normalised as those of the training: "
            "data.normalise(images)."
        )


def _round_input(layer: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return layer.input_levels(arguments[0]), *arguments[1:]
