"""The recipes of the course's own networks, and their files."""

from __future__ import annotations

import pytest

from course_utils.core import CourseError
from course_utils.experiments import first_cnn, first_cnn_recipe, small_resnet, small_resnet_recipe
from course_utils.experiments.recipes import recipe_as_text
from course_utils.metrics import evaluate
from course_utils.models import SimpleCNN, SmallResNet, load_pretrained, pretrained, pretrained_card
from course_utils.training import fit
from tests.toys import same, toy_data, weights

RECIPES = {"first_cnn": first_cnn_recipe, "small_resnet": small_resnet_recipe}
MODELS = {"first_cnn": SimpleCNN, "small_resnet": SmallResNet}


@pytest.mark.parametrize("name", RECIPES)
def test_the_card_has_the_recipe(name):
    assert pretrained_card(name).recipe == recipe_as_text(RECIPES[name]())


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_is_taken_by_fit(name):
    recipe = RECIPES[name]()
    model = MODELS[name](1, 3, image_size=8, widths=(4, 4))
    few = {"batch_size": 10, "epochs": 4}
    history = fit(model, toy_data(), **recipe | few, progress=False)
    rates = history.step_learning_rate
    assert max(rates) <= recipe["learning_rate"] and rates[-1] < rates[0] < max(rates)


@pytest.mark.parametrize("module", [first_cnn, small_resnet])
def test_retraining_writes_what_is_loaded(tmp_path, monkeypatch, capsys, module):
    data, name = toy_data(), module.__name__.rpartition(".")[2]
    few = RECIPES[name]() | {"epochs": 4}
    monkeypatch.setattr(module, f"{name}_recipe", lambda: few)
    monkeypatch.setattr(module, "load_dataset", lambda name: data)
    monkeypatch.setattr(pretrained, "_ASSETS", tmp_path)
    module.main()
    card, model = pretrained_card(name), load_pretrained(name)
    once = weights(model)
    assert f"{name}: {card.accuracy:.1%} of 24" in capsys.readouterr().out
    assert evaluate(model, data.test, mean=card.mean, std=card.std).correct == card.correct
    assert card.recipe == recipe_as_text(few) and isinstance(model, MODELS[name])
    module.main()
    assert same(once, weights(load_pretrained(name)))
    with pytest.raises(CourseError, match="There is no file"):
        load_pretrained(next(other for other in RECIPES if other != name))
