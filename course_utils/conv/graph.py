"""The graph of a network: which layer reads whose output, shortcuts and branches included.

The network's own `forward` runs once, on the meta device where that works. Hooks see the layers, a
`TorchFunctionMode` sees the operations between them (sums, concatenations, functional pooling), and
each tensor remembers the node that made it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from course_utils.conv.edit.state import private_run
from course_utils.conv.example import ways_to_call
from course_utils.conv.meta import blank, copied, mapped, tensors_in, without_foreign_hooks
from course_utils.conv.shape_rules import OnlyShapes
from course_utils.core import CourseError, check_network, error_line

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Node:
    """One call of a layer, or one operation between layers.

    Attributes:
        name: of the layer in the model, or of the module in whose forward the operation runs; "" in
            the forward of the model itself, and for an input.
        kind: the layer's class, or the name of the operation ("add", "cat"), or "input".
        sources: numbers of the nodes whose outputs it reads.
        shape: of its own output (of the first tensor, if there are several).
        weighted: whether it is a layer with a weight of two or more dimensions.
        folded: kinds of the nodes that `NetworkGraph.folded` has put into this one.
    """

    name: str
    kind: str
    sources: tuple[int, ...]
    shape: tuple[int, ...]
    weighted: bool = False
    folded: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkGraph:
    """The nodes of a network in the order in which they run.

    Attributes:
        nodes: the inputs first. A layer that is called several times has a node for each call.
        outputs: numbers of the nodes whose outputs the network returns.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """Return for each node the numbers of the nodes that read its output."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for number, node in enumerate(self.nodes):
            for source in node.sources:
                found[source].append(number)
        return tuple(map(tuple, found))

    def folded(self) -> NetworkGraph:
        """Return the graph of what matters for the structure.

        Layers with weights stay, and operations with several inputs, and what changes height and
        width. The others (normalisation, activation, dropout, reshaping) are folded into the node
        whose output they read, if nobody else reads it, or else into their only reader.
        """
        into = list(range(len(self.nodes)))  # number of the node into which each one is folded
        for number, node in enumerate(self.nodes):
            if not self._stays(node):
                (source,) = node.sources
                if len(self.readers[source]) == 1 and source not in self.outputs:
                    into[number] = into[source]
        return self._merged(into)._folded_into_readers()

    def _folded_into_readers(self) -> NetworkGraph:
        into = list(range(len(self.nodes)))
        for number, node in reversed(list(enumerate(self.nodes))):
            readers = self.readers[number]
            if not self._stays(node) and len(readers) == 1 and number not in self.outputs:
                (reader,) = readers
                if len(self.nodes[reader].sources) == 1:
                    into[number] = into[reader]
        return self._merged(into)

    def _stays(self, node: Node) -> bool:
        if node.weighted or len(node.sources) != 1:
            return True
        before = self.nodes[node.sources[0]].shape
        moved = sorted(before) == sorted(node.shape)  # a permutation
        return len(before) == len(node.shape) == 4 and before[-2:] != node.shape[-2:] and not moved

    def _merged(self, into: list[int]) -> NetworkGraph:
        """Return the graph whose nodes are those that are folded into themselves."""
        kept = [number for number, target in enumerate(into) if number == target]
        new = {number: k for k, number in enumerate(kept)}
        members: dict[int, list[int]] = {number: [] for number in kept}
        for number, target in enumerate(into):
            members[target].append(number)

        def merged(number: int) -> Node:
            node, group = self.nodes[number], members[number]
            outside = [s for m in group for s in self.nodes[m].sources if into[s] != number]
            sources = tuple(dict.fromkeys(new[into[s]] for s in outside))
            others = [(self.nodes[m].kind, *self.nodes[m].folded) for m in group if m != number]
            return replace(
                node,
                sources=sources,
                folded=node.folded + tuple(itertools.chain(*others)),
            )

        outputs = tuple(dict.fromkeys(new[into[number]] for number in self.outputs))
        return NetworkGraph(tuple(map(merged, kept)), outputs)


def network_graph(model: nn.Module, example_input: Any) -> NetworkGraph:
    """Return the graph of a network; a copy of it runs in eval mode, the network does not change.

    Args:
        example_input: a batch (N, C, H, W), or what else the model takes: a tuple of several
            inputs, a dictionary of keyword arguments, a list of pictures.

    Raises:
        CourseError: if the model does not run on the input.
    """
    check_network(model)
    for on_meta in (True, False):  # control flow that looks at numbers needs numbers
        problem: Exception | None = None
        for args, kwargs in ways_to_call(model, example_input):
            try:
                if on_meta:
                    args, kwargs = mapped((args, kwargs), blank)
                    return _run(copied(model, blank, blank), args, kwargs)
                return _run(copied(model), args, kwargs)
            except Exception as error:
                problem = problem or error
    raise CourseError(
        f"The model does not run on the example input ({error_line(problem)})."
    ) from problem


def _run(model: nn.Module, args: tuple, kwargs: dict[str, Any]) -> NetworkGraph:
    recorder = _Recorder()
    for tensor in tensors_in((args, kwargs)):
        recorder.add(Node("", "input", (), tuple(tensor.shape)), [tensor])
    with ExitStack() as stack:
        stack.enter_context(without_foreign_hooks(model))
        for name, module in model.named_modules():
            enter, leave = recorder.hooks(name, module)
            handle = module.register_forward_pre_hook(enter, with_kwargs=True)
            stack.callback(handle.remove)
            handle = module.register_forward_hook(leave, always_call=True)
            stack.callback(handle.remove)
        stack.enter_context(private_run(model))
        stack.enter_context(recorder)
        output = model(*args, **kwargs)
    return NetworkGraph(tuple(recorder.nodes), recorder.makers(output))


def _is_layer(module: nn.Module) -> bool:
    """Check whether a module is one node: it has no children, or it is one of PyTorch's layers."""
    if next(module.children(), None) is None:
        return True
    bases = (
        base for base in type(module).__mro__ if base.__module__.startswith("torch.nn.modules")
    )
    return not isinstance(module, _CONTAINERS) and next(bases) is not nn.Module


class _Recorder(OnlyShapes):
    """Records layers and operations as nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self._inside: list[str] = []  # names of the modules whose forward runs now
        self._layer: nn.Module | None = None  # the layer that runs now
        self._read: list[int] = []  # nodes whose outputs it has read so far
        self._versions: dict[int, int] = {}  # of the tensors that it was called with

    def add(self, node: Node, outputs: Iterable[Tensor]) -> None:
        self.nodes.append(node)
        for tensor in outputs:
            tensor._made_by = len(self.nodes) - 1

    def makers(self, value: Any) -> tuple[int, ...]:
        """Return the nodes that made the tensors in `value`, each once; constants have none."""
        found = (getattr(tensor, "_made_by", None) for tensor in tensors_in(value))
        return tuple(dict.fromkeys(number for number in found if number is not None))

    def hooks(self, name: str, module: nn.Module):
        """Return the hooks before and after the forward of a module."""

        def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
            self._inside.append(name)
            if self._layer is None and _is_layer(module):
                self._layer = module
                self._read = list(self.makers((args, kwargs)))
                self._versions = {id(t): t._version for t in tensors_in((args, kwargs))}

        def leave(module: nn.Module, args: tuple, output: Any) -> Any:
            self._inside.pop()
            if self._layer is not module:
                return None
            # A layer that returns its input untouched (Identity) must not mark the input itself:
            # another branch may read it.
            output = tree_map_only(Tensor, self._own, output)
            self._layer = None
            tensors = tensors_in(output)
            if tensors:
                weighted = any(p.ndim > 1 for p in module.parameters())
                sources = tuple(dict.fromkeys(self._read))
                shape = tuple(tensors[0].shape)
                self.add(Node(name, type(module).__name__, sources, shape, weighted), tensors)
            return output

        return enter, leave

    def _own(self, tensor: Tensor) -> Tensor:
        untouched = self._versions.get(id(tensor)) == tensor._version
        return tensor.view_as(tensor) if untouched else tensor

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self._layer is not None:
            self._read += self.makers((args, kwargs))
            return super().__torch_function__(func, types, args, kwargs)
        sources = self.makers((args, kwargs))
        versions = {id(t): t._version for t in tensors_in((args, kwargs))}
        output = super().__torch_function__(func, types, args, kwargs)
        name = getattr(func, "__name__", "")
        if name == "__get__":  # x.T
            name = getattr(func.__self__, "__name__", "")
        written = args[:1] if name == "__setitem__" else output
        made = [t for t in tensors_in(written) if versions.get(id(t)) != t._version]
        if sources and made:
            where = self._inside[-1] if self._inside else ""
            kind = name.strip("_") if name.startswith("__") else name.rstrip("_")
            whole = [t._base for t in made if t._base is not None and id(t) in versions]
            self.add(Node(where, kind, sources, tuple(made[0].shape)), [*made, *whole])
        return output
