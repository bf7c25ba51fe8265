"""Copies without numbers, the tensors in any output, and the hooks that are not the model's."""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from course_utils.conv.meta import (
    blank,
    copied,
    foreign_hooks,
    modules_by_name,
    tensors_in,
    without_foreign_hooks,
)
from course_utils.models import SimpleCNN

X, Y = torch.zeros(2, 3), torch.ones(1)


@dataclass
class Output:
    scores: torch.Tensor
    more: object = None


class Circle:
    def __init__(self):
        self.itself, self.tensor = self, X


@pytest.mark.parametrize(
    "value",
    [
        *([X, Y], {"a": X, "b": (Y,)}, namedtuple("Pair", "a b")(X, Y), UserDict(a=X, b=Y)),
        *(Output(X, [Output(Y)]), [Circle(), Y], (X, {"deep": Output(UserDict(y=Y))})),
    ],
)
def test_tensors_in_outputs_of_any_shape(value):
    assert [t.shape for t in tensors_in(value)] == [X.shape, Y.shape]


def test_the_same_list_twice_has_its_tensors_twice():
    both = UserDict(y=Y)
    assert len(tensors_in([[X], [X], both])) == 3
    assert len(tensors_in(([X], {"a": (X, [Y])}, OrderedDict(b=Y), OrderedDict(b=Y)))) == 5


def with_shared_modules():
    shared, model = nn.ReLU(), nn.Module()
    model.first = nn.Sequential(shared, nn.Sequential(nn.Conv2d(1, 2, 3), shared))
    model.register_module("nothing", None)
    model.again, model.list = model.first[1], nn.ModuleList([nn.Identity(), shared])
    model.list[0].circle = model  # a module may hold the one that it is in
    return model


@pytest.mark.parametrize("make", [with_shared_modules, nn.ReLU, lambda: SimpleCNN()])
def test_modules_have_the_names_that_pytorch_says(make):
    model = make()
    assert modules_by_name(model) == list(model.named_modules())


def test_things_without_tensors():
    assert tensors_in([torch, nn.Linear(1, 1), 3, None, "words", len]) == []


class Keeps(nn.Module):
    """Keeps tensors in many places; one of them was computed with gradients."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("count", torch.tensor(3))
        self.cache, self.mean = {"last": [Output(X)]}, torch.ones(3)

    def forward(self, x):
        self.cache["last"][0].scores = self.kept = self.layer(x - self.mean)
        return self.kept


def test_a_copy_after_a_pass_with_gradients():
    model = Keeps()
    model(X)
    for new in (copied(model), copied(model, blank, blank)):
        assert new.cache["last"][0].scores is new.kept is not model.kept
        assert new.kept.shape == (2, 2)
    assert all(t.is_meta for t in (*new.parameters(), *new.buffers(), new.kept, new.mean))
    assert not any(t.is_meta for t in (*model.parameters(), model.kept, model.mean))


class Half(prune.BasePruningMethod):
    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        return default_mask * torch.tensor([1, 0, 0])


class Watched(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.utils.spectral_norm(nn.Linear(3, 3))
        self.cut = nn.Linear(3, 3)
        Half.apply(self.cut, "weight")
        self.features = []
        self.cut.register_forward_hook(functools.partial(self.keep, "name"))
        self.collector = Collector()
        self.cut.register_forward_hook(self.collector.keep)

    def keep(self, name, module, inputs, output):
        self.features.append(name)

    def forward(self, x):
        return self.cut(self.layer(x))


class Collector:
    def __init__(self):
        self.count = 0

    def keep(self, module, inputs, output):
        self.count += 1


def test_only_hooks_of_others_are_taken_away_for_a_while():
    model, calls, other = Watched(), [], Collector()
    handles = [
        model.layer.register_forward_hook(lambda *_: calls.append(1)),
        model.layer.register_forward_hook(other.keep),
        model.register_forward_pre_hook(lambda *_: calls.append(2)),
        model.register_forward_pre_hook(lambda *_: calls.append(3), prepend=True),
    ]
    assert len(foreign_hooks(model)) == 4
    with without_foreign_hooks(model):
        model(X)
        assert calls == [] and other.count == 0
        assert model.features == ["name"] and model.collector.count == 1
        assert (model.cut.weight == 0).any()  # the pruning has run
    model(X)
    assert calls == [3, 2, 1] and other.count == 1
    for handle in handles:
        handle.remove()
    assert foreign_hooks(model) == []


class Deep(nn.Linear):
    """Copies itself in its own way."""

    def __deepcopy__(self, memo):
        new = Deep(3, 2)
        new.how = "its own"
        return new


class Table(nn.Module, dict):
    """A module that is a dictionary as well."""

    __hash__ = nn.Module.__hash__


class State(nn.Linear):
    """Has a state of its own."""

    def __setstate__(self, state):
        super().__setstate__(state | {"restored": True})


@pytest.mark.parametrize("copying", [copied, copy.deepcopy])
@pytest.mark.parametrize("start", ["", "3", "3.0"])
def test_a_copy_is_that_of_deepcopy(copying, start):
    """Modules know their parent, two of them share a table, and some are copied in own ways."""
    model = nn.Sequential(Deep(3, 2), State(2, 2), Table(), nn.Sequential(nn.ReLU()))
    model[2]["key"], model[1].twin = [1], model[1].weight
    model[3].parent, model[3][0].up = [model], {"model": model}
    model[1].cache = model[3].cache = {}
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    new = copying(model.get_submodule(start))
    new = {"": lambda: new, "3": lambda: new.parent[0], "3.0": lambda: new.up["model"]}[start]()
    assert new[0].how == "its own" and new[1].restored and new[1].twin is new[1].weight
    assert new[2]["key"] == [1] and new[2]["key"] is not model[2]["key"]
    assert new[3].parent == [new] and new[3][0].up["model"] is new
    assert new[1].cache == {} and new[1].cache is new[3].cache is not model[1].cache
    assert {name: dict(vars(module)) for name, module in model.named_modules()} == before
    for part in (dict, nn.Module):
        held = [
            {id(v) for m in one.modules() for v in (m, *vars(m).values()) if isinstance(v, part)}
            for one in (new, model)
        ]
        assert not held[0] & held[1]
