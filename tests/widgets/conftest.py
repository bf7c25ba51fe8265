"""Panels that train on tiny data, and a way to hold a training before a step."""

from __future__ import annotations

import threading

import pytest
from torch import nn

from course_utils.core.runtime import one_thread
from course_utils.data.sets import Dataset
from course_utils.widgets.training_panel import panel as module
from course_utils.widgets.training_panel.panel import TrainingPanel
from tests.toys import toy_data, toy_model

DATA = toy_data()


@pytest.fixture(autouse=True)
def on_one_thread():
    with one_thread():
        yield


@pytest.fixture
def panels(monkeypatch):
    """All panels of a test; their runs end with it, and no thread has lost an exception."""
    made, lost = [], []
    monkeypatch.setattr(threading, "excepthook", lost.append)
    yield made
    for panel in made:
        panel.stop()
        assert panel.wait(120)
    assert lost == []


@pytest.fixture
def make(panels):
    """Builds training panels that learn stripes in a moment: make(model, data, epochs=3)."""

    def build(
        model: nn.Module | None = None, data: Dataset = DATA, **arguments: object
    ) -> TrainingPanel:
        first = {"epochs": 2, "batch_size": 16, "precision": "float32", "learning_rate": 0.01}
        panels.append(TrainingPanel(model or toy_model(), data, **(first | arguments)))
        return panels[-1]

    return build


@pytest.fixture
def hold_steps(monkeypatch):
    """Makes a training function wait before each step: hold_steps(owner, name) returns a gate.

    The training goes on when the gate is set, or when it is stopped; `gate.arrived` is set at the
    first step.
    """

    def hold(owner: object, name: str) -> threading.Event:
        gate, train = threading.Event(), getattr(owner, name)
        gate.arrived = threading.Event()

        def held(*arguments, on_step, stop, **keywords):
            def wait_then(step):
                gate.arrived.set()
                while not gate.wait(0.01) and not stop.is_set():
                    pass
                on_step(step)

            return train(*arguments, on_step=wait_then, stop=stop, **keywords)

        monkeypatch.setattr(owner, name, held)
        return gate

    return hold


@pytest.fixture
def held(hold_steps):
    """Holds a training of the training panel while the gate is cleared."""
    gate = hold_steps(module.ResumableTraining, "train")
    gate.set()
    return gate
