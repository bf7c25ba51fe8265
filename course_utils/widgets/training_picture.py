"""The picture of the training panel: curves above, the first layer before and now below."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from course_utils import charts, pictures

WIDTH = 660
_CHART = (264, 172)
_LEFT, _TOP, _SECOND, _TILES = 40, 28, 384, 268
_SHOWN = 16  # kernels
_GAP = 5  # between kernels: many of their cells are as white as the ground


@dataclass(frozen=True)
class FirstLayer:
    """The first layer of a network, as it was at the start and as it is now.

    Attributes:
        name: such as "conv1".
        start, now: weights as pictures, float (K, C, h, w).
        image: what the layer is shown, float (C, H, W), or None if it does not take pictures.
        maps: its answer to that, float (K, H', W'), or None.
    """

    name: str
    start: Tensor
    now: Tensor
    image: Tensor | None = None
    maps: Tensor | None = None


@dataclass(frozen=True)
class TrainingView:
    """All that the picture shows; lists have one number per step or per epoch.

    Attributes:
        epochs: how many there will be.
        positions: place of each step on the axis of epochs, so that both curves share it.
        losses: of each step, smoothed already.
        epoch: at the end of which the accuracies were measured.
        train_accuracy, validation_accuracy: shares; the second may be empty.
        layer: the first layer, or None for a network that begins otherwise.
    """

    epochs: int
    positions: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    epoch: tuple[float, ...] = ()
    train_accuracy: tuple[float, ...] = ()
    validation_accuracy: tuple[float, ...] = ()
    layer: FirstLayer | None = None


def first_layer(model: nn.Module) -> tuple[str, nn.Module] | None:
    """Name and module of the first convolution or linear layer; None if there is no such layer."""
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            return name, module
    return None


def kernels_of(layer: nn.Module, image_shape: tuple[int, int, int]) -> Tensor | None:
    """The first kernels of a layer as pictures: float (K, C, h, w) on the CPU, a copy.

    The weights of a linear layer that sees every pixel are folded to the shape of the picture.
    """
    weight = layer.weight.detach()[:_SHOWN].float().cpu().clone()
    if weight.dim() == 4:
        return weight
    return weight.reshape(-1, *image_shape) if weight.shape[1] == math.prod(image_shape) else None


@torch.no_grad()
def answer_of(layer: nn.Module, image: Tensor) -> Tensor | None:
    """The first maps that a convolution makes of one picture (C, H, W): float (K, H', W')."""
    if not isinstance(layer, nn.Conv2d) or layer.in_channels != len(image):
        return None
    weight = layer.weight
    return layer(image[None].to(weight.device, weight.dtype))[0, :_SHOWN].float().cpu()


def draw(view: TrainingView) -> bytes:
    """The picture as a PNG, 660 pixels wide."""
    sheet = charts.Sheet(WIDTH, _height(view.layer))
    _draw_loss(sheet, view)
    _draw_accuracy(sheet, view)
    if view.layer is not None:
        _draw_layer(sheet, view.layer)
    return sheet.to_png()


def _height(layer: FirstLayer | None) -> int:
    if layer is None:
        return 246
    return 484 if layer.maps is not None else 458


def _epoch_ticks(epochs: int) -> range:
    step = next(step for step in (1, 2, 5, 10, 20, 50, 10**6) if epochs <= 9 * step)
    return range(0, epochs + 1, step)


def _draw_loss(sheet: charts.Sheet, view: TrainingView) -> None:
    width, height = _CHART
    losses = np.array(view.losses, dtype=float)
    finite = losses[np.isfinite(losses)]
    # A loss that explodes may leave the chart; what came before it should stay readable.
    top = min(finite.max(), 4 * finite[0]) if len(finite) else 2.5
    chart = sheet.chart(
        (_LEFT, _TOP, width, height),
        x_limits=(0, 1.02 * view.epochs),  # room for the last dot
        y_limits=(0, max(top * 1.05, 1e-3)),
        title="loss on the training batches",
        x_ticks=_epoch_ticks(view.epochs),
        x_label="epoch",
    )
    stride = max(1, len(losses) // (2 * width))  # more points than pixels show nothing more
    chart.line(view.positions[::stride], view.losses[::stride], charts.BLUE)
    chart.done()


def _draw_accuracy(sheet: charts.Sheet, view: TrainingView) -> None:
    width, height = _CHART
    both = [*view.train_accuracy, *view.validation_accuracy]
    low = math.floor(10 * min(both, default=0.5) - 0.5) / 10
    chart = sheet.chart(
        (_SECOND, _TOP, width - 10, height),
        x_limits=(0, 1.02 * view.epochs),  # room for the last dot
        y_limits=(min(max(low, 0.0), 0.9), 1.0),
        title="accuracy",
        x_ticks=_epoch_ticks(view.epochs),
        x_label="epoch",
        percent=True,
    )
    chart.legend([("training", charts.ORANGE), ("validation", charts.BLUE)])
    radius = 4 if view.epochs <= 20 else 2.5
    for values, colour in (
        (view.train_accuracy, charts.ORANGE),
        (view.validation_accuracy, charts.BLUE),
    ):
        chart.line(view.epoch[: len(values)], values, colour)
        chart.dots(view.epoch[: len(values)], values, colour, radius)
    chart.done()


def _draw_layer(sheet: charts.Sheet, layer: FirstLayer) -> None:
    box = (270, 66) if layer.maps is not None else (310, 180)
    limit = max(float(kernels.abs().max()) for kernels in (layer.start, layer.now))
    for left, title, kernels in (
        (_LEFT - 30, f"{layer.name} at the start", layer.start),
        (_LEFT - 30 + 322, f"{layer.name} now", layer.now),
    ):
        sheet.text(title, left, _TILES - 22)
        if kernels.shape[1] == 3:
            sheet.picture(_tiled_colours(kernels, box, limit), left, _TILES)
        else:  # one slice of each: a picture of all of them would be a carpet
            signed = pictures.signed_indices(kernels[:, 0].numpy(), limit)
            sheet.tiles(pictures.tile(signed, box, _GAP), left, _TILES)
    if layer.maps is None or layer.image is None:
        return
    top = _TILES + 98
    sheet.text("a picture, and what these kernels answer to it", _LEFT - 30, top - 22)
    if len(layer.image) == 3:
        sheet.picture(_tiled_colours(layer.image[None], (112, 112)), _LEFT - 30, top)
    else:
        grey = pictures.grey_indices(layer.image[:1].numpy())
        sheet.tiles(pictures.tile(grey, (112, 112)), _LEFT - 30, top)
    maps = pictures.signed_indices(layer.maps.numpy())
    sheet.tiles(pictures.tile(maps, (WIDTH - 154, 114)), _LEFT - 30 + 128, top)


def _tiled_colours(images: Tensor, box: tuple[int, int], limit: float = 0.0) -> np.ndarray:
    """Pictures or kernels (K, 3, h, w) as a grid of colours, uint8 (H, W, 3); grey is 0."""
    values = images.numpy()
    limit = limit or float(np.abs(values).max(initial=0.0)) or 1.0
    scaled = (127.5 + 127.5 * np.clip(values / limit, -1, 1)).round().astype(np.uint8)
    grid = np.stack([pictures.tile(scaled[:, c], box, _GAP) for c in range(3)], axis=-1)
    gaps = pictures.tile(np.zeros_like(scaled[:, 0]), box, _GAP) == pictures.WHITE
    grid[gaps] = 255
    return grid
