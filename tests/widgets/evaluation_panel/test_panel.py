from __future__ import annotations

import importlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from course_utils.core import CourseError
from course_utils.data import ImageSet
from course_utils.metrics import class_report, confusion, evaluate, thinned
from course_utils.widgets import evaluation_panel
from course_utils.widgets.evaluation_panel.picture import HEIGHT, MOST, WIDTH
from tests.toys import same, stripes, toy_data, toy_model, weights

DATA = replace(toy_data(), test=stripes(90, seed=5))


def make(models=None, data=DATA, **settings):
    return evaluation_panel(models or toy_model(), data, **settings)


def shown(panel) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(panel.shown_picture)).convert("RGB"))


def test_it_opens_with_the_most_frequent_mistake_and_its_pictures():
    model = toy_model()
    kept = weights(model)
    panel = make(model)
    found = evaluate(model, DATA.test, mean=DATA.mean, std=DATA.std)
    matrix = confusion(found.labels, found.predictions, DATA.classes)
    worst = matrix.mistakes(1)[0]
    assert panel.error == "" and panel.result.cell == (worst.true, worst.predicted)
    assert panel.result.shown.tolist() == matrix.pictures(worst.true, worst.predicted).tolist()
    assert f"{worst.true} taken for {worst.predicted}: {worst.count} picture" in panel.summary
    assert panel.result.matrix.counts.tolist() == matrix.counts.tolist()
    assert shown(panel).shape == (HEIGHT, WIDTH, 3) and same(kept, weights(model))


def test_each_cell_with_pictures_is_a_button_and_a_choice():
    panel = make()
    counts = panel.result.matrix.counts
    assert panel._buttons.value.count("<button") == (counts > 0).sum()
    before = shown(panel)
    panel.set(true="neither", predicted="neither")
    assert "neither, recognised: " in panel.summary and (shown(panel) != before).any()
    row = panel.result.matrix.counts[2, 2]
    assert len(panel.result.shown) == row and (DATA.test.labels[panel.result.shown] == 2).all()
    assert panel._buttons.value.count('aria-pressed="true"') == (row > 0)
    empty = np.argwhere(counts == 0)[0]
    panel.set(true=DATA.classes[empty[0]], predicted=DATA.classes[empty[1]])
    assert panel.error == "" and "0 pictures" in panel.summary


def test_a_rare_class_changes_the_measures_as_if_the_pictures_were_not_there():
    model = toy_model()
    panel = make(model, rare="left", share=0.1)
    kept = DATA.test.subset(thinned(DATA.test.labels, DATA.classes, "left", 0.1))
    found = evaluate(model, kept, mean=DATA.mean, std=DATA.std)
    report = class_report(found.labels, found.predictions, DATA.classes, resamples=300)
    assert panel.result.report == report and f"{len(kept)} pictures, 10 % of left" in panel.summary
    lazy = panel.result.lazy
    assert lazy.recall[0].middle == lazy.precision[0].middle == 0
    assert lazy.recall[1].middle >= report.recall[1].middle
    assert [name for name, *_ in panel.result.bars()][:2] == ["accuracy", "macro F1"]


def test_several_networks_run_once_each(monkeypatch):
    panel = make({"a": toy_model(), "b": toy_model(seed=1)})
    panel.set(network="b")
    answers = panel.evaluation("b").predictions
    module = importlib.import_module("course_utils.widgets.evaluation_panel.panel")
    monkeypatch.setattr(module, "evaluate", None)
    panel.set(network="a")
    panel.set(network="b")
    assert panel.error == "" and panel.evaluation("b").predictions is answers
    assert panel.summary.startswith("b, 90 pictures: accuracy ")


def test_the_text_of_a_committed_notebook_has_no_measured_number():
    panel = make()
    text = panel._repr_mimebundle_()["text/plain"]
    assert text.startswith("Evaluation panel: model, 90 pictures; ") and "%" not in text


def test_the_code_finds_the_same_pictures():
    model = toy_model()
    panel = make(model, share=0.5)
    names = {"model": model, "data": DATA}
    exec(panel.shown_code, names)
    kept = thinned(DATA.test.labels, DATA.classes, panel.result.rare, 0.5)
    assert kept[names["in_the_cell"]].tolist() == panel.result.shown.tolist()
    assert names["report"].accuracy.middle == panel.result.report.accuracy.middle


def perfect(images):
    left, right = (images[..., side].mean((1, 2, 3)) for side in (slice(0, 4), slice(4, 8)))
    return torch.stack([left - right, right - left, torch.full_like(left, 0.5)], 1)


class Sees(nn.Module):
    """Recognises the stripes without any training."""

    def __init__(self, classes=3):
        super().__init__()
        self.more = nn.Parameter(torch.zeros(classes - 3))

    def forward(self, images):
        return torch.cat([perfect(images), self.more.expand(len(images), -1) - 99], 1)


def test_pictures_in_colour_many_pictures_and_no_mistake():
    many = stripes(120, channels=3)
    colour = replace(toy_data(channels=3), test=many)
    panel = make(Sees(), colour, true="left", predicted="left")
    assert panel.error == "" and panel.result.matrix.accuracy == 1
    assert len(panel.result.shown) == 40 > MOST
    box = shown(panel)[62:, 436:690].astype(int)
    assert np.ptp(box, axis=2).max() > 40, "the pictures have colours"
    assert make({"sees": Sees()}).error == ""


def test_what_cannot_be_shown_is_said_in_words():
    without = replace(DATA, test=DATA.test.subset(DATA.test.labels < 2))
    assert "no picture of 'neither'" in make(data=without).error
    names = tuple(f"class {k}" for k in range(41))
    sets = [ImageSet(s.images, s.labels, names) for s in (DATA.train, DATA.validation, DATA.test)]
    many = replace(DATA, train=sets[0], validation=sets[1], test=sets[2])
    assert "41 classes, but the panel has room for 40" in make(Sees(41), many).error
    assert "give its last layer 3 outputs" in make(Sees(5)).error
    for models, words in (({}, "at least one"), (3, "network")):
        with pytest.raises(CourseError, match=words):
            evaluation_panel(models, DATA)
