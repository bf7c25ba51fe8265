"""The effective receptive field: how much each pixel of its window moves one number of a map.

Source: W. Luo, Y. Li, R. Urtasun and R. Zemel, "Understanding the effective receptive field in deep
convolutional neural networks", NeurIPS (2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_utils.conv.layer_table import layer_table
from course_utils.conv.receptive_field import ReceptiveField
from course_utils.core import CourseError, check_network, device_of, evaluation_mode, shape_text


@dataclass(frozen=True)
class EffectiveField:
    """The influence of each pixel on the middle output of a layer.

    Attributes:
        heat: share of each pixel in the whole influence, (H, W); its sum is 1.
        window: (top, left, height, width) of the theoretical receptive field in pixels; it may
            reach beyond the image. The whole image where the field is not known.
    """

    heat: Tensor
    window: tuple[int, int, int, int]

    @property
    def centre(self) -> tuple[float, float]:
        """The mean place of the influence, (row, column); 0 is the first pixel's centre."""
        heat = self.heat.double()
        rows, columns = (torch.arange(n, dtype=torch.float64) for n in heat.shape)
        return float(heat.sum(1) @ rows), float(heat.sum(0) @ columns)

    def side_holding(self, share: float = 0.5) -> int:
        """Return the side in pixels of the smallest square around `centre` that holds a share.

        The square is made of whole pixels, so its side is odd.

        Raises:
            CourseError: the share is not above 0 and at most 1.
        """
        if not 0 < share <= 1:
            raise CourseError(f"A share lies above 0 and is at most 1, so it cannot be {share}.")
        rows, columns = (
            (torch.arange(n) - round(at)).abs()
            for n, at in zip(self.heat.shape, self.centre, strict=True)
        )
        away = torch.maximum(rows[:, None], columns[None]).flatten()
        held = torch.bincount(away, weights=self.heat.double().flatten()).cumsum(0)
        # Rounding may leave the sum of all pixels just below 1.
        enough = (held >= share - 1e-6).nonzero().flatten().tolist()
        return 2 * (enough or [len(held) - 1])[0] + 1


def effective_receptive_field(model: nn.Module, layer: str, images: Tensor) -> EffectiveField:
    """Return how much each pixel moves the middle output of a layer, on average over images.

    It is the mean magnitude of ∂y / ∂x, where y is the sum of the layer's channels at the middle
    place of its maps, and x a pixel; the magnitudes of the input channels are added up. In a
    trained network most of it lies near the middle of the theoretical receptive field (Luo et al.
    2016).

    The network runs in eval mode; it does not change, and neither do the gradients of its
    parameters.

    Args:
        layer: name of a module that returns maps (N, K, h, w). Of a layer that is called several
            times the last call counts.
        images: (N, C, H, W), float, prepared as the network takes them.

    Raises:
        CourseError: there is no such layer, it does not return maps, the images have another shape,
            or none of their pixels moves this output.
    """
    check_network(model)
    modules = dict(model.named_modules(remove_duplicate=False))
    if layer not in modules:
        raise CourseError(f"{layer!r} is not a layer of this model.")
    if not isinstance(images, Tensor) or images.dim() != 4 or not images.numel():
        raise CourseError("Give at least one image, as a tensor (N, C, H, W).")
    if not images.is_floating_point():
        raise CourseError(f"Give images of floats, not of type {images.dtype}.")
    found: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple, output: object) -> Tensor:
        if not isinstance(output, Tensor) or output.dim() != 4:
            shape = shape_text(output.shape) if isinstance(output, Tensor) else "no tensor"
            raise CourseError(f"{layer} returns {shape}, not maps (N, K, h, w).")
        found[:] = [output]
        return output.clone()  # what follows may change it in place

    handle = modules[layer].register_forward_hook(keep)
    try:
        with evaluation_mode(model), torch.inference_mode(False), torch.enable_grad():
            heat = torch.zeros(images.shape[2:], dtype=torch.float64)
            for image in images:  # one by one: the memory is that of one image
                pixels = image[None].detach().clone().to(device_of(model)).requires_grad_()
                found.clear()
                model(pixels)
                if not found:
                    raise CourseError(f"{layer} is not used when the model runs.")
                middle = tuple(n // 2 for n in found[0].shape[2:])
                output = found[0][(0, slice(None), *middle)].sum()
                if output.requires_grad:
                    (slope,) = torch.autograd.grad(output, pixels, allow_unused=True)
                    if slope is not None:
                        heat += slope[0].abs().sum(0).cpu()
    finally:
        handle.remove()
    total = heat.sum()
    if not (total > 0 and total.isfinite()):
        raise CourseError(f"No pixel of these images moves the middle output of {layer}.")
    rows = [row for row in layer_table(model, images[:1]) if row.name == layer]
    field = rows[-1].receptive_field if rows else None
    return EffectiveField((heat / total).float(), _window(field, middle, tuple(heat.shape)))


def _window(
    field: ReceptiveField | None, place: tuple[int, ...], sizes: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of what the output at a place sees."""
    if field is None:
        return 0, 0, *sizes
    pairs = [
        (value, value) if isinstance(value, int) else tuple(value)
        for value in (field.start, field.jump, field.size)
    ]
    top, left = (start + at * jump for start, jump, at in zip(*pairs[:2], place, strict=True))
    return top, left, *pairs[2]
