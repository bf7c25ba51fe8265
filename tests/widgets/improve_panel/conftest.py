"""Improve panels that search among tiny networks."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

import course_utils.search as search
from course_utils.data.sets import Dataset
from course_utils.widgets.improve_panel.panel import ImprovePanel
from tests.toys import toy_data, toy_model

DATA = toy_data(train=450)  # enough for a schedule to rise and fall in one epoch


@pytest.fixture
def make(panels):
    def build(model: nn.Module | None = None, data: Dataset = DATA, **settings) -> ImprovePanel:
        first = {"budget": "6 trials", "precision": "float32"}
        panels.append(ImprovePanel(model or toy_model(), data, **(first | settings)))
        return panels[-1]

    return build


@pytest.fixture
def panel(make):
    return make()


@pytest.fixture(scope="session")
def found():
    """The result of one search, for all tests that start after it."""
    model, layers = toy_model(), ["out_channels", "kernel_size", "depth"]
    space = search.space_for(model, torch.zeros(2, 1, 8, 8), layers)
    return search.improve(model, DATA, "6 trials", space=space, precision="float32", seed=0)


@pytest.fixture
def done(panel, found, monkeypatch):
    """After a search."""
    with monkeypatch.context() as patch:
        patch.setattr(search, "improve", lambda *_, on_change, **__: on_change(found) or found)
        panel.improve(wait=True)
    assert panel.error == "" and panel.result is found
    return panel


@pytest.fixture
def gate(monkeypatch):
    """Holds a search after its first candidate until it is stopped; set when it is held."""
    held, improve = threading.Event(), search.improve

    def slow(*arguments, on_change, stop, **keywords):
        def wait_then(found):
            on_change(found)
            if found.now and found.tried:  # it is "" at the end
                assert not stop.is_set(), "no further step begins after the stop"
                held.set()
                assert stop.wait(120)

        return improve(*arguments, on_change=wait_then, stop=stop, **keywords)

    monkeypatch.setattr(search, "improve", slow)
    return held
