"""Where the drawing of a network has its nodes, edges and names, in pixels."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from course_utils.conv import CollapsedGraph, NetworkGraph, Node, collapsed
from course_utils.plots import Edge, lay_out

WIDTH, EDGE = 680, 10
ONCE, EVERY_LAYER, EVERY_OPERATION = "repeats once", "every layer", "every operation"
"""What is drawn. Instead, the name of a block that repeats: all that repeat it, others once."""

_TRACK, _NAMES = 7, 18  # height of one track of arcs, and of the names of modules
_FEW_ROWS, _MOST_ROWS = 3, 6
_LARGE = 0.4  # share of all nodes: a larger module is not named, but the modules in it

Line = tuple[int, int, int, int]  # left, top, width, height of a straight line


@dataclass(frozen=True)
class Style:
    """The sizes in the drawing of a network, in pixels."""

    cell: tuple[int, int]  # width and height of a node's cell
    tallest: int  # height of the highest block
    says: str  # below a block: "name" (and channels, size), "size" (and channels), "channels"
    most: int  # largest number of columns for this style


_STYLES = (
    Style((132, 110), 62, "name", 5),
    Style((82, 104), 56, "name", 8),
    Style((47, 82), 42, "size", 28),
    Style((34, 50), 28, "channels", 10**6),
)


@dataclass(frozen=True)
class Place:
    """The cell of a node, in pixels from the upper left of the picture."""

    node: Node
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class ClickArea:
    """A part of the picture where a click sets a control to a value; the label says what it does.

    Without a control the label only tells what is there.
    """

    control: str
    value: Any
    label: str
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Span:
    """A part of a row with a text above it: the name of a module, or "× 3".

    A click on "× 3" `leads_to` a drawing of all three blocks, and one on "fold" back.
    """

    text: str
    left: int
    right: int
    top: int
    bottom: int
    leads_to: str = ""
    single: bool = False  # whether it is above one node only


@functools.lru_cache(maxsize=8)
def geometry_of(graph: NetworkGraph, layer: str, top: int, drawing: str) -> Geometry:
    """Return the geometry for these arguments, which stay the same while a slider moves."""
    return Geometry(graph, layer, top, drawing)


class Geometry:
    """The places of all that is drawn of a network, for a layer that must be seen.

    Blocks that repeat are drawn once, if not everything fits into three rows and `drawing` does not
    ask for them. Of more than six rows only those around the layer are drawn.

    Attributes:
        style: the sizes.
        places: of the nodes that are drawn, in the order in which they run.
        modules: names above the nodes.
        repeats: the blocks that stand for several, with how often they come.
        lines: the edges.
        height: of all rows.
        hidden_rows: how many rows are not drawn, (above, below).
    """

    def __init__(self, graph: NetworkGraph, layer: str, top: int, drawing: str = ONCE):
        self._collapsed = _readable(graph, layer, drawing)
        nodes = self._collapsed.graph.nodes
        sources = [node.sources for node in nodes]
        columns = max(lay_out(sources, len(nodes)).columns) + 1
        self.style = next(style for style in _STYLES if columns <= style.most)
        self._layout = layout = lay_out(sources, (WIDTH - 2 * EDGE) // self.style.cell[0])

        chosen = next((k for k, node in enumerate(nodes) if node.name == layer), 0)
        first = layout.row_of(layout.columns[chosen]) - _MOST_ROWS // 2
        first = max(0, min(first, len(layout.rows) - _MOST_ROWS))
        rows = range(first, min(first + _MOST_ROWS, len(layout.rows)))
        self.hidden_rows = first, len(layout.rows) - rows.stop
        self._tops: dict[int, int] = {}  # of the lanes of each row that is drawn
        y = top
        for row in rows:
            y += self._height(row)
            self._tops[row] = y - self.style.cell[1] * self._lanes(row)
        tallest = sorted((self._height(row) for row in range(len(layout.rows))), reverse=True)
        self.height = sum(tallest[:_MOST_ROWS])  # the same whatever rows are drawn

        self._places = {k: self._place(k) for k in range(len(nodes)) if self._row(k) in self._tops}
        self.places = tuple(self._places.values())
        named = (g for g in _modules(nodes) if len(g[1]) > 1 or self.style.says != "name")
        self.modules = tuple(self._spans(named))
        self.repeats = tuple(
            replace(span, leads_to=block.name if block.folded else ONCE)
            for block in self._collapsed.blocks
            for text in [f"× {block.count}" if block.folded else "fold"]
            for span in self._spans([(text, block.nodes)])
        )
        self.lines = tuple(line for edge in layout.edges for line in self._edge_lines(edge))

    def _height(self, row: int) -> int:
        tracks = self._layout.tracks_in(self._layout.rows[row])
        return _NAMES + _TRACK * tracks + self.style.cell[1] * self._lanes(row)

    def _lanes(self, row: int) -> int:
        return self._layout.lanes_in(self._layout.rows[row])

    def _row(self, number: int) -> int:
        return self._layout.row_of(self._layout.columns[number])

    def _x(self, column: int) -> int:
        """Return the left end of a column."""
        return (
            EDGE
            + (column - self._layout.rows[self._layout.row_of(column)].start) * self.style.cell[0]
        )

    def _place(self, number: int) -> Place:
        row, (width, height) = self._row(number), self.style.cell
        top = self._tops[row] + self._layout.lanes[number] * height
        node = self._collapsed.graph.nodes[number]
        return Place(node, self._x(self._layout.columns[number]), top, width, height)

    def _spans(self, groups: Iterable[tuple[str, Iterable[int]]]) -> Iterator[Span]:
        """Yield the part of each row that a group of nodes takes."""
        for text, numbers in groups:
            rows: dict[int, list[int]] = defaultdict(list)
            for number in numbers:
                rows[self._row(number)].append(self._layout.columns[number])
            for row, columns in rows.items():
                if row in self._tops:
                    left, right = self._x(min(columns)), self._x(max(columns)) + self.style.cell[0]
                    bottom = self._tops[row] + self.style.cell[1] * self._lanes(row)
                    top, single = bottom - self._height(row), sum(map(len, rows.values())) == 1
                    yield Span(text, left, right, top, bottom, single=single)

    # Edges

    def _edge_lines(self, edge: Edge) -> Iterator[Line]:
        """Yield the straight pieces of an edge: level ones in each row, upright ones between."""
        columns, lanes = self._layout.columns, self._layout.lanes
        first, last = columns[edge.source], columns[edge.target]
        for row in range(self._layout.row_of(first), self._layout.row_of(last) + 1):
            if row not in self._tops:
                continue
            here = self._layout.rows[row]
            begins, ends = first in here, last in here
            left = self._middle(first) if begins else EDGE
            right = self._middle(last) if ends else WIDTH - EDGE
            start, stop = self._level(row, lanes[edge.source]), self._level(row, lanes[edge.target])
            if edge.track is not None:
                way = self._tops[row] - _TRACK * (edge.track + 1) + 3
                # An arc leaves and arrives beside the middle, where the straight edges are.
                left += 4 if begins else 0
                right -= 4 if ends else 0
                turn, back = left, right
            else:
                way = self._level(row, lanes[edge.target] if edge.lane is None else edge.lane)
                half = self.style.cell[0] // 2
                turn, back = left + half if begins else left, right - half if ends else right
            if begins:
                yield from _corner(left, turn, start, way)
            yield turn, way, back - turn + 1, 1
            if ends:
                yield from _corner(right, back, stop, way)

    def _middle(self, column: int) -> int:
        return self._x(column) + self.style.cell[0] // 2

    def _level(self, row: int, lane: int) -> int:
        """Return the height of the edges in a lane, which is the middle of its blocks."""
        return self._tops[row] + lane * self.style.cell[1] + 4 + self.style.tallest // 2


def _corner(x: int, turn: int, level: int, way: int) -> Iterator[Line]:
    """Yield the level line from a node to where the edge turns, and the upright one to its way."""
    yield min(x, turn), level, abs(turn - x) + 1, 1
    if level != way:
        yield turn, min(level, way), 1, abs(level - way) + 1


def drawings(graph: NetworkGraph) -> dict[str, str]:
    """Return what can be drawn of a network, with a label for each: what is folded, unfolded."""
    blocks = _readable(graph, "").blocks
    each = {block.name: f"all {block.count} of {block.name} …" for block in blocks}
    every = {EVERY_LAYER: EVERY_LAYER} if blocks else {}
    once = {ONCE: ONCE if blocks else EVERY_LAYER}
    return once | each | every | {EVERY_OPERATION: EVERY_OPERATION}


def _readable(graph: NetworkGraph, layer: str, drawing: str = ONCE) -> CollapsedGraph:
    """Return all nodes if they fit into a few rows, else one block for all that repeat it."""
    whole = CollapsedGraph(graph, ())
    if drawing == EVERY_LAYER:
        return whole
    per_row = (WIDTH - 2 * EDGE) // _STYLES[-1].cell[0]
    layout = lay_out([node.sources for node in graph.nodes], per_row)
    return whole if len(layout.rows) <= _FEW_ROWS else collapsed(graph, layer, {drawing})


def _modules(nodes: tuple[Node, ...]) -> list[tuple[str, list[int]]]:
    """Return the modules to name above their nodes: stages or blocks, not the whole network."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, node in enumerate(nodes):
        parts = node.name.split(".") if node.name else []
        for end in range(1, len(parts) + 1):
            members[".".join(parts[:end])].append(number)
    most = math.ceil(_LARGE * len(nodes))
    named: list[tuple[str, list[int]]] = []
    for name in sorted(members, key=lambda name: name.count(".")):
        numbers = members[name]
        inside = any(name.startswith(f"{outer}.") for outer, _ in named)
        if len(numbers) <= most and not inside:
            named += [(name, run) for run in _in_one_piece(numbers)]
    return [(name, run) for name, run in named if len(run) > 1 or _tells(name)]


def _in_one_piece(numbers: list[int]) -> list[list[int]]:
    """Return the runs of numbers: a module that is called twice has two."""
    ends = [k for k in range(1, len(numbers)) if numbers[k] != numbers[k - 1] + 1]
    return [numbers[a:b] for a, b in zip([0, *ends], [*ends, len(numbers)], strict=True)]


def _tells(name: str) -> bool:
    """Return whether the name of a single layer tells something: "fc", but not "features.3"."""
    return not name.rpartition(".")[2].isdigit()
