"""The layout of a graph: no node on another, every edge to the right, nothing through a node."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.plots import lay_out


@st.composite
def graphs(draw) -> list[tuple[int, ...]]:
    """Nodes in the order of a run; each reads some of the last nodes before it, or none."""
    count = draw(st.integers(1, 30))
    near = [
        st.lists(st.integers(max(0, k - 6), k - 1), max_size=3, unique=True)
        for k in range(1, count)
    ]
    return [(), *(tuple(draw(sources)) for sources in near)]


@settings(max_examples=100)
@given(graphs(), st.integers(1, 12))
def test_nothing_lies_on_anything_else(sources, most):
    layout = lay_out(sources, most)
    cells = set(zip(layout.lanes, layout.columns, strict=True))
    assert len(cells) == len(sources) and min(layout.lanes) >= 0 and min(layout.columns) >= 0
    wanted = sorted((s, t) for t, found in enumerate(sources) for s in found)
    assert sorted((e.source, e.target) for e in layout.edges) == wanted
    ways: dict[tuple, int] = {}
    for edge in layout.edges:
        left, right = layout.columns[edge.source], layout.columns[edge.target]
        assert left < right
        assert (edge.lane is None and edge.track is None) == (right == left + 1)
        for column in range(left + 1, right):
            if edge.track is None:
                assert (edge.lane, column) not in cells
            # Edges that share a way come from the same node.
            assert ways.setdefault((edge.lane, edge.track, column), edge.source) == edge.source
    assert [c for row in layout.rows for c in row] == list(range(max(layout.columns) + 1))
    assert all(len(row) <= most for row in layout.rows)


def test_a_chain_with_a_shortcut_is_straight_under_one_arc():
    layout = lay_out([(), (0,), (1,), (2, 0), (3,)], 10)
    assert layout.lanes == (0, 0, 0, 0, 0) and layout.columns == (0, 1, 2, 3, 4)
    assert [(e.source, e.target, e.track) for e in layout.edges if e.track is not None] == [
        (0, 3, 0)
    ]
    (row,) = layout.rows
    assert (layout.lanes_in(row), layout.tracks_in(row)) == (1, 1)


def test_branches_run_side_by_side():
    layout = lay_out([(), (0,), (1,), (0,), (0,), (2, 3, 4)], 10)
    assert layout.lanes == (0, 0, 0, 1, 2, 0)
    assert [e.lane for e in layout.edges if e.lane is not None] == [1, 2]


def test_nested_arcs_have_their_own_tracks_and_a_second_input_stands_by_its_reader():
    nested = lay_out([(), (0,), (1,), (2,), (3, 1), (4, 0)], 10)
    tracks = {(e.source, e.target): e.track for e in nested.edges if e.track is not None}
    assert tracks == {(1, 4): 0, (0, 5): 1}
    assert lay_out([(), (0,), (1,), (), (2, 3)], 10).columns == (0, 1, 2, 2, 3)


def test_rows_are_cut_where_one_output_is_read():
    block = [lambda k: (k,), lambda k: (k + 1,), lambda k: (k + 2, k)]
    sources: list[tuple[int, ...]] = [()]
    for k in range(0, 24, 3):
        sources += [make(k) for make in block]
    layout = lay_out(sources, 10)
    assert len(layout.rows) == 3 and all(row.stop % 3 == 1 for row in layout.rows)
