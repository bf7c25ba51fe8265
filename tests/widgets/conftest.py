"""Training panels on tiny data, and a way to hold a training in the middle of a step."""

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


@pytest.fixture
def panels(monkeypatch):
    """All panels of a test; none trains on after it, and nothing is lost in a thread."""
    made, lost = [], []
    monkeypatch.setattr(threading, "excepthook", lost.append)
    with one_thread():
        yield made
        for panel in made:
            panel.stop()
            assert panel.wait(30)
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
def held(monkeypatch):
    """Holds a training before its next step while it is cleared."""
    gate, arrived = threading.Event(), threading.Event()
    gate.set()
    train = module.ResumableTraining.train

    def slow(self, arguments, *, on_step, stop, **keywords):
        def wait_then(step):
            arrived.set()
            while not gate.wait(0.01) and not stop.is_set():
                pass
            on_step(step)

        return train(self, arguments, on_step=wait_then, stop=stop, **keywords)

    monkeypatch.setattr(module.ResumableTraining, "train", slow)
    gate.arrived = arrived
    return gate
