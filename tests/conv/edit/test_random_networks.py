"""Random networks, random edits, random chains of edits.

The suite tries a sample, the same one each time. The environment variable COURSE_RANDOM_NETWORKS
tries more networks, and other ones in each run:

    COURSE_RANDOM_NETWORKS=2000 python -m pytest tests/conv/edit/test_random_networks.py
"""

from __future__ import annotations

import copy
import os
from collections import Counter

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.conv import ConvEditor, edit_conv
from course_utils.conv.arithmetic import conv2d_shape
from course_utils.conv.impossible import ImpossibleSetting
from course_utils.conv.rules import WINDOW
from tests.conv.edit import zoo_edits
from tests.conv.edit.zoo import block
from tests.toys import same, weights

WANTED = os.environ.get("COURSE_RANDOM_NETWORKS")
NETWORKS = int(WANTED or 24)
EDITS, LINKS = 12, 4  # of each network; of each chain
SIDE = 9
INPUTS = (torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2)),)
many = settings(
    max_examples=NETWORKS,
    deadline=None,
    derandomize=WANTED is None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


# Random networks


def norm(kind: str, c: int) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    layer = nn.BatchNorm2d(c) if kind == "batch" else nn.GroupNorm(2, c)
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    nn.init.normal_(layer.bias, 0, 0.2)
    if kind == "batch":
        layer.running_mean.normal_(0, 0.2)
        layer.running_var.uniform_(0.5, 1.5)
    return layer


@block
def published(layer, x, kind, wide, normed, k, bias):
    """One of the ways in which published networks wire a few convolutions."""
    c = x.shape[1]

    def conv(x, c_out, k=k, groups=1, stride=1):
        c_in = x.shape[1]
        x = layer(nn.Conv2d, c_in, c_out, k, stride, k // 2, groups=groups, bias=bias)(x)
        return layer(norm, normed, c_out)(x)

    match kind:
        case "chain":
            return F.relu(conv(F.relu(conv(x, wide, stride=2)), wide))
        case "sum":
            return F.relu(x + conv(F.relu(conv(x, wide)), c))
        case "projected sum":
            return F.relu(conv(x, wide, stride=2)) + conv(x, wide, 1, stride=2)
        case "cat":
            return torch.cat([F.relu(conv(x, wide)), x], 1)
        case "grouped":
            return F.relu(conv(F.relu(conv(x, wide, groups=2)), wide, groups=2))
        case "shuffle":
            n, c, h, w = (x := F.relu(conv(x, wide, 1, 2))).shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
            return conv(x, wide, k, wide)
        case "depthwise":
            return F.relu(conv(F.relu(conv(x, c, k, c)), wide, 1))
        case "gate":
            x = F.relu(conv(x, wide))
            small = F.relu(layer(nn.Conv2d, wide, 3, 1)(x.mean((2, 3), keepdim=True)))
            return x * layer(nn.Conv2d, 3, wide, 1)(small).sigmoid()
        case "halves":
            left, right = F.relu(conv(x, wide)).chunk(2, 1)
            return conv(left + right.sigmoid(), wide)
        case "shared":
            twice, normal = layer(nn.Conv2d, wide, wide, k, 1, k // 2), layer(norm, normed, wide)
            return normal(twice(F.relu(normal(twice(F.relu(conv(x, wide)))))))
    raise ValueError(kind)


KINDS = ("chain", "sum", "projected sum", "cat", "grouped", "shuffle", "depthwise", "gate")
KINDS += ("halves", "shared")  # of blocks


@st.composite
def networks(draw) -> nn.Sequential:
    """Draw one or two blocks between a first convolution and a classifier."""
    normed = draw(st.sampled_from(["none", "batch", "batch", "group"]))
    c = draw(st.sampled_from([4, 6, 8]))
    torch.manual_seed(draw(st.integers(0, 9)))
    layers = [nn.Conv2d(3, c, 3, padding=draw(st.integers(0, 1))), norm(normed, c), nn.ReLU()]
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=2)):
        wide, k = draw(st.sampled_from([4, 6, 8])), draw(st.sampled_from([1, 3, 2, 5]))
        k = k - 1 if k == 2 and kind in ("sum", "cat", "projected sum") else k
        layers.append(published(kind, wide, normed, k, draw(st.booleans())))
    flat = draw(st.booleans())
    layers += [nn.Flatten()] if flat else [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    with torch.no_grad():
        features = nn.Sequential(*layers)(INPUTS[0]).shape[1]
    return nn.Sequential(*layers, nn.Linear(features, 5)).eval()


# Random edits

pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
VALUES = {
    "out_channels": st.integers(1, 16) | st.sampled_from([8, 12, 16, 0, -3]),
    "kernel_size": st.integers(1, 5) | pair | st.sampled_from([0, 11]),
    "stride": st.integers(1, 3) | pair | st.just(0),
    "padding": st.integers(0, 3) | st.sampled_from(["same", "valid", -1, "full"]),
    "dilation": st.integers(1, 3) | st.sampled_from([0, 9]),
    "groups": st.sampled_from([1, 1, 2, 3, 4, 0, 7]),
    "bias": st.booleans(),
    "padding_mode": st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
}


@st.composite
def edits(draw) -> tuple[int, dict]:
    """Draw (number of the convolution, changes): up to three settings, or a kind of edit."""
    number = draw(st.integers(0, 9))
    kind = draw(st.sampled_from(["free", "free", *zoo_edits.EXACT]))
    if kind != "free":
        return number, {"exact": kind}
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3, unique=True))
    return number, {name: draw(VALUES[name]) for name in names}


class Subject:
    """A network to edit, and what its edits must keep."""

    def __init__(self, model: nn.Module, tried: Counter):
        self.model, self.tried = model, tried
        self.before, self.output = weights(model), zoo_edits.run(model, INPUTS)
        self.convs = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)]
        self.uneven = any(isinstance(m, nn.GroupNorm) for m in model.modules())

    def resolve(self, number: int, changes: dict) -> tuple[str, dict, bool]:
        """Return the layer, the changes for `edit_conv`, and whether they keep the function."""
        name = self.convs[number % len(self.convs)]
        if "exact" not in changes:
            return name, changes, False
        kinds = zoo_edits.kinds(self.model.get_submodule(name))
        exact = kinds.get(changes["exact"], {"bias": True})
        return name, exact, not (self.uneven and "out_channels" in exact)

    def edit(self, name: str, changes: dict, edit) -> tuple[nn.Module | None, dict]:
        """Return the edited model (None if it is impossible) and the changes that were made."""
        self.tried["edits"] += 1
        try:
            return edit(name, changes), changes
        except ImpossibleSetting as error:
            self.tried["impossible"] += 1
            if not error.nearest:
                return None, {}
            changes = changes | error.nearest
        self.tried["edits"] += 1
        return edit(name, changes), changes  # must not fail

    def check(self, result: nn.Module, name: str, changes: dict, exact: bool) -> None:
        layer = result.get_submodule(name)
        assert not list(zoo_edits.problems(result, name, changes)), (name, changes)
        seen = []
        hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        output = zoo_edits.run(result, INPUTS)
        hook.remove()
        assert output.shape == (2, 5) and seen
        window = {key: getattr(layer, key) for key in WINDOW}
        for x in seen:
            with torch.no_grad():
                shape = tuple(nn.Conv2d.forward(layer, x).shape)
            assert shape == conv2d_shape(x.shape, layer.out_channels, **window)
        if exact:
            self.tried["exact"] += 1
            assert zoo_edits.difference(self.output, output) <= zoo_edits.TOLERANCE
        assert same(self.before, weights(self.model))


def test_random_edits_of_random_networks():
    tried: Counter[str] = Counter()

    @many
    @given(networks(), st.lists(edits(), min_size=EDITS, max_size=EDITS))
    def check(model, choices):
        subject = Subject(model, tried)
        for number, changes in choices:
            name, changes, exact = subject.resolve(number, changes)

            def edit(name, changes):
                return edit_conv(model, name, example_input=INPUTS[0], **changes)

            try:
                result, changes = subject.edit(name, changes, edit)
            except ValueError as error:
                raise AssertionError(f"{name}, {changes}: {error}") from error
            if result is not None:
                subject.check(result, name, changes, exact)

    check()
    assert tried["edits"] >= NETWORKS * EDITS and tried["exact"] > 3 * NETWORKS, tried
    assert NETWORKS / 2 < tried["impossible"] < tried["edits"] / 2, tried


def test_random_chains_of_edits():
    tried: Counter[str] = Counter()

    @settings(many, max_examples=NETWORKS // 2)
    @given(networks(), st.lists(edits(), min_size=LINKS, max_size=LINKS))
    def check(model, choices):
        editor = ConvEditor(model, INPUTS[0])
        states = [(model, weights(model))]
        arguments = []
        for number, changes in choices:
            subject = Subject(editor.model, tried)
            name, changes, exact = subject.resolve(number, changes)

            def edit(name, changes, editor=editor):
                editor.edit(name, **changes)
                arguments.append((name, changes))
                return editor.model

            result, changes = subject.edit(name, changes, edit)
            if result is not None:
                subject.check(result, name, changes, exact)
                states.append((result, weights(result)))
        last = editor.model
        for state, values in reversed(states[:-1]):
            assert editor.undo() is state and same(values, weights(state))
        for state, values in states[1:]:
            assert editor.redo() is state and same(values, weights(state))
        again = copy.deepcopy(model)
        with torch.no_grad():
            for p in again.parameters():
                p.add_(1)
        for name, changes in arguments:
            again = edit_conv(again, name, example_input=INPUTS[0], **changes)
        again.load_state_dict(last.state_dict())
        assert torch.equal(zoo_edits.run(again, INPUTS), zoo_edits.run(last, INPUTS))

    check()
    assert tried["edits"] >= NETWORKS // 2 * LINKS, tried
