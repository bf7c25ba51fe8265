from __future__ import annotations

import base64
import threading
from collections import Counter
from importlib import import_module

import pytest
import torch

from course_utils.core import CourseError
from course_utils.data import load_dataset
from course_utils.training import SCHEMES, initialise, signal_spread
from course_utils.widgets import initialisation_panel

module = import_module("course_utils.widgets.initialisation_panel")  # the room hides the module
PATIENCE = 120  # seconds, of which a busy machine needs a few


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def panel(images):
    """A panel with all schemes of its first stack."""
    panel = initialisation_panel(images, depth=6, width=8)
    assert panel.wait(PATIENCE)
    yield panel
    assert panel.wait(PATIENCE)


def test_it_shows_what_signal_spread_measures(panel, images):
    panel.set(scheme="he", activation="tanh", batch_norm=True)
    assert panel.error == ""
    assert panel.result.chosen == signal_spread("he", 6, "tanh", True, width=8, images=images)
    assert panel.result.chosen.verdict in panel.summary


def test_the_other_schemes_follow(panel):
    panel.set(scheme="xavier", depth=7)
    assert panel.wait(PATIENCE)
    view = panel.result
    assert [spread.scheme for spread in view.others] == [s for s in SCHEMES if s != "xavier"]
    assert {spread.depth for spread in view.others} == {7}
    assert panel.picture(view) != panel.picture(module.InitialisationView(view.chosen))
    panel.set(scheme="orthogonal")
    assert len(panel.result.others) == len(SCHEMES) - 1, "complete at once"


def test_moving_a_slider_makes_the_thread_give_up(panel, monkeypatch):
    main, measured = threading.current_thread(), Counter()
    begun, moved = threading.Event(), threading.Event()

    def measure(scheme, depth, *arguments, **keywords):
        if threading.current_thread() is not main:
            begun.set()
            assert moved.wait(PATIENCE)
        measured[depth] += 1
        return signal_spread(scheme, depth, *arguments, **keywords)

    monkeypatch.setattr(module, "signal_spread", measure)
    panel.set(depth=7)
    assert begun.wait(PATIENCE)
    panel.set(depth=8)
    moved.set()
    assert panel.wait(PATIENCE)
    assert len(panel.result.others) == len(SCHEMES) - 1
    assert measured[7] <= 2 and measured[8] == len(SCHEMES), "it left the others of 7 out"


def test_its_line_is_the_verdict_and_its_code_runs(panel):
    panel.set(scheme="he read as variance", depth=30, activation="relu")
    assert "Activations explode" in panel.summary
    model = torch.nn.Conv2d(1, 2, 3)
    exec(panel.code(panel.result), {"initialise": initialise, "model": model})
    assert model.bias.abs().sum() == 0


def test_the_committed_picture_has_all_schemes(images):
    panel = initialisation_panel(images, depth=4, width=8)
    bundle = panel._repr_mimebundle_()
    assert len(panel.result.others) == len(SCHEMES) - 1
    assert base64.b64decode(bundle["image/png"]) == panel.shown_picture
    assert bundle["text/plain"].startswith("Initialisation panel: default, 4 layers, relu.")


def test_a_failure_in_the_thread_is_shown(panel, monkeypatch):
    def measure(scheme, *arguments, **keywords):
        if scheme == "xavier":  # not the panel's own
            raise RuntimeError("a cable broke")
        return signal_spread(scheme, *arguments, **keywords)

    monkeypatch.setattr(module, "signal_spread", measure)
    panel.set(depth=13)
    assert panel.wait(PATIENCE)
    assert panel.error == "Unexpected RuntimeError: a cable broke"
    monkeypatch.undo()
    panel.set(depth=12)
    assert panel.error == ""


def test_pictures_without_spread_are_answered_in_words():
    panel = initialisation_panel(torch.zeros(2, 1, 8, 8))
    assert "no spread" in panel.error
    assert isinstance(panel.exception, CourseError)


def test_the_default_is_the_real_pictures():
    panel = initialisation_panel(width=8, depth=2)
    data = load_dataset("fashion-mnist")
    images = data.normalise(data.train.images[:8])
    assert panel.result.chosen == signal_spread("default", 2, width=8, images=images)
    assert panel.wait(PATIENCE)
