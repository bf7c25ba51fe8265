"""The experiment with the methods against overfitting."""

from __future__ import annotations

import pytest
import torch

from course_utils.data import load_dataset
from course_utils.experiments import compare_regularisation as module
from course_utils.experiments.results import load_results
from tests.toys import stripes


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_wrong_labels_are_of_another_class_and_as_many_as_asked(share):
    right = stripes(60)
    wrong = module.with_wrong_labels(right, share, seed=1)
    assert int((wrong.labels != right.labels).sum()) == 60 * share
    assert wrong.labels.min() >= 0 and wrong.labels.max() < 3
    assert torch.equal(right.labels, stripes(60).labels), "the given set stays as it is"
    again, other = (module.with_wrong_labels(right, share, seed=s).labels for s in (1, 2))
    assert torch.equal(again, wrong.labels)
    assert torch.equal(other, wrong.labels) == (share == 0)


def test_new_images_are_not_trained_on():
    data = load_dataset("fashion-mnist")
    assert len(data.train) >= module.POOL + module.NEW
    setting = module.SETTINGS["300 images"]
    small, new = module.parts(data, setting, 4, seed=0)
    assert (len(small.train), len(small.validation), len(new)) == (1200, 300, module.NEW)
    assert torch.equal(new.images, data.train.images[-module.NEW :])
    moved = module.parts(data, module.SETTINGS["300 images, new ones moved"], seed=0)[1].images
    assert moved.shape == new.images.shape and not torch.equal(moved, new.images)
    pool = {image.numpy().tobytes() for image in data.train.images[: module.POOL]}
    assert all(image.numpy().tobytes() in pool for image in small.train.images)


def test_a_training_has_a_record_for_each_stored_epoch(monkeypatch):
    monkeypatch.setattr(module, "NEW", 40)
    tried = {"300 images": ("nothing", "four times the images")}
    runs = list(module.compare(load_dataset("fashion-mnist"), tried, (0, 1), images=20, epochs=8))
    assert [[row["epoch"] for row in run] for run in runs] == [[1, 2, 3, 4, 5, 6, 8]] * 2 + [
        [1, 2]
    ] * 2
    for run in runs:
        assert all(row["kept_epoch"] <= row["stopped_epoch"] <= run[-1]["epoch"] for row in run)
        best = max(row["validation_accuracy"] for row in run)
        if run[0]["kept_epoch"] in module.STORED_EPOCHS:
            kept = next(row for row in run if row["epoch"] == row["kept_epoch"])
            assert kept["validation_accuracy"] == best


def test_the_committed_file_is_of_this_experiment():
    results = load_results(module.NAME)
    assert results.command == module.COMMAND
    assert results.settings["patience"] == module.PATIENCE
    runs = results.frame().groupby(["setting", "method", "seed"])["epoch"].max()
    for setting, methods in module.TRIED.items():
        for name in methods:
            method = module.METHODS[name]
            epochs = module.SETTINGS[setting].epochs // method.times
            assert list(runs[setting][name].index) == list(module.SEEDS)
            assert set(runs[setting][name]) == {epochs}
    assert len(runs) == len(module.SEEDS) * sum(map(len, module.TRIED.values()))
