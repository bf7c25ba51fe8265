"""The comparison of pyramids: every detector and seed, on data that no training has seen."""

from __future__ import annotations

import pytest

from course_utils.experiments import compare_pyramids
from course_utils.experiments.compare_pyramids import DETECTORS, compare, data_of
from course_utils.metrics import DetectionScores


@pytest.fixture(autouse=True)
def few_scenes(monkeypatch):
    monkeypatch.setattr(compare_pyramids, "TRAIN", 4)
    monkeypatch.setattr(compare_pyramids, "TEST", 3)


def test_the_plan():
    seen = []

    def measured(task, data, detector, seed):
        seen.append((task, data.name, len(data.test)))
        return DetectionScores(0.5, 0.1, 0.2, 0.3, {})

    records = list(compare(("context", "colour"), (0, 1), measured))
    assert len(records) == 2 * 2 * len(DETECTORS) and set(seen) == {
        ("context", "context", 3),
        ("colour", "colour", 3),
    }
    assert records[0] == {
        "task": "context",
        "detector": "one level",
        "seed": 0,
        "ap50": 0.5,
        "small": 0.1,
        "medium": 0.2,
        "large": 0.3,
    }


def test_training_and_test_scenes_differ():
    data = data_of("context")
    train = {picture.numpy().tobytes() for picture in data.train.images}
    assert not any(picture.numpy().tobytes() in train for picture in data.test.images)
    assert data_of("cells").name == "bccd"


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_short_training(detector, monkeypatch):
    monkeypatch.setattr(compare_pyramids, "EPOCHS", {"context": 1})
    scores = compare_pyramids.measure("context", data_of("context"), detector, 0)
    assert 0 <= scores.mean <= 1
