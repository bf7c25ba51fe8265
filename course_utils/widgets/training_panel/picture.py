"""The picture of the training panel: curves above; below, the first layer at the start and now."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from course_utils.plots import canvas
from course_utils.plots import figure as f

WIDTH = 660
_CHARTS, _TILES = 240, 274  # height of the curves, top of the kernels
_LEFT = 12
_SHOWN = 16  # kernels
_GAP = 5  # between kernels, because many of their cells are as white as the ground


@dataclass(frozen=True)
class FirstLayer:
    """The first layer of a network, at the start and now.

    Attributes:
        name: for example "conv1".
        start, now: weights as pictures, float (K, C, h, w).
        image: the layer's input, float (C, H, W), or None if it does not take pictures.
        maps: its output for that input, float (K, H', W'), or None.
    """

    name: str
    start: Tensor
    now: Tensor
    image: Tensor | None = None
    maps: Tensor | None = None


@dataclass(frozen=True)
class TrainingView:
    """The course of a training; lists have one number for each step or each epoch.

    Attributes:
        epochs: how many there will be.
        positions: place of each step on the axis of epochs, which both charts share.
        losses: of each step, already smoothed.
        epoch: numbers of the epochs, at whose ends the accuracies were measured.
        train_accuracy, validation_accuracy: shares; the second may be empty.
        layer: the first layer, or None if it cannot be shown.
        reference: another training's name and validation accuracies after each epoch, or None.
    """

    epochs: int
    positions: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    epoch: tuple[float, ...] = ()
    train_accuracy: tuple[float, ...] = ()
    validation_accuracy: tuple[float, ...] = ()
    layer: FirstLayer | None = None
    reference: tuple[str, tuple[float, ...]] | None = None


def first_layer(model: nn.Module) -> tuple[str, nn.Module] | None:
    """Return name and module of the first convolution or linear layer; None if there is none."""
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            return name, module
    return None


def kernels_of(layer: nn.Module, image_shape: tuple[int, int, int]) -> Tensor | None:
    """Return the first kernels of a layer as pictures: float (K, C, h, w) on the CPU, a copy.

    The weights of a linear layer whose input is the whole picture get the picture's shape; for
    another linear layer the result is None.
    """
    weight = layer.weight.detach()[:_SHOWN].float().cpu().clone()
    if weight.dim() == 4:
        return weight
    return weight.reshape(-1, *image_shape) if weight.shape[1] == math.prod(image_shape) else None


@torch.no_grad()
def maps_of(layer: nn.Module, image: Tensor) -> Tensor | None:
    """Return a convolution's first maps of one picture (C, H, W): float (K, H', W'), or None."""
    if not isinstance(layer, nn.Conv2d) or layer.in_channels != len(image):
        return None
    weight = layer.weight
    return layer(image[None].to(weight.device, weight.dtype))[0, :_SHOWN].float().cpu()


def draw(view: TrainingView) -> bytes:
    """Draw the picture as a PNG, 660 pixels wide."""
    layer = view.layer
    height = _CHARTS if layer is None else 470 if layer.maps is None else 560
    sheet = Image.new("RGB", (WIDTH, height), "white")
    sheet.paste(_curves(view).to_image(), (0, 0))
    if layer is not None:
        _draw_layer(sheet, layer)
    return canvas.to_png(sheet)


def _curves(view: TrainingView) -> f.Figure:
    """Draw loss by step and accuracy by epoch, both on an axis of epochs."""
    figure = f.Figure(WIDTH, _CHARTS, layout="none")  # fixed places, and half the time
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.06, right=0.985, bottom=0.19, top=0.88, wspace=0.2)
    f.style(left, "Loss on the training batches", xlabel="epoch", whole="x")
    f.style(right, "Accuracy", xlabel="epoch", whole="x", percent="y")

    losses = np.array(view.losses, dtype=float)
    finite = losses[np.isfinite(losses)]
    # A loss that explodes may leave the chart; the losses before it should stay readable.
    top = min(finite.max(), 4 * finite[0]) if len(finite) else 2.5
    stride = max(1, len(losses) // WIDTH)  # the chart has no more pixels than that
    dot = "o" if len(losses) == 1 else None
    look = {"color": f.BLUE, "linewidth": 1.6, "marker": dot, "ms": 4}
    left.plot(view.positions[::stride], losses[::stride], **look)
    left.set_ylim(0, max(top * 1.05, 1e-3))

    name, other = view.reference or ("", ())
    both = [*view.train_accuracy, *view.validation_accuracy, *other]
    low = math.floor(10 * min(both, default=0.5) - 0.5) / 10
    low = min(max(low, 0.0), 0.9)
    right.set_ylim(low, 1 + 0.025 * (1 - low))  # room for a dot at 100 %
    look = {"linewidth": 1.8, "marker": "o", "ms": 5 if view.epochs <= 20 else 3}
    for kind, values, colour in (
        ("training", view.train_accuracy, f.ORANGE),
        ("validation", view.validation_accuracy, f.BLUE),
    ):
        right.plot(view.epoch[: len(values)], values, color=colour, label=kind, zorder=3, **look)
    if other:
        look = {"color": f.MUTED, "linewidth": 1.2, "linestyle": (0, (4, 2))}
        [line] = right.plot(range(1, len(other) + 1), other, **look)
        text = {"frameon": False, "fontsize": f.SMALL, "labelcolor": f.MUTED}
        right.add_artist(right.legend([line], [name], loc="lower right", **text))
    place = {"loc": "lower right", "bbox_to_anchor": (1.02, 0.98), "ncols": 2}
    look = {"frameon": False, "fontsize": f.SMALL, "labelcolor": f.MUTED}
    right.legend(handlelength=1.5, columnspacing=1.2, **place, **look)
    for axes in (left, right):
        axes.set_xlim(0, 1.02 * view.epochs)  # room for the last dot
    return figure


def _draw_layer(sheet: Image.Image, layer: FirstLayer) -> None:
    box = (310, 136) if layer.maps is not None else (310, 180)
    limit = max(float(kernels.abs().max()) for kernels in (layer.start, layer.now))
    for left, title, kernels in (
        (_LEFT, f"{layer.name} at the start", layer.start),
        (_LEFT + 322, f"{layer.name} now", layer.now),
    ):
        canvas.heading(sheet, title, left, _TILES - 24)
        if kernels.shape[1] == 3:
            tiles = _tiled_colours(kernels, box, limit)
        else:  # one slice of each, because all of them would be too many to see
            signed = canvas.signed_indices(kernels[:, 0].numpy(), limit)
            tiles = canvas.coloured(canvas.tile(signed, box, _GAP))
        sheet.paste(tiles, (left, _TILES))
    if layer.maps is None or layer.image is None:
        return
    top = _TILES + 168
    canvas.heading(sheet, "An image, and its feature maps from these kernels", _LEFT, top - 24)
    if len(layer.image) == 3:
        shown = _tiled_colours(layer.image[None], (112, 112))
    else:
        grey = canvas.grey_indices(layer.image[:1].numpy())
        shown = canvas.coloured(canvas.tile(grey, (112, 112)))
    sheet.paste(shown, (_LEFT, top))
    maps = canvas.tile(canvas.signed_indices(layer.maps.numpy()), (WIDTH - 154, 114))
    sheet.paste(canvas.coloured(maps), (_LEFT + 128, top))


def _tiled_colours(images: Tensor, box: tuple[int, int], limit: float = 0.0) -> Image.Image:
    """Draw pictures or kernels (K, 3, h, w) as a grid of colours; grey is 0."""
    values = images.numpy()
    limit = limit or float(np.abs(values).max(initial=0.0)) or 1.0
    scaled = (127.5 + 127.5 * np.clip(values / limit, -1, 1)).round().astype(np.uint8)
    grid = np.stack([canvas.tile(scaled[:, c], box, _GAP) for c in range(3)], axis=-1)
    gaps = canvas.tile(np.zeros_like(scaled[:, 0]), box, _GAP) == canvas.WHITE
    grid[gaps] = 255
    return Image.fromarray(grid)
