"""A copy of a network without its numbers, to try an edit on, and to be filled when it works."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_map

from course_utils.conv.meta import blank, stand_ins
from course_utils.core import CourseError


class Draft:
    """A network on the meta device, and the real tensors that its parameters stand for.

    Args:
        meta: put the copy on the meta device; else it shares the original's parameters, for models
            that look at numbers while they run.

    Attributes:
        model: the copy.
        tensors: name -> real tensor, of the parameters and buffers that have changed already.
    """

    def __init__(self, original: nn.Module, meta: bool = True):
        self.original = original
        if any(is_lazy(p) for p in original.parameters()):
            raise CourseError("A lazy layer has no weights yet: run the model once.")

        def buffer(b: Tensor) -> Tensor:
            # Tables of whole numbers (indices, counters) keep their numbers: code may look at them.
            return blank(b) if meta and b.is_floating_point() else b.detach().clone()

        memo = stand_ins(original, blank if meta else Tensor.detach, buffer)
        try:
            self.model = copy.deepcopy(original, memo)
        except Exception as error:
            raise CourseError(f"The model cannot be copied: {error}") from error
        self.names = {name: t for name, t in self._named(original)}
        self.tensors: dict[str, Tensor] = {}

    @staticmethod
    def _named(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        yield from model.named_parameters()
        yield from model.named_buffers()

    def tensor(self, name: str) -> Tensor:
        """The real numbers of a parameter or buffer, as changed so far."""
        return self.tensors[name] if name in self.tensors else self.names[name].detach()

    def canonical(self, name: str) -> str:
        """The name under which a parameter is listed; one that is shared has several."""
        owner, _, attribute = name.rpartition(".")
        mine = getattr(self.model.get_submodule(owner), attribute)
        return next((other for other, t in self._named(self.model) if t is mine), name)

    def own(self, name: str) -> bool:
        """Give a layer a parameter of its own where it shares one; says whether it did."""
        owner, _, attribute = name.rpartition(".")
        module = self.model.get_submodule(owner)
        mine, real = getattr(module, attribute), self.tensor(self.canonical(name))
        users = [m for m in self.model.modules() if any(p is mine for p in m._parameters.values())]
        if len(users) == 1:
            return False
        module._parameters[attribute] = nn.Parameter(mine.detach().clone(), mine.requires_grad)
        for listed, _ in self._named(self.model):
            self.names.setdefault(listed, real)
        return True

    def replace(self, name: str, tensor: Tensor) -> None:
        """Give a parameter other numbers, and the draft's the same shape."""
        self.tensors[name] = tensor
        self.reshape(name, tensor.shape)

    def reshape(self, name: str, shape: tuple[int, ...]) -> None:
        """Give a parameter or buffer of the draft another shape, wherever it is used."""
        owner, _, attribute = name.rpartition(".")
        old = getattr(self.model.get_submodule(owner), attribute)
        new = old.detach().new_empty(shape)
        if isinstance(old, nn.Parameter):
            new = nn.Parameter(new, old.requires_grad)
        self._swap({id(old): new})

    def shape(self, name: str) -> torch.Size:
        """The shape that a parameter or buffer has in the draft."""
        owner, _, attribute = name.rpartition(".")
        return getattr(self.model.get_submodule(owner), attribute).shape

    def _swap(self, new: dict[int, Tensor]) -> None:
        for module in self.model.modules():
            for table in (module._parameters, module._buffers):
                for name, tensor in table.items():
                    if tensor is not None and id(tensor) in new:
                        table[name] = new[id(tensor)]

    def filled(self) -> nn.Module:
        """The draft with numbers: the changed tensors, and copies of all others."""
        real: dict[int, Tensor] = {}
        for name, tensor in self._named(self.model):
            value = self.tensors.get(name)
            if value is None:
                if name not in self.names:  # an adapter's, made with its numbers
                    continue
                value = self.names[name].detach().clone()
            was = self.names.get(name)
            if was is not None and was.ndim == value.ndim == 4 and not was.is_contiguous():
                value = value.contiguous(memory_format=torch.channels_last)
            if isinstance(tensor, nn.Parameter):
                real[id(tensor)] = nn.Parameter(value, tensor.requires_grad)
            else:
                real[id(tensor)] = value
        self._swap(real)
        return self.model


def example_inputs(model: nn.Module, given: Any, meta: bool = True) -> list[tuple]:
    """The inputs to try, two pictures each.

    With none given, pictures of the usual sizes with as many channels as the first convolution has;
    the first that the model accepts is the one.
    """
    if given is not None:
        inputs = given if isinstance(given, tuple) else (given,)
        return [tree_map(lambda value: _two_pictures(value, meta), inputs)]
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    sizes = (224, 32, 28, 64, 96, 128, 256, 299, 384, 512)
    device = "meta" if meta else first.weight.device
    shapes = [(2, first.in_channels, n, n) for n in sizes]
    return [(torch.zeros(s, device=device, dtype=first.weight.dtype),) for s in shapes]


def _two_pictures(value: Any, meta: bool) -> Any:
    """A tensor as a batch of two pictures: BatchNorm cannot train with one number."""
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value
    batch = value[None] if value.ndim == 3 else value
    if meta:
        return batch.new_empty((2, *batch.shape[1:]), device="meta")
    return batch[[0, -1]]
