"""Blocks of a network that repeat: a graph in which one of them stands for all.

ResNet-50 has sixteen bottlenecks of four kinds. A drawing of it needs each kind once, and how often
it comes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace

from course_utils.conv.graph import NetworkGraph, Node


@dataclass(frozen=True)
class Repeat:
    """Blocks with the same structure that stand one after the other.

    Attributes:
        names: of the modules, first to last.
        starts: number of the first node of each.
        length: number of nodes of one block.
    """

    names: tuple[str, ...]
    starts: tuple[int, ...]
    length: int

    def holding(self, number: int) -> int | None:
        """Return which of the blocks has this node, None if none of them has it."""
        inside = range(self.starts[0], self.starts[-1] + self.length)
        return (number - self.starts[0]) // self.length if number in inside else None


@dataclass(frozen=True)
class ShownBlock:
    """A block that stands for all that repeat it, or all of them, unfolded.

    Attributes:
        nodes: the numbers of its nodes among those that are shown.
        count: how many blocks there are.
        name: of the module of the first of them.
        folded: whether one stands for all.
    """

    nodes: range
    count: int
    name: str
    folded: bool = True


@dataclass(frozen=True)
class CollapsedGraph:
    """A graph in which one block stands for all that repeat it.

    Attributes:
        graph: the nodes that are shown, and the edges between them.
        blocks: those that repeat.
    """

    graph: NetworkGraph
    blocks: tuple[ShownBlock, ...]


def collapsed(
    graph: NetworkGraph, shown: str = "", unfolded: Collection[str] = ()
) -> CollapsedGraph:
    """Return the graph with one block for all that repeat it.

    Args:
        shown: name of a layer. Where its block is one of several, it is the one that is shown, else
            the first one is.
        unfolded: names of first blocks; those that repeat them are all shown.
    """
    graph = chained(graph)
    stands_for = list(range(len(graph.nodes)))
    found = repeats(graph)
    blocks = []  # of each repeat the one that is shown
    for repeat in found:
        here = (repeat.holding(k) for k, node in enumerate(graph.nodes) if node.name == shown)
        block = next((index for index in here if index is not None), 0)
        blocks.append(block)
        if repeat.names[0] in unfolded:
            continue
        for start in repeat.starts:
            for offset in range(repeat.length):
                stands_for[start + offset] = repeat.starts[block] + offset
    numbers = [k for k, other in enumerate(stands_for) if k == other]
    new = {number: k for k, number in enumerate(numbers)}

    sources: dict[int, list[int]] = defaultdict(list)
    for number, node in enumerate(graph.nodes):
        target = new[stands_for[number]]
        # An edge back, from one block to the next that is the same one here, is left out.
        sources[target] += [s for k in node.sources if (s := new[stands_for[k]]) < target]
    nodes = (
        replace(graph.nodes[number], sources=tuple(dict.fromkeys(sources[k])))
        for k, number in enumerate(numbers)
    )
    outputs = tuple(dict.fromkeys(new[stands_for[number]] for number in graph.outputs))
    shown_blocks = []
    for repeat, block in zip(found, blocks, strict=True):
        folded = repeat.names[0] not in unfolded
        first = new[repeat.starts[block if folded else 0]]
        length = repeat.length * (1 if folded else len(repeat.starts))
        nodes_shown = range(first, first + length)
        shown_blocks.append(ShownBlock(nodes_shown, len(repeat.starts), repeat.names[0], folded))
    return CollapsedGraph(NetworkGraph(tuple(nodes), outputs), tuple(shown_blocks))


def chained(graph: NetworkGraph) -> NetworkGraph:
    """Return the graph with each concatenation that extends an earlier one reading that one.

    Each layer of a DenseNet concatenates all maps before it: n layers have n² / 2 edges. With
    cat(a, b, c) = cat(cat(a, b), c) each has two.
    """
    nodes, joined = list(graph.nodes), {}  # all that a concatenation joins -> its number
    for number, node in enumerate(graph.nodes):
        if node.kind not in ("cat", "concat", "concatenate"):
            continue
        joined[node.sources] = number
        for end in range(len(node.sources) - 1, 1, -1):
            if (earlier := joined.get(node.sources[:end])) is not None:
                sources = (earlier, *node.sources[end:])
                nodes[number] = replace(node, sources=sources)
                break
    return replace(graph, nodes=tuple(nodes))


def repeats(graph: NetworkGraph) -> list[Repeat]:
    """Return the runs of blocks with the same structure, in their order; they do not overlap.

    A block is a module with two nodes or more that runs in one piece. The structure is kinds,
    edges, and the sizes of the maps; the numbers of channels may differ.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for number, node in enumerate(graph.nodes):
        parts = node.name.split(".")
        for end in range(1, len(parts) + 1):
            members[".".join(parts[:end])].append(number)
    siblings: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for name, inside in members.items():
        if name and len(inside) > 1 and inside[-1] - inside[0] == len(inside) - 1:
            siblings[name.rpartition(".")[0]].append((inside[0], len(inside), name))

    found: list[Repeat] = []
    for parent in sorted(siblings, key=lambda name: name.count(".") if name else -1):
        run: list[tuple[int, int, str]] = []
        for block in [*sorted(siblings[parent]), (-1, 0, "")]:
            if run and (
                block[0] != run[-1][0] + run[-1][1]
                or _structure(graph, run[-1]) != _structure(graph, block)
            ):
                _keep(found, run)
                run = []
            run.append(block)
    return sorted(found, key=lambda repeat: repeat.starts)


def _keep(found: list[Repeat], run: list[tuple[int, int, str]]) -> None:
    starts, lengths, names = zip(*run, strict=True)
    if len(run) > 1 and all(repeat.holding(starts[0]) is None for repeat in found):
        found.append(Repeat(names, starts, lengths[0]))


def _structure(graph: NetworkGraph, block: tuple[int, int, str]) -> list[tuple]:
    start, length, name = block

    def part(node: Node, number: int) -> tuple:
        sources = tuple(number - source for source in node.sources)
        # Maps (N, C, H, W): the height and width; a vector or a sequence: nothing.
        size = node.shape[2:] if len(node.shape) == 4 else ()
        return node.name[len(name) :], node.kind, sources, size

    return [part(graph.nodes[k], k) for k in range(start, start + length)]
