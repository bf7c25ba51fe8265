"""A network on the bench: what the one-click lab measures on it, and the pictures it is shown."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from course_utils.conv import AdaptedConv2d, LayerRow, ReceptiveField, layer_table
from course_utils.core import CourseError, evaluation_mode
from course_utils.data import Dataset

MOST, LEAST = 256, 32
"""Held-out pictures that are looked at at once: of a cheap network, and of any."""

_AT_ONCE = 64  # pictures: all maps of a small network fit in the cache, twice as fast as 256
_NUMBERS = 2**24  # of all held-out pictures together: 64 MiB
_SIDES = (64, 32, 28, 224, 96, 128, 256, 299)


class HeldOut:
    """Pictures that no training here sees, as one network takes them.

    They are the first ones of the validation pictures, or of the test pictures where there are no
    others.

    Attributes:
        images: float (N, C, H, W), normalised as the data set is.
        labels: int64 (N,).
        shape: (C, H, W).
    """

    def __init__(self, data: Dataset, shape: tuple[int, int, int]):
        part = data.validation if len(data.validation) else data.test
        most = max(LEAST, min(MOST, _NUMBERS // math.prod(shape)))
        self.data, self.shape = data, shape
        self.images = adapted(data.normalise(part.images[:most]), shape)
        self.labels = part.labels[:most]

    def __len__(self) -> int:
        return len(self.images)


def adapted(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Float pictures (N, c, h, w) as (N, C, H, W): grey is repeated, colour averaged, both resized.

    Channels beyond those of the pictures begin with their first again.
    """
    channels, *size = shape
    if images.shape[1] != channels:
        if channels == 1:
            images = images.mean(1, keepdim=True)
        else:
            images = images[:, torch.arange(channels) % images.shape[1]]
    if list(images.shape[2:]) != size:
        images = F.interpolate(images, size=tuple(size), mode="bilinear", antialias=True)
    return images


@torch.no_grad()
def input_shape(model: nn.Module, data: Dataset) -> tuple[int, int, int]:
    """The shape (C, H, W) of the pictures to show to a model: the first usual one that it accepts.

    Raises:
        CourseError: the model has no `nn.Conv2d`, no numbers, or accepts none.
    """
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None:
        raise CourseError("This network has no Conv2d, so there is nothing to edit here.")
    if any(parameter.is_meta for parameter in model.parameters()):
        raise CourseError("This network lies on the meta device: it has no numbers to look at.")
    own = data.image_shape
    # The first layer by name need not be the first that is called.
    shapes = [
        shape
        for channels in dict.fromkeys((first.in_channels, own[0], 3, 1))
        for shape in [own] * (channels == own[0]) + [(channels, side, side) for side in _SIDES]
    ]
    problem = ""
    for shape in shapes:
        try:
            with evaluation_mode(model):
                model(_like(model, torch.zeros(1, *shape)))
        except Exception as error:
            text = (str(error).strip().splitlines() or [""])[0]
            problem = problem or f"{type(error).__name__}: {text}"
        else:
            return shape
    raise CourseError(
        f"This network accepts no picture of {first.in_channels} channels and a usual size"
        f" ({shapes[0][1]}×{shapes[0][2]}, {', '.join(map(str, _SIDES))} pixels). It says {problem}"
    )


@dataclass(frozen=True)
class Block:
    """One layer in the drawing of a network.

    Attributes:
        name, kind: as in the model, and its class.
        channels: that it gives, or the outputs of a linear layer.
        size: height and width of its maps; None for a linear layer.
        receptive_field: of one number of its output; None where that is the whole picture.
        adapted: whether it has an adapter.
    """

    name: str
    kind: str
    channels: int
    size: tuple[int, int] | None
    receptive_field: ReceptiveField | None
    adapted: bool = False


class Bench:
    """A network and what is measured on it, each quantity when it is first asked for.

    It may be asked by several threads: one of them at a time runs the network.

    Args:
        model: stays as it is; it must not change while the bench is used.
        held_out: pictures that it accepts.
    """

    def __init__(self, model: nn.Module, held_out: HeldOut):
        self.model, self.held_out = model, held_out
        self._outputs: Tensor | None = None
        self._maps: dict[tuple[str, int], Tensor] = {}
        # Two at once would take each other's eval mode away: it belongs to the network.
        self._lock = threading.Lock()

    @property
    def example(self) -> Tensor:
        """One picture of zeros, (1, C, H, W)."""
        return torch.zeros(1, *self.held_out.shape)

    @cached_property
    def rows(self) -> list[LayerRow]:
        return layer_table(self.model, _like(self.model, self.example))

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Convolutions and linear layers in the order of their first calls."""
        modules = dict(self.model.named_modules())
        blocks: dict[str, Block] = {}
        for row in self.rows:
            module = modules[row.name]
            parent = modules.get(row.name.rpartition(".")[0])
            of_adapter = isinstance(parent, AdaptedConv2d)
            if row.name not in blocks and row.output_shape is not None and not of_adapter:
                block = _block(row, module)
                if block is not None:
                    blocks[row.name] = block
        return tuple(blocks.values())

    @cached_property
    def convs(self) -> dict[str, nn.Conv2d]:
        """The layers that can be edited, in the order of their calls."""
        found = ((b.name, self.model.get_submodule(b.name)) for b in self.blocks)
        return {name: module for name, module in found if isinstance(module, nn.Conv2d)}

    @cached_property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    @cached_property
    def multiply_adds(self) -> int:
        """Of one picture, over convolutions and linear layers."""
        return sum(row.multiply_adds or 0 for row in self.rows)

    def block(self, layer: str) -> Block:
        return next(block for block in self.blocks if block.name == layer)

    @torch.no_grad()
    def outputs(self, count: int) -> Tensor:
        """What the network says to the first `count` held-out pictures: float (count, ...)."""
        with self._lock:
            if self._outputs is None or len(self._outputs) < count:
                images = _like(self.model, self.held_out.images[:count])
                with evaluation_mode(self.model):
                    parts = [self._output(some) for some in images.split(_AT_ONCE)]
                self._outputs = torch.cat(parts)
            return self._outputs[:count]

    def _output(self, images: Tensor) -> Tensor:
        output = self.model(images)
        first = next((t for t in tree_leaves(output) if isinstance(t, Tensor)), None)
        if first is None or len(first) != len(images):
            raise CourseError("The network's first output is no tensor with a row a picture.")
        return first.float().cpu()

    def accuracy(self, count: int) -> float | None:
        """Share of right answers in [0, 1]; None if the outputs are not the data's classes."""
        outputs = self.outputs(count)
        if outputs.shape != (count, len(self.held_out.data.classes)):
            return None
        return float((outputs.argmax(1) == self.held_out.labels[:count]).float().mean())

    @torch.no_grad()
    def maps(self, layer: str, index: int) -> Tensor:
        """What a convolution makes of one held-out picture, before any adapter: float (K, H, W)."""
        with self._lock:
            if (layer, index) not in self._maps:
                found = self._run_until(layer, self.held_out.images[index : index + 1])
                self._maps = {(layer, index): found[0].float().cpu()}  # only the last: it is large
            return self._maps[layer, index]

    def _run_until(self, layer: str, images: Tensor) -> Tensor:
        """What a convolution gives for these pictures; nothing behind it is computed."""
        found: list[Tensor] = []

        def keep(module: nn.Conv2d, inputs: tuple) -> None:
            found.append(nn.Conv2d.forward(module, *inputs))
            raise _Enough

        handle = self.model.get_submodule(layer).register_forward_pre_hook(keep)
        try:
            with evaluation_mode(self.model):
                self.model(_like(self.model, images))
        except _Enough:
            pass
        finally:
            handle.remove()
        return found[0]


class _Enough(Exception):
    """Ends a forward pass behind the layer that was asked for."""


def bench_for(model: nn.Module, data: Dataset) -> Bench:
    """A bench with the data's held-out pictures in a shape that the model accepts.

    Raises:
        CourseError: the model has no `nn.Conv2d`, no numbers, or accepts no usual picture.
    """
    return Bench(model, HeldOut(data, input_shape(model, data)))


def _block(row: LayerRow, module: nn.Module) -> Block | None:
    match module:
        case nn.Conv2d() | nn.ConvTranspose2d():
            adapted = isinstance(module, AdaptedConv2d)
            size = tuple(row.output_shape[-2:])
            field, kind = row.receptive_field, "Conv2d" if adapted else row.kind
            return Block(row.name, kind, module.out_channels, size, field, adapted)
        case nn.Linear():
            return Block(row.name, row.kind, module.out_features, None, row.receptive_field)
    return None


def _like(model: nn.Module, images: Tensor) -> Tensor:
    """Pictures on the device of the model, in the dtype of its weights."""
    return images.to(next(p for p in model.parameters() if p.is_floating_point()))
