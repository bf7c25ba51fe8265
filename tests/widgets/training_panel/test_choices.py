from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from course_utils.models import SimpleCNN
from course_utils.widgets import training_panel
from course_utils.widgets.training_panel.controls import OFFERED_OPTIMIZERS, OFFERED_SHAPES
from tests.toys import same, toy_data, toy_model, weights


@pytest.mark.parametrize("name", ["epochs", "label_smoothing", "learning_rate", "batch_size"])
def test_both_ends_of_every_slider(make, name):
    slider = make().controls[name]
    values = [value for _, value in slider.options] if hasattr(slider, "options") else []
    for end in (values[0], values[-1]) if values else (slider.min, slider.max):
        panel = make(**{name: end})
        panel.train(wait=True)
        assert panel.settings[name] == end
        if not (name == "learning_rate" and "The loss became" in panel.error):
            assert panel.error == "" and panel.history.epoch[-1] == panel.settings["epochs"]


def test_every_optimizer_schedule_and_augmentation_trains(make):
    for optimizer, schedule in itertools.product(OFFERED_OPTIMIZERS, OFFERED_SHAPES):
        panel = make(epochs=1)
        panel.set(optimizer=optimizer, schedule=schedule, augment=True)
        panel.train(wait=True)
        assert panel.error == "" and panel.history.epoch == [1]


def test_without_validation_pictures(make):
    panel = make(data=toy_data(validation=0))
    panel.train(wait=True)
    assert panel.error == "" and panel.result.validation_accuracy == ()
    assert "validation" not in panel.summary and not math.isnan(panel.result.train_accuracy[0])


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(64, 3)),
        nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)),
        nn.Sequential(nn.Conv2d(1, 40, 7), nn.Flatten(), nn.Linear(160, 3)),
    ],
)
def test_any_network_can_be_shown(make, model, drawn):
    panel = make(model, epochs=1)
    panel.train(wait=True)
    assert panel.error == "" and panel.history.epoch == [1]


def test_colour_pictures(make, drawn):
    panel = make(toy_model(channels=3), toy_data(channels=3), epochs=1)
    panel.train(wait=True)
    assert panel.error == "" and panel.result.layer.now.shape == (6, 3, 3, 3)


def test_the_default_is_the_first_network_with_its_recipe(panels):
    panels += [training_panel(), training_panel(epochs=1, scheduler="cosine")]
    panel, changed = panels
    assert panel.error == "" and panel.goal == 0.88
    assert isinstance(panel.model, SimpleCNN) and len(panel.data.train) == 9000
    settings = panel.settings
    assert (settings["epochs"], settings["schedule"]) == (8, "one cycle")
    assert (changed.settings["epochs"], changed.settings["schedule"]) == (1, "cosine")
    assert same(weights(panel.model), weights(changed.model))
    torch.manual_seed(0)
    assert same(weights(panel.model), weights(SimpleCNN()))


def test_the_default_network_fits_other_pictures(panels):
    panels.append(training_panel(data=toy_data(channels=3), epochs=1))
    assert panels[0].goal is None
    panels[0].train(wait=True)
    assert panels[0].error == ""
