"""Silence kernels of a convolution: switch output channels off, in a copy of the network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from course_utils.conv.edit.weights import row_norms
from course_utils.conv.graph import NetworkGraph, network_graph
from course_utils.conv.meta import copied
from course_utils.core import CourseError, evaluation_mode, whole_number

ORDERS = ("smallest", "largest", "least active", "at random")
"""The orders in which `kernel_order` takes kernels away."""

# What leaves a channel of zeros as it is, between a convolution and its BatchNorm.
_KEEPS_ZEROS = {"Identity", "ReLU", "ReLU6", "relu", "relu6", "hardtanh"}
_KEEPS_ZEROS |= {"Dropout", "Dropout2d", "dropout", "dropout2d"}


def silence_kernels(
    model: nn.Module, layer: str, kernels: Iterable[int], example_input: Any
) -> nn.Module:
    """Return a copy of a network in which some kernels of a convolution are silent.

    Their output channels are 0, also after the BatchNorm of that convolution, which would make a
    constant of them otherwise. All shapes stay, so a whole kernel can be missing and the network
    still runs. If the layer is called several times, each call is without them.

    Args:
        model: any network; it does not change.
        layer: name of a `nn.Conv2d`, as in `model.get_submodule(layer)`.
        kernels: numbers of the output channels, from 0.
        example_input: a batch (N, C, H, W), or what else the model takes; only its shape counts.

    Raises:
        CourseError: if there is no such layer or kernel, the layer's weight is computed from other
            parameters, or the model does not run on the example.

    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    >>> quiet = silence_kernels(model, "0", [2], torch.zeros(1, 1, 8, 8))
    >>> quiet(torch.rand(1, 1, 8, 8))[0, 2].abs().max().item()
    0.0
    """
    return SilencedCopy(model, layer, example_input).silence(kernels)


class SilencedCopy:
    """A copy of a network in which one set of kernels after the other can be silent.

    The arguments and errors are those of `silence_kernels`.

    Attributes:
        model: the copy; its shapes and its mode are those of the original.
    """

    def __init__(self, model: nn.Module, layer: str, example_input: Any):
        _conv(model, layer)
        self.model, self._layer = copied(model), layer
        graph = network_graph(model, example_input)
        self._parts = []  # each module, and its tensors with a number for each kernel
        for name in (layer, *_norms(self.model, graph, layer)):
            module, tensors = self.model.get_submodule(name), ("weight", "bias")
            if module.weight is None:  # a BatchNorm that makes 0 of 0 if its mean is 0
                tensors = ("running_mean",)
            own = {name: getattr(module, name) for name in tensors}
            self._parts.append((module, {n: one for n, one in own.items() if one is not None}))

    def silence(self, kernels: Iterable[int]) -> nn.Module:
        """Return `model` with exactly these kernels silent; it is the same object each time.

        Raises:
            CourseError: if there is no such kernel.
        """
        count = len(self._parts[0][1]["weight"])
        chosen = sorted({whole_number("kernel", kernel, 0, count - 1) for kernel in kernels})
        for module, own in self._parts:
            for name, tensor in own.items():
                # A new tensor: another layer may share the old one.
                values = tensor.detach().clone()
                values[chosen] = 0
                if name in module._parameters:
                    values = nn.Parameter(values, requires_grad=tensor.requires_grad)
                setattr(module, name, values)
        return self.model


def kernel_order(
    model: nn.Module, layer: str, order: str, *, images: Tensor | None = None, seed: int = 0
) -> list[int]:
    """Return the numbers of a convolution's kernels in the order in which they are taken away.

    Args:
        order: "smallest" or "largest": by the sum of the weights' magnitudes (L1 norm; Li et al.
            2017, "Pruning filters for efficient ConvNets"). "least active": by the mean magnitude
            of the output for `images`, after the layer's BatchNorm. "at random": by the seed.
        images: (N, C, H, W), as the network takes them; for "least active".
        seed: for "at random".

    Raises:
        CourseError: if there is no such layer or order, or `images` are missing.
    """
    conv = _conv(model, layer)
    if order == "at random":
        generator = torch.Generator().manual_seed(whole_number("seed", seed, 0))
        return torch.randperm(conv.out_channels, generator=generator).tolist()
    if order in ("smallest", "largest"):
        sizes = row_norms(conv.weight, "l1")
        return np.argsort(-sizes if order == "largest" else sizes, kind="stable").tolist()
    if order != "least active":
        raise CourseError(f"There is no order {order!r}: give {', '.join(map(repr, ORDERS))}.")
    if images is None:
        raise CourseError("The order 'least active' needs images: their outputs are compared.")
    return np.argsort(_activity(model, layer, images), kind="stable").tolist()


@torch.no_grad()
def _activity(model: nn.Module, layer: str, images: Tensor) -> np.ndarray:
    """Return the mean magnitude of each output channel, after the BatchNorm: (K,)."""
    copy, found = copied(model), []
    last = [layer, *_norms(copy, network_graph(model, images[:1]), layer)][-1]
    copy.get_submodule(last).register_forward_hook(
        lambda _module, _inputs, output: found.append(output.abs().mean((0, 2, 3)))
    )
    with evaluation_mode(copy):
        copy(images)
    return torch.stack(found).mean(0).double().cpu().numpy()


def _conv(model: nn.Module, layer: str) -> nn.Conv2d:
    conv = dict(model.named_modules(remove_duplicate=False)).get(layer)
    if not isinstance(conv, nn.Conv2d):
        what = "no layer" if conv is None else f"a {type(conv).__name__}, not a Conv2d, at"
        raise CourseError(f"There is {what} {layer!r}: give the name of a Conv2d.")
    if "weight" not in conv._parameters:
        raise CourseError(
            f"The weight of {layer!r} is computed from other parameters, so its kernels cannot be"
            " silenced here."
        )
    return conv


def _norms(model: nn.Module, graph: NetworkGraph, layer: str) -> list[str]:
    """Return the names of the BatchNorms that read nothing but this layer's output."""
    modules = dict(model.named_modules(remove_duplicate=False))
    conv = modules[layer]
    calls = [k for k, node in enumerate(graph.nodes) if modules.get(node.name) is conv]
    followers = set(calls)
    for number, node in enumerate(graph.nodes):  # the sources of a node come before it
        sources = set(node.sources)
        if node.kind in _KEEPS_ZEROS and len(sources) == 1 and sources <= followers:
            followers.add(number)
    norms: dict[str, None] = {}
    for node in graph.nodes:
        norm = modules.get(node.name)
        frozen = node.kind == "FrozenBatchNorm2d"  # importing torchvision's own takes a second
        read = set(node.sources)
        if (frozen or isinstance(norm, _BatchNorm)) and read and read <= followers:
            all_calls = [one for one in graph.nodes if modules.get(one.name) is norm]
            if all(set(one.sources) <= followers for one in all_calls):
                norms[node.name] = None
    return list(norms)
