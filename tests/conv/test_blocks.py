"""Blocks that repeat: found by their structure, and one of them stands for all."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from course_utils.conv import collapsed, network_graph
from course_utils.conv.blocks import chained, repeats


class Block(nn.Module):
    def __init__(self, channels: int, kernel: int = 3):
        super().__init__()
        self.a = nn.Conv2d(channels, channels, kernel, padding="same")
        self.b = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x + self.b(self.a(x).relu())


def graph_of(*blocks: nn.Module):
    stem, head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)
    model = nn.Sequential(stem, nn.Sequential(*blocks), head)
    return network_graph(model, torch.empty(1, 3, 12, 12)).folded()


def test_one_block_stands_for_all():
    graph = graph_of(Block(4), Block(4), Block(4))
    (found,) = repeats(graph)
    assert (found.names, found.starts, found.length) == (("1.0", "1.1", "1.2"), (2, 5, 8), 3)
    few = collapsed(graph)
    assert [(n.name, n.kind, n.sources) for n in few.graph.nodes] == [
        ("", "input", ()),
        ("0", "Conv2d", (0,)),
        ("1.0.a", "Conv2d", (1,)),
        ("1.0.b", "Conv2d", (2,)),
        ("1.0", "add", (1, 3)),
        ("2", "Conv2d", (4,)),
    ]
    (block,) = few.blocks
    assert (block.nodes, block.count, block.name, block.folded) == (range(2, 5), 3, "1.0", True)
    assert few.graph.outputs == (5,)


@pytest.mark.parametrize("shown", ["1.1.a", "1.2.b"])
def test_the_block_of_a_layer_is_shown(shown):
    few = collapsed(graph_of(Block(4), Block(4), Block(4)), shown)
    names = [node.name for node in few.graph.nodes]
    assert shown in names and len(names) == 6
    assert few.graph.nodes[2].sources == (1,) and few.graph.nodes[5].sources == (4,)


@pytest.mark.parametrize("shown", ["", "1.1.a"])
def test_blocks_are_unfolded_by_the_name_of_the_first(shown):
    graph = graph_of(Block(4), Block(4), nn.MaxPool2d(2), Block(4), Block(4), Block(4))
    few = collapsed(graph, shown, {"1.3"})
    assert [(b.nodes, b.count, b.name, b.folded) for b in few.blocks] == [
        (range(2, 5), 2, "1.0", True),
        (range(6, 15), 3, "1.3", False),
    ]
    names = [[node.name for node in one.nodes] for one in (few.graph, graph)]
    assert names[0][5:] == names[1][8:]
    assert collapsed(graph, shown, {"1.0", "1.3"}).graph == graph


@pytest.mark.parametrize(
    "blocks",
    [
        (Block(4),),
        (Block(4), nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))),
        (Block(4), nn.MaxPool2d(2), Block(4)),
        (nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)),
    ],
)
def test_what_differs_or_is_one_node_is_no_repeat(blocks):
    graph = graph_of(*blocks)
    assert repeats(graph) == [] and collapsed(graph).graph == graph


def test_a_concatenation_reads_the_one_that_it_extends():
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Conv2d(3 + 2 * k, 2, 1) for k in range(4))

        def forward(self, x):
            maps = [x]
            for layer in self.layers:
                maps.append(layer(torch.cat(maps, 1)))
            return torch.cat(maps, 1)

    graph = network_graph(Dense(), torch.empty(1, 3, 6, 6)).folded()
    joins = [len(n.sources) for n in graph.nodes if n.kind == "cat"]
    assert joins == [2, 3, 4, 5]
    joins = [len(n.sources) for n in chained(graph).nodes if n.kind == "cat"]
    assert joins == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("resnet50", [2, 3, 5, 2]),
        ("densenet121", [5, 11, 23, 15]),
        ("vgg11", []),
        ("vit_b_32", [12]),
    ],
)
def test_networks_of_torchvision(name, counts):
    with torch.device("meta"):
        model = models.get_model(name, weights=None)
    graph = network_graph(model, torch.empty(1, 3, 224, 224)).folded()
    few = collapsed(graph)
    assert [block.count for block in few.blocks] == counts
    hidden = sum(len(block.nodes) * (block.count - 1) for block in few.blocks)
    assert len(few.graph.nodes) + hidden == len(graph.nodes)
    assert all(s < k for k, node in enumerate(few.graph.nodes) for s in node.sources)
