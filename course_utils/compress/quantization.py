"""Round numbers to a few levels: a scale, a zero point, and whole numbers.

value ≈ scale · (code − zero point), with whole numbers as codes. Jacob et al. 2018, "Quantization
and training of neural networks for efficient integer-arithmetic-only inference".
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_utils.compress.masks import require_no_masks
from course_utils.core import CourseError, whole_number

LAYERS = (nn.Conv2d, nn.Linear)
"""The layers whose weights are rounded; biases and normalisation keep their floats."""


@dataclass(frozen=True)
class Quantized:
    """Whole numbers that stand for a tensor.

    Attributes:
        codes: int32, as the tensor.
        scale: Distance of two levels, float64; one number, or one for each channel in a shape that
            broadcasts.
        zero_point: The code of 0, int32, in the shape of `scale`.
        lowest, highest: Of all possible codes.
    """

    codes: Tensor
    scale: Tensor
    zero_point: Tensor
    lowest: int
    highest: int

    def values(self) -> Tensor:
        """Return the numbers for which the codes stand: float32, shape of the codes."""
        return ((self.codes - self.zero_point) * self.scale).float()

    def levels(self, channel: int = 0) -> Tensor:
        """Return all numbers that this tensor, or one of its channels, can have: float32."""
        codes = torch.arange(self.lowest, self.highest + 1)
        one = channel if self.scale.numel() > 1 else 0
        return ((codes - self.zero_point.flatten()[one]) * self.scale.flatten()[one]).float()


def quantize(
    values: Tensor, bits: int = 8, *, channel_axis: int | None = None, symmetric: bool = False
) -> Quantized:
    """Return the codes of a tensor, with scale and zero point from its smallest and largest value.

    0 is always a level, because padding and ReLU make exact zeros. No value moves by more than half
    a scale.

    Args:
        values: Finite numbers.
        bits: 2 to 8; there are 2 to the power of bits levels.
        channel_axis: Each index of this axis gets a scale and a zero point of its own; None for one
            of the whole tensor. The weight of a convolution has its output channels at 0.
        symmetric: Whether the levels lie symmetrically around 0, one less than otherwise: the zero
            point is then 0, and a product needs no correction for it. Usual for weights.

    Raises:
        CourseError: If a setting is outside its range, or values are missing or not finite.
    """
    require_bits(bits)
    if not isinstance(values, Tensor) or not values.is_floating_point() or not values.numel():
        raise CourseError("Give a tensor of floats with at least one number.")
    if not values.isfinite().all():
        raise CourseError("A number is nan or infinite, so there is no range to divide.")
    exact = values.detach().double()
    if channel_axis is None:
        low, high = exact.amin(), exact.amax()
    else:
        whole_number("channel_axis", channel_axis, 0, values.dim() - 1)
        low = high = exact
        for axis in set(range(values.dim())) - {channel_axis}:
            low, high = low.amin(axis, keepdim=True), high.amax(axis, keepdim=True)
    return _on_grid(exact, low.clamp(max=0), high.clamp(min=0), bits, symmetric)


def quantize_between(values: Tensor, low: float, high: float, bits: int = 8) -> Quantized:
    """Return the codes of a tensor for levels from `low` to `high`, as a calibration found them.

    What lies outside gets the nearest level.

    Raises:
        CourseError: If `bits` is not 2 to 8, or not low <= 0 <= high.
    """
    require_bits(bits)
    if not low <= 0 <= high:
        raise CourseError(f"The levels from {low:.3g} to {high:.3g} do not contain 0.")
    exact = values.detach().double()
    ends = exact.new_tensor(low), exact.new_tensor(high)
    return _on_grid(exact, *ends, bits, symmetric=False)


def _on_grid(exact: Tensor, low: Tensor, high: Tensor, bits: int, symmetric: bool) -> Quantized:
    if symmetric:
        highest = 2 ** (bits - 1) - 1
        lowest = -highest
        scale = torch.maximum(-low, high) / highest
    else:
        lowest, highest = 0, 2**bits - 1
        scale = (high - low) / highest
    scale = torch.where(scale == 0, 1.0, scale)  # only zeros: any scale represents them
    zero_point = torch.zeros_like(scale) if symmetric else (-low / scale).round()
    codes = ((exact / scale).round() + zero_point).clamp(lowest, highest)
    return Quantized(codes.int(), scale, zero_point.int(), lowest, highest)


def relative_error(values: Tensor, rounded: Tensor) -> float:
    """Return the size of the change relative to the size of the tensor, both as Euclidean norms."""
    exact = values.detach().double()
    size = float(exact.norm())
    return float((rounded.detach().double() - exact).norm()) / size if size else 0.0


def layer_errors(
    model: nn.Module, bits: int = 8, *, per_channel: bool = True, symmetric: bool = True
) -> dict[str, float]:
    """Return the relative error of each layer's weight when it is rounded, by the layer's name.

    Args:
        bits: 2 to 8.
        per_channel: Whether each output channel has a scale of its own.
        symmetric: As for `quantize`.

    Raises:
        CourseError: If `bits` is outside its range, or the network has no such layer.
    """
    axis, errors = 0 if per_channel else None, {}
    for name, layer in layers_to_round(model):
        rounded = quantize(layer.weight, bits, channel_axis=axis, symmetric=symmetric)
        errors[name] = relative_error(layer.weight, rounded.values())
    return errors


def round_weights(model: nn.Module, bits: int = 8, *, per_channel: bool = True) -> nn.Module:
    """Return a copy whose convolutions and linear layers have rounded weights, still as floats.

    So the accuracy of a number of bits can be measured, but nothing is smaller or faster.

    Raises:
        CourseError: As `layer_errors`; or if the network has masks.
    """
    require_no_masks(model)
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for _, layer in layers_to_round(rounded):
            layer.weight.copy_(rounded_weight(layer.weight, bits, per_channel))
    return rounded


def rounded_weight(weight: Tensor, bits: int, per_channel: bool = True) -> Tensor:
    """Return a weight on symmetric levels, with the scale of each output channel or of all."""
    axis = 0 if per_channel else None
    return quantize(weight, bits, channel_axis=axis, symmetric=True).values().to(weight)


def layers_to_round(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return name and module of each convolution and linear layer, each once."""
    found = list(_layers(model))
    if not found:
        raise CourseError("The network has no convolution and no linear layer to quantize.")
    return found


def require_bits(bits: int, name: str = "bits") -> int:
    """Return `bits` if it is a whole number from 2 to 8."""
    return whole_number(name, bits, 2, 8)


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in model.named_modules():
        if isinstance(module, LAYERS):
            yield name, module
