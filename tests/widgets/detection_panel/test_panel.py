from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.core import CourseError, seeded
from course_utils.data import Dataset
from course_utils.metrics import match_all
from course_utils.models import Detector, SmallBackbone
from course_utils.training import propose_all
from course_utils.widgets import detection_panel
from course_utils.widgets.detection_panel.picture import HEIGHT, WIDTH
from tests.toys import box_set, same, weights

BOXES = box_set()
DATA = Dataset("toy", "Toy", BOXES, BOXES.subset([]), BOXES)
QUICK = {"epochs": 1, "batch_size": 4, "precision": "float32"}


def small() -> Detector:
    """Return a detector that proposes boxes of many scores without a training."""

    def make() -> Detector:
        model = Detector(2, SmallBackbone(widths=(8, 8, 8)), width=8)
        torch.nn.init.normal_(model.scores.weight, std=1.0)
        torch.nn.init.zeros_(model.scores.bias)
        return model

    return seeded(make, 0).eval()


@pytest.fixture
def make(panels):
    def build(**settings: object):
        panel = detection_panel(small(), DATA, **settings)
        panels.append(panel)
        return panel

    return build


@pytest.mark.parametrize("score", [0.05, 0.4, 0.7])
@pytest.mark.parametrize("overlap", [0.0, 0.4, 1.0])
def test_it_shows_what_the_detector_finds(make, score, overlap):
    panel = make(score=score, overlap=overlap, picture=2)
    proposals = propose_all(panel.detector, DATA)
    every = [one.choose(score, overlap) for one in proposals]
    assert torch.equal(panel.result.found.boxes, every[2].boxes)
    matches = match_all(every, DATA.test)
    assert panel.result.all == pytest.approx((matches.recall, matches.precision))
    counts = {name: curve.at[0] for name, curve in panel.result.curves.items()}
    labels = torch.cat(DATA.test.labels)
    for label, name in enumerate(DATA.classes):
        assert counts[name] == pytest.approx(float(matches.seen[labels == label].float().mean()))


def test_levels_are_switched_on_and_off(make):
    panel = make(score=0.05)
    assert list(panel.controls)[3:] == ["stride_2", "stride_4", "stride_8"]
    panel.set(stride_2=False, stride_8=False)
    assert set(panel.result.found.levels.tolist()) <= {1} and "strides 4:" in panel.summary
    panel.set(stride_4=False)
    assert panel.error == "No level may propose a box: switch on at least one stride."
    panel.set(stride_2=True)
    assert panel.error == "" and set(panel.result.found.levels.tolist()) <= {0}


def test_picture_words_and_code(make):
    panel = make(picture=1, score=0.3, overlap=0.2)
    picture = np.asarray(Image.open(io.BytesIO(panel.shown_picture)))
    assert picture.shape[:2] == (HEIGHT, WIDTH)
    assert "photograph 1, score at least 0.30, IoU at most 0.20" in panel.summary
    assert "0 of 0 objects found" in panel.summary
    shown = panel._repr_mimebundle_()["text/plain"]
    assert shown.endswith("strides 2, 4, 8.") and "found" not in shown
    found = eval(panel.shown_code, {"propose_all": propose_all, "detector": small(), "data": DATA})
    assert torch.equal(found.boxes, panel.result.found.boxes)


def test_a_training_is_shown_and_replaces_the_detector(make, monkeypatch):
    panel = make(score=0.05)
    old, before = panel.detector, weights(panel.detector)
    seen = []
    shown = panel._on_tick
    panel._on_tick = lambda: (shown(), seen.append(panel.result))
    panel.train(wait=True, **QUICK)
    assert panel.error == "" and panel.status == "Trained."
    assert seen and seen[0].curves == {} and seen[0].all is None
    assert panel.detector is not old and same(before, weights(old))
    assert set(panel.result.curves) == set(DATA.classes)
    assert not panel._train_button.disabled and panel._stop_button.disabled


def test_a_training_that_fails_is_said_in_the_panel(make):
    panel = make()
    old = panel.detector
    panel.train(wait=True, epochs=0)
    assert "epochs=0" in panel.error and panel.detector is old
    panel.set(score=0.5)
    assert panel.error == ""


def test_a_stopped_training_keeps_what_was_learnt(make):
    panel = make()
    shown = panel._on_tick
    panel._on_tick = lambda: (shown(), panel.stop())
    panel.train(wait=True, **QUICK | {"epochs": 50})
    assert panel.error == "" and panel.status.startswith("Stopped")
    assert panel.result.all is not None


def test_a_photograph_that_is_not_there(make):
    panel = make()
    panel.set(picture=7)
    assert panel.error == "picture=7: give a whole number from 0 to 2."


def test_unknown_settings():
    with pytest.raises(CourseError, match="no control 'stride_64'"):
        detection_panel(small(), DATA, stride_64=True)
