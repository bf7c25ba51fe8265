"""One filter of a layer, before and after its numbers are rounded."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from course_utils.compress import Quantized, layer_errors, quantize


@dataclass(frozen=True)
class RoundedFilter:
    """A filter with few bits, as the panel shows it.

    Attributes:
        layer, number: The layer's name, and which of its filters.
        bits: Of each number.
        per_channel: Whether the filter has a scale of its own.
        before, after: Its numbers, (C_in, k_h, k_w); of a linear layer (1, 1, inputs).
        sharing: All numbers that share scale and zero point, before rounding: (K,).
        levels: All numbers that can stand for them, rising.
        scale, zero_point: Of these levels.
        errors: Relative error of each layer's weight, by name.
    """

    layer: str
    number: int
    bits: int
    per_channel: bool
    before: Tensor
    after: Tensor
    sharing: Tensor
    levels: Tensor
    scale: float
    zero_point: int
    errors: dict[str, float]

    @property
    def largest_move(self) -> float:
        """The largest change of a number of this filter."""
        return float((self.after - self.before).abs().max())


def rounded_filter(
    model: nn.Module, layer: str, number: int, *, bits: int, per_channel: bool, symmetric: bool
) -> RoundedFilter:
    """Return one filter of a layer of `model`, and what rounding does to it.

    Raises:
        CourseError: If the network has no such filter, or it cannot be rounded.
    """
    weight: Tensor = model.get_submodule(layer).weight.detach().cpu()
    axis = 0 if per_channel else None
    q: Quantized = quantize(weight, bits, channel_axis=axis, symmetric=symmetric)
    chosen = number if per_channel else 0
    return RoundedFilter(
        layer=layer,
        number=number,
        bits=bits,
        per_channel=per_channel,
        before=_slices(weight[number]),
        after=_slices(q.values()[number]),
        sharing=(weight[number] if per_channel else weight).flatten(),
        levels=q.levels(chosen),
        scale=float(q.scale.flatten()[chosen]),
        zero_point=int(q.zero_point.flatten()[chosen]),
        errors=layer_errors(model, bits, per_channel=per_channel, symmetric=symmetric),
    )


def _slices(weight: Tensor) -> Tensor:
    return weight if weight.dim() == 3 else weight.reshape(1, 1, -1)
