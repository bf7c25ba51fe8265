"""Cells of notebook 02_2 run in whatever state a reader leaves the training panel before them."""

from __future__ import annotations

import dataclasses

import nbformat
import pytest

from course_utils.data import load_dataset
from course_utils.experiments import load_results
from course_utils.widgets import training_panel
from tests.notebooks.refresh import NOTEBOOKS
from tests.toys import same, weights

NOTEBOOK = nbformat.read(NOTEBOOKS / "02_2_first_cnn.ipynb", as_version=4)
CELLS = [cell.source for cell in NOTEBOOK.cells if cell.cell_type == "code"]
OPENS = next(i for i, cell in enumerate(CELLS) if "= training_panel(" in cell)
# The lab of EfficientNet-Lite0 does not depend on the panel, and costs a second.
AFTER = [cell for cell in CELLS[OPENS + 1 :] if "photograph" not in cell]


def train(panel, **settings):
    panel.set(**settings)
    panel.train(wait=True)


def stop_at_once(panel):
    panel.train()
    panel.stop()
    panel.wait()


def train_and_reset(panel):
    panel.train(wait=True)
    panel.reset()


# What was done with the panel, and whether the reader's own network goes on.
STATES = {
    "untouched": (lambda panel: None, False),
    "trained": (train, True),
    "SGD and two epochs": (lambda panel: train(panel, optimizer="SGD", epochs=2), True),
    "other rate": (lambda panel: train(panel, learning_rate=0.05, schedule="constant"), True),
    "a slider moved later": (lambda panel: (train(panel), panel.set(epochs=9)), True),
    "stopped": (stop_at_once, False),
    "reset": (train_and_reset, False),
    "running": (lambda panel: (panel.set(epochs=30), panel.train()), False),
}


@pytest.fixture(scope="module")
def data():
    whole = load_dataset("fashion-mnist")
    parts = ("train", "validation", "test")
    return dataclasses.replace(whole, **{name: getattr(whole, name).few(100) for name in parts})


@pytest.mark.parametrize(("leave", "own"), STATES.values(), ids=STATES)
def test_cells_after_the_panel_run_whatever_was_done_with_it(leave, own, data, monkeypatch):
    panel = training_panel(data=data, epochs=1, batch_size=50)
    monkeypatch.setattr(panel, "picture", lambda view: b"")
    names = {}
    exec(CELLS[0], names)
    stored = load_results("first_cnn_variations").frame()
    names |= {"panel": panel, "data": data, "stored": stored}
    try:
        leave(panel)
        for cell in AFTER:
            exec(cell, names)
    finally:
        panel.stop()
        panel.wait()
    assert same(weights(names["network"]), weights(panel.model)) == own
    assert names["network"] is not panel.model
