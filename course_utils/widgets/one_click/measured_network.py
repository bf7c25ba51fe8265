"""A network in the one-click lab with the quantities that the lab shows of it."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from course_utils.conv import (
    AdaptedConv2d,
    LayerRow,
    NetworkGraph,
    ReceptiveField,
    layer_table,
    network_graph,
)
from course_utils.core import CourseError, evaluation_mode, shape_text
from course_utils.data import Dataset, load_dataset
from course_utils.metrics import ClassProbability, grad_cam
from course_utils.models import Card, card_of
from course_utils.widgets.one_click.held_out import HeldOutImages, as_input, find_input_shape
from course_utils.widgets.one_click.shown_photographs import (
    Photographs,
    load_photographs,
    shows_photographs,
    side_for,
)
from course_utils.widgets.seen import most_probable

_FASHION_CLASSES = 10
_BATCH = 64  # images: all maps of a small network fit in the cache, twice as fast as 256


@dataclass(frozen=True)
class Block:
    """One layer in the drawing of a network."""

    name: str
    kind: str  # class of the layer
    channels: int  # of the output, or outputs of a linear layer
    size: tuple[int, int] | None  # height and width of the output maps; None for a linear layer
    receptive_field: ReceptiveField | None  # of one output value; None if it is the whole image
    adapted: bool = False  # by an adapter


class MeasuredNetwork:
    """A network with its held-out images; each quantity is computed when it is first needed.

    Several threads may use it: only one of them runs the network at a time. The model stays
    unchanged, and nothing else may change it, either.
    """

    def __init__(
        self, model: nn.Module, held_out: HeldOutImages | Photographs, card: Card | None = None
    ):
        self.model, self.held_out, self.card = model, held_out, card
        self._outputs: Tensor | None = None
        self._maps: dict[tuple[str, int], Tensor] = {}
        # Eval mode belongs to the network: two threads would switch it off for each other.
        self._lock = threading.Lock()

    @classmethod
    def for_data(cls, model: nn.Module, data: Dataset, card: Card | None = None) -> MeasuredNetwork:
        """Return the network with the held-out images of `data` in a shape that it accepts.

        Raises:
            CourseError: there is no such shape, as in `find_input_shape`.
        """
        return cls(model, HeldOutImages(data, find_input_shape(model, data)), card)

    @classmethod
    def shown(
        cls,
        model: nn.Module,
        data: Dataset | None,
        *,
        card: Card | None = None,
        photographs: Any = None,
        side: int | None = None,
    ) -> MeasuredNetwork:
        """Return the network with the images of `data`, or with photographs.

        It is shown photographs if it has a card with other classes than the data.

        Args:
            data: None for Fashion-MNIST, which is read only if the network is shown it.
            card: of the network. Default: the one with which `load_pretrained` made it.
            photographs, side: as in `load_photographs` and `side_for`.

        Raises:
            CourseError: the network takes neither, or a photograph cannot be used.
        """
        card = card or card_of(model)
        if not shows_photographs(card, _FASHION_CLASSES if data is None else len(data.classes)):
            data = load_dataset("fashion-mnist") if data is None else data
            return cls.for_data(model, data, card)
        pictures = load_photographs(photographs)
        return cls(model, Photographs(pictures, card, side_for(model, card, side)), card)

    def edited(self, model: nn.Module) -> MeasuredNetwork:
        """Return an edited copy of this network, with the same images."""
        return MeasuredNetwork(model, self.held_out, self.card)

    @property
    def example(self) -> Tensor:
        """One image of zeros, (1, C, H, W)."""
        return torch.zeros(1, *self.held_out.shape)

    @cached_property
    def rows(self) -> list[LayerRow]:
        """The layer table."""
        return layer_table(self.model, as_input(self.model, self.example))

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Convolutions and linear layers in the order of their first calls."""
        modules = dict(self.model.named_modules())
        blocks: dict[str, Block] = {}
        for row in self.rows:
            parent = modules.get(row.name.rpartition(".")[0])
            in_adapter = isinstance(parent, AdaptedConv2d)
            if row.name not in blocks and row.output_shape is not None and not in_adapter:
                blocks[row.name] = _block(row, modules[row.name])
        return tuple(block for block in blocks.values() if block is not None)

    @cached_property
    def blocks_by_name(self) -> dict[str, Block]:
        """The same blocks by the names of their layers."""
        return {block.name: block for block in self.blocks}

    @cached_property
    def whole_graph(self) -> NetworkGraph:
        """The graph of all layers and operations."""
        return network_graph(self.model, as_input(self.model, self.example))

    @cached_property
    def graph(self) -> NetworkGraph:
        """The graph of the layers, in which what stands between them is folded into them."""
        return self.whole_graph.folded()

    @cached_property
    def convs(self) -> dict[str, nn.Conv2d]:
        """The layers that can be edited, in the order of their calls."""
        layers = {block.name: self.model.get_submodule(block.name) for block in self.blocks}
        return {name: layer for name, layer in layers.items() if isinstance(layer, nn.Conv2d)}

    @cached_property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    @cached_property
    def multiply_adds(self) -> int:
        """The multiply-adds of convolutions and matrix products for one image."""
        return sum(row.multiply_adds or 0 for row in self.rows)

    def block(self, layer: str) -> Block:
        return self.blocks_by_name[layer]

    @torch.no_grad()
    def outputs(self, count: int) -> Tensor:
        """Return the outputs for the first `count` held-out images: float (count, ...)."""
        with self._lock:
            if self._outputs is None or len(self._outputs) < count:
                images = as_input(self.model, self.held_out.images[:count])
                with evaluation_mode(self.model):
                    parts = [self._output(batch) for batch in images.split(_BATCH)]
                self._outputs = torch.cat(parts)
            return self._outputs[:count]

    def _output(self, images: Tensor) -> Tensor:
        return self.first_output(self.model(images), len(images))

    @staticmethod
    def first_output(output: Any, images: int) -> Tensor:
        """Return the first tensor of a network's output: float, on the CPU, (images, ...).

        Raises:
            CourseError: it has not one row for each image.
        """
        first = next((t for t in tree_leaves(output) if isinstance(t, Tensor)), None)
        if first is None or not first.dim() or len(first) != images:
            raise CourseError("The first output of the network must have one row for each image.")
        return first.float().cpu()

    def accuracy(self, count: int) -> float | None:
        """Return the accuracy on the first `count` held-out images, in [0, 1].

        It is None if the outputs are not scores of the data's classes, or there are no labels.
        """
        if self.held_out.data is None:
            return None
        outputs = self.outputs(count)
        if outputs.shape != (count, len(self.held_out.data.classes)):
            return None
        return float((outputs.argmax(1) == self.held_out.labels[:count]).float().mean())

    @property
    def why_no_accuracy(self) -> str:
        """Why the outputs cannot be right or wrong; "" if they can."""
        outputs, data = self.outputs(1), self.held_out.data
        if data is None:
            return "Photographs have no labels."
        if outputs.shape == (1, len(data.classes)):
            return ""
        shape = outputs.shape[1:]
        what = f"{shape[0]:,} scores" if len(shape) == 1 else f"{shape_text(shape)} numbers"
        classes = f"{len(data.classes)} classes of {data.title}"
        return f"It returns {what} an image, not one for each of the {classes}."

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes whose scores the network returns; () if they are not known."""
        data = self.held_out.data
        known = [one.classes for one in (self.card, data) if one is not None]
        count = self.outputs(1).shape[1:]
        return next((tuple(names) for names in known if count == (len(names),)), ())

    def seen(self, index: int) -> tuple[ClassProbability, ...]:
        """Return the most probable classes of an image, as `most_probable` does."""
        return most_probable(self._scores(index), self.classes)

    @torch.no_grad()
    def _scores(self, index: int) -> Tensor:
        with self._lock:
            if self._outputs is not None and index < len(self._outputs):
                return self._outputs[index]
            image = as_input(self.model, self.held_out.images[index : index + 1])
            with evaluation_mode(self.model):
                return self._output(image)[0]

    def probability(self, index: int, class_index: int) -> float:
        """Return the probability of a class for an image."""
        return float(self._scores(index).softmax(0)[class_index])

    def activated(self, layer: str) -> str:
        """Return the layer whose maps are those of `layer` after its norm and activation.

        It is `layer` itself where these are not layers that are called once.
        """
        graph, modules = self.whole_graph, dict(self.model.named_modules())
        calls = Counter(node.name for node in graph.nodes)
        number = max(k for k, node in enumerate(graph.nodes) if node.name == layer)
        while len(graph.readers[number]) == 1:
            (reader,) = graph.readers[number]
            node = graph.nodes[reader]
            alone = node.sources == (number,) and not node.weighted and calls[node.name] == 1
            kind = type(modules[node.name]).__name__ if node.name else ""
            if not alone or node.kind != kind or node.shape != graph.nodes[number].shape:
                break
            number = reader
        return graph.nodes[number].name

    def grad_cam(self, layer: str, index: int, class_index: int) -> Tensor:
        """Return the Grad-CAM of a class for an image at a layer, as `metrics.grad_cam` does."""
        with self._lock:
            image = as_input(self.model, self.held_out.images[index : index + 1])
            return grad_cam(self.model, image, class_index, layer)

    @torch.no_grad()
    def maps(self, layer: str, index: int) -> Tensor:
        """Return the feature maps of one held-out image, without any adapter: float (K, H, W)."""
        with self._lock:
            if (layer, index) not in self._maps:
                maps = self._run_until(layer, self.held_out.images[index : index + 1])
                self._maps = {(layer, index): maps[0].float().cpu()}  # only the last: it is large
            return self._maps[layer, index]

    def _run_until(self, layer: str, images: Tensor) -> Tensor:
        """Return the output of a convolution, without running the layers after it."""
        found: list[Tensor] = []

        def keep(module: nn.Conv2d, inputs: tuple) -> None:
            found.append(nn.Conv2d.forward(module, *inputs))
            raise _Enough

        handle = self.model.get_submodule(layer).register_forward_pre_hook(keep)
        try:
            with evaluation_mode(self.model):
                self.model(as_input(self.model, images))
        except _Enough:
            pass
        finally:
            handle.remove()
        return found[0]


class _Enough(Exception):
    """Ends a forward pass after the layer whose output is needed."""


def _block(row: LayerRow, module: nn.Module) -> Block | None:
    if isinstance(module, nn.Linear):
        return Block(row.name, row.kind, module.out_features, None, row.receptive_field)
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        adapted, size = isinstance(module, AdaptedConv2d), tuple(row.output_shape[-2:])
        kind = "Conv2d" if adapted else row.kind
        return Block(row.name, kind, module.out_channels, size, row.receptive_field, adapted)
    return None
