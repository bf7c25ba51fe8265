"""The recipe of the first network, and its file."""

from __future__ import annotations

import torch

from course_utils.experiments import first_cnn
from course_utils.experiments.first_cnn import first_cnn_recipe
from course_utils.metrics.evaluate import evaluate
from course_utils.models import pretrained
from course_utils.models.pretrained import load_pretrained, pretrained_card
from course_utils.models.simple import SimpleCNN
from course_utils.training.fit import fit
from tests.toys import same, toy_data, weights


def test_the_card_has_the_recipe():
    recipe = {key: first_cnn._as_text(value) for key, value in first_cnn_recipe().items()}
    assert pretrained_card().recipe == recipe


def test_the_recipe_is_taken_by_fit():
    data = toy_data()
    model = SimpleCNN(1, 3, 8, widths=(4, 4))
    history = fit(model, data, **first_cnn_recipe() | {"batch_size": 10}, progress=False)
    rates = history.step_learning_rate
    assert max(rates) <= 5e-3 and rates[-1] < rates[0] < max(rates)


def test_retraining_writes_what_is_loaded(tmp_path, monkeypatch, capsys):
    data = toy_data()
    monkeypatch.setattr(first_cnn, "load_dataset", lambda name: data)
    monkeypatch.setattr(pretrained, "_ASSETS", tmp_path)
    first_cnn.main()
    card, model = pretrained_card(), load_pretrained()
    once = weights(model)
    assert f"{card.accuracy:.1%} of 24" in capsys.readouterr().out
    assert evaluate(model, data.test, mean=card.mean, std=card.std).correct == card.correct
    torch.rand(5)
    first_cnn.main()
    assert same(once, weights(load_pretrained()))
