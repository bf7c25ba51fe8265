from __future__ import annotations

import pytest
import torch

from course_utils.core.errors import CourseError
from course_utils.core.runtime import one_thread
from course_utils.data.load import load_dataset
from course_utils.training.regularisation import Regularisation, RegularisationRun
from course_utils.widgets.regularisation_panel.panel import (
    RegularisationPanel,
    regularisation_panel,
)
from course_utils.widgets.regularisation_panel.picture import (
    ROWS,
    RegularisationView,
    draw,
)
from tests.toys import toy_data, toy_model


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


@pytest.fixture
def panel():
    panel = make()
    yield panel
    panel.stop()
    assert panel.wait(30)


def make(**settings: object) -> RegularisationPanel:
    return RegularisationPanel(
        toy_data(train=90),
        model=lambda dropout: toy_model(dropout=dropout),
        **({"pictures": 90, "epochs": 2} | settings),
    )


def test_each_train_adds_a_run(panel):
    panel.train(wait=True)
    panel.set(dropout=0.5, optimizer="AdamW")
    panel.train(wait=True)
    assert panel.error == ""
    assert [run.settings.label for run in panel.runs] == ["none", "dropout 0.5"]
    assert [len(run.history.epoch) for run in panel.runs] == [2, 2]
    assert panel.result.runs == tuple(panel.runs) and panel.result.going is None
    assert panel.summary.startswith("2 runs. The last, dropout 0.5:")
    assert panel.summary.endswith(f"The first had {100 * panel.runs[0].gap:.1f}.")
    assert len(panel.frame()) == 2


def test_a_run_uses_all_settings(panel):
    chosen = {
        "dropout": 0.3,
        "optimizer": "AdamW",
        "weight_decay": 0.01,
        "l1": 1e-4,
        "pad_crop": 1,
        "flip": True,
        "cutout": 3,
        "pictures": 90,
        "epochs": 1,
    }
    panel.set(**chosen)
    panel.train(wait=True)
    assert panel.runs[0].settings == Regularisation(**chosen)


def test_the_code_gives_the_same_settings(panel):
    panel.set(dropout=0.3, flip=True)
    code = panel.code(panel.result)
    assert code.startswith("train_regularised(Regularisation(")
    settings = eval(code.removeprefix("train_regularised(").removesuffix(", data)"))
    assert settings == Regularisation(**panel.settings)


def test_augmentation_sliders_change_the_pictures_at_once(panel):
    before = panel._picture.value
    assert not panel.result.augments
    panel.controls["pad_crop"].value = 2
    assert panel.result.augments and panel._picture.value != before
    assert torch.equal(panel.result.pictures[0], panel._samples)
    assert not torch.equal(panel.result.pictures[1], panel._samples)


@pytest.mark.parametrize("name", ["dropout", "pad_crop", "cutout", "pictures", "epochs"])
def test_both_ends_of_every_slider_can_be_trained(panel, name):
    slider = panel.controls[name]
    for end in (slider.min, slider.max):
        panel.set(epochs=1)
        panel.set(**{name: min(end, 3) if name == "epochs" else end})
        assert panel.error == ""
        panel.train(wait=True)
        assert panel.error == ""
    assert len(panel.runs) == 2


@pytest.mark.parametrize("name", ["weight_decay", "l1"])
def test_both_ends_of_the_strengths(panel, name):
    options = panel.controls[name].options
    for _, end in (options[0], options[-1]):
        panel.set(**{name: end})
        panel.train(wait=True)
        assert panel.error == ""
    assert [getattr(run.settings, name) for run in panel.runs] == [options[0][1], options[-1][1]]


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
    assert panel.error == "" and panel._samples.shape == (10, 1, 28, 28)
    assert all(any(torch.equal(one, x) for x in data.train.images[:200]) for one in panel._samples)
    assert panel.controls["pictures"].max == 9000 and panel.controls["pictures"].min == 500


def test_a_wrong_name_is_refused():
    with pytest.raises(CourseError, match="no control 'drop'"):
        make(drop=0.5)


def views(count: int) -> RegularisationView:
    settings = Regularisation(pad_crop=2)
    runs = [RegularisationRun(settings, 0.99, 0.8 + 0.005 * k) for k in range(count)]
    return RegularisationView(toy_data().train.images[:10][None].repeat(3, 1, 1, 1, 1), True, runs)


def test_the_picture_shows_every_run_and_then_the_last_ones():
    pictures = [draw(views(count)) for count in range(ROWS + 3)]
    assert len(set(pictures)) == len(pictures)


def test_the_picture_of_extremes():
    view = views(1)
    settings = Regularisation(0.9, "AdamW", 1.0, 1e-3, 8, True, 28, 500, 60)
    for train, validation in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (float("nan"), 0.5)):
        run = RegularisationRun(settings, train, validation)
        assert draw(RegularisationView(view.pictures, True, (run, run), run))


def test_colour_pictures_are_drawn_in_colour():
    import io

    from PIL import Image

    pictures = torch.zeros(3, 4, 3, 8, 8, dtype=torch.uint8)
    pictures[:, :, 1] = 200
    picture = Image.open(io.BytesIO(draw(RegularisationView(pictures, False))))
    assert picture.getpixel((80, 40)) == (0, 200, 0)
