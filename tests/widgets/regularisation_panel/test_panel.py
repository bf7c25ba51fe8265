from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from course_utils.data import load_dataset
from course_utils.training import Regularisation, RegularisationRun
from course_utils.widgets.regularisation_panel.panel import (
    RegularisationPanel,
    regularisation_panel,
)
from course_utils.widgets.regularisation_panel.picture import ROWS, RegularisationView, draw
from tests.toys import toy_data, toy_model


@pytest.fixture
def drawn(panels):
    model = lambda dropout: toy_model(dropout=dropout)  # noqa: E731
    panels.append(RegularisationPanel(toy_data(train=90), model=model, pictures=90, epochs=2))
    return panels[-1]


@pytest.fixture
def panel(drawn, monkeypatch):
    """A panel that draws nothing, because a picture takes longer than many trainings."""
    monkeypatch.setattr(drawn, "picture", lambda *_: b"no picture")
    return drawn


def test_each_train_adds_a_run(drawn):
    panel, before = drawn, drawn.shown_picture
    panel.train(wait=True)
    panel.set(dropout=0.5, optimizer="AdamW")
    panel.train(wait=True)
    assert panel.error == ""
    assert [run.settings.label for run in panel.runs] == ["no method", "dropout 0.5"]
    assert [len(run.history.epoch) for run in panel.runs] == [2, 2]
    assert panel.result.runs == tuple(panel.runs) and panel.result.going is None
    assert panel.summary.startswith("2 runs. The last, dropout 0.5:")
    assert panel.summary.endswith(f"The first had {100 * panel.runs[0].gap:.1f}.")
    assert len(panel.frame()) == 2
    assert panel.shown_picture == draw(panel.result) != before


def test_a_run_uses_all_settings(panel):
    chosen = Regularisation(0.3, "AdamW", 0.01, 1e-4, 1, True, 3, 90, 1)
    panel.set(**{name: getattr(chosen, name) for name in panel.controls})
    panel.train(wait=True)
    assert panel.runs[0].settings == chosen
    code = panel.code(panel.result)
    assert eval(code.removeprefix("train_regularised(").removesuffix(", data)")) == chosen


def test_augmentation_sliders_change_the_pictures_at_once(panel):
    original, *epochs = panel.result.pictures
    assert not panel.result.augments and all(torch.equal(original, one) for one in epochs)
    panel.controls["pad_crop"].value = 2
    assert panel.result.augments and torch.equal(panel.result.pictures[0], original)
    assert not any(torch.equal(original, one) for one in panel.result.pictures[1:])


def test_both_ends_of_every_slider_can_be_trained(panel):
    sliders = ("dropout", "pad_crop", "cutout", "pictures")
    low, high = (
        {name: getattr(panel.controls[name], end) for name in sliders} for end in ("min", "max")
    )
    for name in ("weight_decay", "l1"):
        options = panel.controls[name].options
        low[name], high[name] = options[0][1], options[-1][1]
    for number, (ends, epochs) in enumerate(((low, 1), (high, 3)), 1):
        panel.set(epochs=epochs, **ends)
        panel.train(wait=True)
        assert panel.error == "" and len(panel.runs) == number
        assert {name: getattr(panel.runs[-1].settings, name) for name in ends} == ends


def test_a_cutout_larger_than_the_picture_is_answered_in_words(panel):
    panel.set(cutout=20)
    assert "cutout=20 is larger than the picture" in panel.error
    panel.train(wait=True)
    assert "cutout=20" in panel.error and panel.runs == []
    panel.set(cutout=2)
    assert panel.error == ""


def test_the_default_is_the_real_pictures_one_of_each_class():
    panel = regularisation_panel()
    data = load_dataset("fashion-mnist")
    shown = panel.result.pictures[0]
    assert panel.error == "" and shown.shape == (10, 1, 28, 28)
    assert all(any(torch.equal(one, x) for x in data.train.images[:200]) for one in shown)
    assert panel.controls["pictures"].max == 9000 and panel.controls["pictures"].min == 500


def views(count: int) -> RegularisationView:
    settings = Regularisation(pad_crop=2)
    runs = [RegularisationRun(settings, 0.99, 0.8 + 0.005 * k) for k in range(count)]
    return RegularisationView(toy_data().train.images[:10][None].repeat(3, 1, 1, 1, 1), True, runs)


def test_the_picture_shows_every_run_and_then_the_last_ones():
    pictures = [draw(views(count)) for count in (0, 1, ROWS, ROWS + 1)]
    assert len(set(pictures)) == len(pictures)


def test_the_picture_of_extremes():
    view = views(1)
    settings = Regularisation(0.9, "AdamW", 1.0, 1e-3, 8, True, 28, 500, 60)
    for train, validation in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (float("nan"), 0.5)):
        run = RegularisationRun(settings, train, validation)
        other = RegularisationRun(Regularisation(), train, validation)
        assert draw(RegularisationView(view.pictures, True, (other, run), run))


def test_colour_pictures_are_drawn_in_colour():
    pictures = torch.zeros(3, 4, 3, 8, 8, dtype=torch.uint8)
    pictures[:, :, 1] = 200
    picture = Image.open(io.BytesIO(draw(RegularisationView(pictures, False))))
    assert picture.getpixel((80, 40)) == (0, 200, 0)
