"""The places of nodes and edges in the drawing: each edge is one line from node to node."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from course_utils.conv import NetworkGraph, Node, network_graph
from course_utils.widgets.one_click.geometry import (
    EDGE,
    EVERY_LAYER,
    EVERY_OPERATION,
    ONCE,
    WIDTH,
    Geometry,
    drawings,
)


def graph_of(name: str) -> NetworkGraph:
    with torch.device("meta"):
        model = models.get_model(name, weights=None)
    return network_graph(model, torch.empty(1, 3, 64, 64)).folded()


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121", "mobilenet_v3_small"])
def test_everything_is_inside_and_nothing_overlaps(name):
    geometry = Geometry(graph_of(name), "", 30)
    cells = [(p.left, p.top, p.left + p.width, p.top + p.height) for p in geometry.places]
    for k, (left, top, right, bottom) in enumerate(cells):
        assert EDGE <= left < right <= WIDTH - EDGE and 30 <= top < bottom <= 30 + geometry.height
        for other in cells[k + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
    for left, top, width, height in geometry.lines:
        assert left >= EDGE and left + width <= WIDTH - EDGE + 1
        assert top >= 30 and top + height <= 30 + geometry.height and min(width, height) == 1


def test_the_lines_of_an_edge_are_connected():
    shortcut = NetworkGraph(
        (
            Node("", "input", (), (1, 3, 8, 8)),
            Node("a", "Conv2d", (0,), (1, 3, 8, 8), True),
            Node("b", "Conv2d", (1,), (1, 3, 8, 8), True),
            Node("c", "Conv2d", (0,), (1, 3, 8, 8), True),
            Node("", "add", (2, 3, 0), (1, 3, 8, 8)),
        ),
        (4,),
    )
    geometry = Geometry(shortcut, "", 0)
    pixels = {
        (x, y)
        for left, top, width, height in geometry.lines
        for x in range(left, left + width)
        for y in range(top, top + height)
    }
    start = next(iter(pixels))
    reached, border = {start}, [start]
    while border:
        x, y = border.pop()
        near = {(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)} & pixels - reached
        reached |= near
        border += near
    assert reached == pixels
    for place in geometry.places:  # each block is reached at its middle
        middle = place.left + place.width // 2, place.top + 4 + geometry.style.tallest // 2
        assert middle in pixels


def test_stages_are_named_and_repeats_counted():
    geometry = Geometry(graph_of("resnet50"), "layer3.4.conv2", 0)
    names = [span.text for span in geometry.modules]
    stages = ["layer1", "layer2", "layer3", "layer4"]
    assert list(dict.fromkeys(names)) == ["conv1", "maxpool", *stages, "avgpool", "fc"]
    assert [span.text for span in geometry.repeats] == ["× 2", "× 3", "× 5", "× 2"]
    assert "layer3.4.conv2" in [place.node.name for place in geometry.places]
    assert not Geometry(graph_of("resnet18"), "", 0).repeats
    assert list(drawings(graph_of("resnet18"))) == [ONCE, EVERY_OPERATION]


@pytest.mark.parametrize(
    ("drawing", "texts"),
    [
        ("layer3.1", {"× 2", "× 3", "fold"}),
        (EVERY_LAYER, set()),
        ("unknown", {"× 2", "× 3", "× 5"}),
    ],
)
def test_repeats_are_unfolded_on_request(drawing, texts):
    graph = graph_of("resnet50")
    names = ["layer1.1", "layer2.1", "layer3.1", "layer4.1"]
    assert list(drawings(graph)) == [ONCE, *names, EVERY_LAYER, EVERY_OPERATION]
    geometry = Geometry(graph, "conv1", 0, drawing)
    assert {span.text for span in geometry.repeats} == texts
    assert all(span.leads_to == ONCE for span in geometry.repeats if span.text == "fold")


def test_a_module_that_runs_twice_is_named_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(1, 1, 3, padding=1) for _ in range(6))
            self.pool = nn.MaxPool2d(2)

        def forward(self, x):
            for k, conv in enumerate(self.convs):
                x = conv(x) if k % 3 else self.pool(conv(x))
            return x

    graph = network_graph(Twice(), torch.empty(1, 1, 16, 16)).folded()
    named = Geometry(graph, "", 0).modules
    cells = [(s.right - s.left) // 47 for s in named if s.text == "pool"]
    assert cells == [1, 1] and all(s.single for s in named if s.text == "pool")


def test_a_thousand_nodes():
    model = nn.Sequential(*(nn.Conv2d(2, 2, 1) for _ in range(1000)))
    graph = network_graph(model, torch.empty(1, 2, 8, 8)).folded()
    geometry = Geometry(graph, "500", 0)
    assert geometry.hidden_rows[0] > 20 < geometry.hidden_rows[1] and geometry.height < 500
