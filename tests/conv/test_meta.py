"""Copies without numbers, the tensors in any output, and the hooks that are not the model's."""

from __future__ import annotations

import functools
from collections import UserDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from course_utils.conv.meta import blank, copied, foreign_hooks, tensors_in, without_foreign_hooks

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
    for copy in (copied(model), copied(model, blank, blank)):
        assert copy.cache["last"][0].scores is copy.kept is not model.kept
        assert copy.kept.shape == (2, 2)
    assert all(t.is_meta for t in (*copy.parameters(), *copy.buffers(), copy.kept, copy.mean))
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
