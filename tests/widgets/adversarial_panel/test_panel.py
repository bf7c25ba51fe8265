"""The adversarial panel: what it shows is what `attack` and `attack_accuracies` return."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from course_utils.core import CourseError
from course_utils.metrics import ATTACKS, attack, attack_accuracies, probabilities
from course_utils.widgets import adversarial_panel
from course_utils.widgets.adversarial_panel.attacked import CURVE
from course_utils.widgets.adversarial_panel.picture import WIDTH
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data()
SCALE = {"mean": DATA.mean, "std": DATA.std}


@pytest.fixture
def panel():
    return adversarial_panel(toy_model(norm=True), DATA)


@pytest.mark.parametrize("kind", ATTACKS)
def test_it_shows_what_attack_returns_and_the_network_stays(panel, kind):
    model = panel._models["model"]
    before = weights(model)
    panel.set(attack=kind, picture=5, level=16, steps=2)
    assert panel.error == ""
    result, few = panel.result, DATA.test.few(24)
    one = few.images[5:6], few.labels[5:6]
    changed = attack(kind, model, *one, epsilon=16 / 255, steps=2, **SCALE)
    assert torch.equal(result.after.picture, changed[0])
    assert torch.equal(result.before.picture, few.images[5].float() / 255)
    assert torch.allclose(result.after.shares, probabilities(model, changed, **SCALE)[0])
    assert set(result.curves) == {"noise", "fgsm", kind}
    sizes = [level / 255 for level in CURVE]
    table = attack_accuracies(model, few, sizes, **SCALE, attacks=[kind], steps=2)
    assert result.curves[kind] == table.accuracy.tolist() and result.counted == 24
    assert f"ε = 16/255{' in 2 steps' * (kind == 'pgd')}" in panel.summary
    assert "24 pictures" in panel.summary
    assert Image.open(io.BytesIO(panel.shown_picture)).width == WIDTH
    assert same(before, weights(model))


def test_the_curve_of_pgd_stays_once_it_was_chosen(panel):
    assert "pgd" not in panel.result.curves
    panel.set(attack="pgd", steps=2)
    curve = panel.result.curves["pgd"]
    panel.set(attack="noise", level=0)
    assert panel.result.curves["pgd"] == curve
    assert torch.equal(panel.result.after.picture, panel.result.before.picture)


@pytest.mark.parametrize("kind", ATTACKS)
def test_the_code_makes_the_same(panel, kind):
    panel.set(attack=kind, picture=7, level=8, steps=5)
    names = {"model": panel._models["model"], "data": DATA}
    exec(panel.shown_code, names)
    assert torch.equal(names["changed"][0], panel.result.after.picture)
    assert torch.equal(names["shares"][0], panel.result.after.shares)


def test_the_summary_for_committed_notebooks_has_no_measured_number(panel):
    text = panel._repr_mimebundle_()["text/plain"]
    assert "%" not in text and "FGSM with ε = 8/255" in text


def test_a_network_without_gradients_is_a_sentence_in_the_panel():
    model = toy_model()
    model.forward = lambda x: torch.nn.Sequential.forward(model, x).detach()
    panel = adversarial_panel({"good": toy_model(), "int8": model}, DATA)
    panel.set(network="int8")
    assert "int8 network" in panel.error
    panel.set(network="good")
    assert panel.error == ""


def test_colour_pictures_and_few_of_them():
    data = toy_data(channels=3)
    panel = adversarial_panel(toy_model(3), data, attack="pgd", level=32, picture=23)
    assert panel.error == "" and panel.result.after.picture.shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("models", "changes", "word"),
    [
        ({}, {}, "at least one"),
        ("first_cnn", {}, "network"),
        (toy_model(), {"attack": "cw"}, "attack"),
        (toy_model(), {"level": "8"}, "level"),
    ],
)
def test_bad_settings_are_sentences(models, changes, word):
    with pytest.raises(CourseError, match=word):
        adversarial_panel(models, DATA, **changes)


def test_a_number_outside_is_a_sentence_in_the_panel(panel):
    for setting, word in (({"picture": 24}, "from 0 to 23"), ({"level": 256}, "8/255")):
        panel.set(**setting)
        assert word in panel.error
        panel.set(picture=0, level=3)
        assert panel.error == "" and panel.result.level == 3
