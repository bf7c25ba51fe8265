"""The graph of a network: its edges are those of `torch.fx`, and those that one sees in forward."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn
from torchvision import models

from course_utils.conv import network_graph
from course_utils.core import CourseError

SAMPLE = "resnet18 densenet121 vgg11 mobilenet_v3_small shufflenet_v2_x0_5 vit_b_32"
SAMPLE += " squeezenet1_1 efficientnet_b0 regnet_x_400mf mnasnet0_5 convnext_tiny alexnet swin_t"
SAMPLE += " googlenet inception_v3 maxvit_t"  # all families of torchvision's classifiers


class Network(nn.Module):
    """Layers a, b and c, and any forward."""

    def __init__(self, forward):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.same, self.relu, self._forward = nn.Identity(), nn.ReLU(inplace=True), forward

    def forward(self, *args, **kwargs):
        return self._forward(self, *args, **kwargs)


def has_weights(layer: nn.Module) -> bool:
    return any(p.ndim > 1 for p in layer.parameters())


def behind(graph) -> tuple[dict[str, set[str]], set[str]]:
    """Return for each weighted layer the layers (or the input) before it; and for the output."""
    before: dict[str, set[str]] = {}
    reaching: list[set[str]] = []
    for node in graph.nodes:
        sources = set().union(*(reaching[s] for s in node.sources))
        if node.weighted:
            before.setdefault(node.name, set()).update(sources)
            sources = {node.name}
        reaching.append({"input"} if node.kind == "input" else sources)
    return before, set().union(*(reaching[number] for number in graph.outputs))


def behind_in_fx(model: nn.Module) -> tuple[dict[str, set[str]], set[str]]:
    """Return the same from the graph of `torch.fx`; an edge that carries only a shape is none."""
    before: dict[str, set[str]] = {}
    reaching: dict[fx.Node, set[str]] = {}
    for node in fx.Tracer().trace(model).nodes:
        sources = set().union(*(reaching[n] for n in node.all_input_nodes))
        if node.op == "placeholder":
            sources = {"input"}
        elif node.target == "size" or (node.target is getattr and node.args[1] == "shape"):
            sources = set()
        elif node.op == "call_module" and has_weights(model.get_submodule(node.target)):
            before.setdefault(node.target, set()).update(sources)
            sources = {node.target}
        reaching[node] = sources
    return before, sources


@pytest.mark.filterwarnings("ignore:The default weight initialization")
@pytest.mark.parametrize("name", SAMPLE.split())
def test_edges_are_those_of_fx(name):
    with torch.device("cpu" if "regnet" in name else "meta"):  # a RegNet computes its widths
        model = models.get_model(name, weights=None).eval()
    graph = network_graph(model, torch.empty(1, 3, 224, 224))
    assert behind(graph) == behind(graph.folded()) == behind_in_fx(model)
    assert len(graph.folded().nodes) < len(graph.nodes)


def add_in_place(m, x):
    y = m.a(x)
    y += m.same(x)
    return m.b(m.relu(y))


def write_a_part(m, x):
    y = m.a(x)
    y[:, :2] = m.b(x)[:, :2]
    return m.c(y)


def write_a_view(m, x):
    y = m.a(x)
    y[:, :2].add_(m.b(x)[:, 2:])
    return m.c(y)


INPUT = {"input"}
FORWARDS = {
    "shortcut": (lambda m, x: m.b(m.a(x)) + x, {"a": INPUT, "b": {"a"}}, {"b", "input"}),
    "identity": (lambda m, x: m.a(m.same(x)) * m.b(x), {"a": INPUT, "b": INPUT}, {"a", "b"}),
    "in place": (add_in_place, {"a": INPUT, "b": {"a", "input"}}, {"b"}),
    "part": (write_a_part, {"a": INPUT, "b": INPUT, "c": {"a", "b"}}, {"c"}),
    "view": (write_a_view, {"a": INPUT, "b": INPUT, "c": {"a", "b"}}, {"c"}),
    "shared": (lambda m, x: m.a(m.a(x)), {"a": {"a", "input"}}, {"a"}),
    "split": (
        lambda m, x: m.b(torch.cat([*m.a(x).chunk(2, 1)][::-1], 1)),
        {"a": INPUT, "b": {"a"}},
        {"b"},
    ),
    "constant": (lambda m, x: m.a(x) + torch.ones(1, 4, 1, 1), {"a": INPUT}, {"a"}),
    "shape only": (lambda m, x: m.b(x).reshape(m.a(x).shape), {"a": INPUT, "b": INPUT}, {"b"}),
    "dictionary": (lambda m, x: {"y": m.a(x), "z": [m.b(x)]}, {"a": INPUT, "b": INPUT}, {"a", "b"}),
    "numbers": (lambda m, x: m.a(x) if float(x.sum()) == 0 else m.b(x), {"a": INPUT}, {"a"}),
    "functional": (
        lambda m, x: F.max_pool2d(F.relu(m.a(x)), 2) + F.avg_pool2d(m.b(x), 2),
        {"a": INPUT, "b": INPUT},
        {"a", "b"},
    ),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_edges_that_one_sees_in_forward(name):
    forward, before, output = FORWARDS[name]
    model = Network(forward)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    graph = network_graph(model, torch.zeros(2, 4, 8, 8))
    assert behind(graph) == behind(graph.folded()) == (before, output)
    assert model.training and not any(m._forward_hooks for m in model.modules())
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_nodes_say_what_they_are():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    )
    graph = network_graph(model, torch.empty(2, 3, 10, 10))
    assert [(n.name, n.kind, n.sources) for n in graph.nodes] == [
        ("", "input", ()),
        ("0", "Conv2d", (0,)),
        ("1", "BatchNorm2d", (1,)),
        ("2", "ReLU", (2,)),
        ("3", "MaxPool2d", (3,)),
        ("4", "Flatten", (4,)),
    ]
    _, conv, pool = graph.folded().nodes
    assert (conv.folded, conv.shape, conv.weighted) == (("BatchNorm2d", "ReLU"), (2, 8, 8, 8), True)
    assert (pool.kind, pool.folded, pool.shape) == ("MaxPool2d", ("Flatten",), (2, 8, 4, 4))
    assert graph.readers[1] == (2,) and graph.outputs == (5,)


def test_a_normalisation_in_front_of_its_only_reader_is_folded_into_it():
    model = Network(lambda m, x: m.b(torch.relu(m.a(x))) + m.a(x) + m.c(x))
    kinds = [
        (n.kind, n.folded) for n in network_graph(model, torch.empty(1, 4, 6, 6)).folded().nodes
    ]
    assert ("Conv2d", ("relu",)) in kinds and not any(kind == "relu" for kind, _ in kinds)


@pytest.mark.parametrize(
    ("forward", "given"),
    [
        (lambda m, image: m.a(image), {"image": torch.empty(1, 4, 6, 6)}),
        (lambda m, x, y: m.a(x) + m.b(y), (torch.empty(1, 4, 6, 6), torch.empty(1, 4, 6, 6))),
        (lambda m, xs: [m.a(x[None]) for x in xs], [torch.empty(4, 6, 6), torch.empty(4, 5, 5)]),
    ],
)
def test_any_inputs(forward, given):
    assert any(node.weighted for node in network_graph(Network(forward), given).nodes)


def test_a_model_that_does_not_run_is_refused():
    with pytest.raises(CourseError, match="4 channels"):
        network_graph(Network(lambda m, x: m.a(x)), torch.zeros(1, 3, 6, 6))
