"""Where the nodes and edges of a network's graph are drawn: columns, lanes, arcs and rows.

Data flow from left to right. A node's *column* is the number of steps that lead to it, so every
edge goes to the right. Branches run side by side in *lanes*. An edge that passes other columns runs
along a free lane, or as an *arc* above all lanes; arcs that overlap have different *tracks*. What
is too long for one line is cut into *rows*, where the fewest edges are cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Sources = Sequence[Sequence[int]]  # of each node, the nodes whose outputs it reads


@dataclass(frozen=True)
class Edge:
    """An edge from one node to another.

    Attributes:
        lane: along which it passes the columns between them; None for an arc, and for an edge to
            the next column.
        track: of an arc, 0 the lowest; None for other edges.
    """

    source: int
    target: int
    lane: int | None = None
    track: int | None = None


@dataclass(frozen=True)
class GraphLayout:
    """Where everything is.

    Attributes:
        columns, lanes: of each node.
        rows: the columns of each row.
    """

    columns: tuple[int, ...]
    lanes: tuple[int, ...]
    edges: tuple[Edge, ...]
    rows: tuple[range, ...]

    def row_of(self, column: int) -> int:
        """Return the row in which a column is."""
        return next(k for k, row in enumerate(self.rows) if column in row)

    def crossing(self, row: range) -> list[Edge]:
        """Return the edges of which a part is in a row."""
        ends = ((e, self.columns[e.source], self.columns[e.target]) for e in self.edges)
        return [edge for edge, left, right in ends if left < row.stop and right >= row.start]

    def lanes_in(self, row: range) -> int:
        """Return how many lanes a row needs."""
        nodes = (lane for lane, c in zip(self.lanes, self.columns, strict=True) if c in row)
        return 1 + max([*nodes, *(e.lane for e in self.crossing(row) if e.lane is not None), 0])

    def tracks_in(self, row: range) -> int:
        """Return how many tracks a row needs for its arcs."""
        return max((e.track + 1 for e in self.crossing(row) if e.track is not None), default=0)


def lay_out(sources: Sources, columns_per_row: int) -> GraphLayout:
    """Lay out a graph whose nodes stand in the order in which they are computed."""
    columns = _columns(sources)
    lanes = _lanes(sources, columns)
    edges = _edges(sources, columns, lanes)
    return GraphLayout(columns, lanes, edges, _rows(columns, edges, columns_per_row))


def _readers(sources: Sources) -> list[list[int]]:
    readers: list[list[int]] = [[] for _ in sources]
    for target, found in enumerate(sources):
        for source in found:
            readers[source].append(target)
    return readers


def _columns(sources: Sources) -> tuple[int, ...]:
    """Return for each node the length of the longest path to it."""
    columns: list[int] = []
    for found in sources:
        columns.append(1 + max((columns[s] for s in found), default=-1))
    for node, readers in enumerate(_readers(sources)):  # a further input stands by its reader
        if not sources[node] and readers:
            columns[node] = min(columns[r] for r in readers) - 1
    return tuple(columns)


def _lanes(sources: Sources, columns: Sequence[int]) -> tuple[int, ...]:
    """Return for each node a lane, in which no other node has its column.

    The longest way through a block goes straight on, and where branches meet they meet on top.
    """
    readers = _readers(sources)
    ahead = [0] * len(sources)  # length of the longest path from each node
    for node in reversed(range(len(sources))):
        ahead[node] = 1 + max((ahead[r] for r in readers[node]), default=0)
    taken: set[tuple[int, int]] = set()
    lanes = [0] * len(sources)
    for node in sorted(range(len(sources)), key=lambda n: (columns[n], -ahead[n], n)):
        column = columns[node]
        wanted = sorted({lanes[s] for s in sources[node]})
        starts = {lanes[s]: columns[s] for s in sources[node]}

        def free(lane: int) -> bool:
            first = starts.get(lane, column - 1) + 1  # noqa: B023
            return not any((lane, c) in taken for c in range(first, column + 1))  # noqa: B023

        lane = next((lane for lane in wanted if free(lane)), None)
        if lane is None:
            begin = max((columns[s] for s in sources[node]), default=column - 1) + 1
            lane = next(
                k
                for k in range(len(sources) + 1)
                if not any((k, c) in taken for c in range(begin, column + 1))
            )
        lanes[node] = lane
        taken.add((lane, column))
        taken.update(
            (lanes[s], c)
            for s in sources[node]
            for c in range(columns[s] + 1, column)
            if lanes[s] != 0 and len(readers[s]) == 1
        )
    return tuple(lanes)


def _edges(sources: Sources, columns: Sequence[int], lanes: Sequence[int]) -> tuple[Edge, ...]:
    """Return the edges with their ways: straight, along a lane, or as an arc."""
    nodes = set(zip(lanes, columns, strict=True))
    used: dict[tuple[int, int], int] = {}  # cell -> source of the edge that runs through it
    arcs: list[list[tuple[int, int, int]]] = []  # of each track: (left, right, source)
    found: dict[tuple[int, int], Edge] = {}
    pairs = [(s, t) for t, row in enumerate(sources) for s in row]
    for s, t in sorted(pairs, key=lambda pair: columns[pair[1]] - columns[pair[0]]):
        between = range(columns[s] + 1, columns[t])
        lane = track = None
        if between:
            lane = next(
                (
                    k
                    for k in (lanes[s], lanes[t])
                    if all((k, c) not in nodes and used.get((k, c), s) == s for c in between)
                ),
                None,
            )
            if lane is None:
                track = _track(arcs, columns[s], columns[t], s)
            else:
                used.update(((lane, c), s) for c in between)
        found[s, t] = Edge(s, t, lane, track)
    return tuple(found[pair] for pair in pairs)


def _track(arcs: list[list[tuple[int, int, int]]], left: int, right: int, source: int) -> int:
    """Return the lowest track that is free from one column to another; arcs of a source share."""
    for there in [*arcs, []]:
        if all(right <= a or b <= left or source == other for a, b, other in there):
            break
    if not there:
        arcs.append(there)
    there.append((left, right, source))
    return arcs.index(there)


def _rows(columns: Sequence[int], edges: Sequence[Edge], most: int) -> tuple[range, ...]:
    """Return the columns of each row, at most `most`, cut where the fewest edges are cut."""
    end = max(columns, default=0) + 1
    rows: list[range] = []
    start = 0
    while start < end:
        even = math.ceil((end - start) / math.ceil((end - start) / most))  # rows of one length
        stops = range(start + max(1, even - most // 5), min(start + most, end) + 1)

        def cut(stop: int) -> tuple[int, int]:
            """Return how many outputs are read on both sides, and how uneven the row is."""
            cut = {e.source for e in edges if columns[e.source] < stop <= columns[e.target]}
            return len(cut), abs(stop - start - even)  # noqa: B023

        stop = end if end in stops else min(stops, key=cut)
        rows.append(range(start, stop))
        start = stop
    return tuple(rows)
