from __future__ import annotations

import pytest
import torch

from course_utils.core.errors import CourseError
from course_utils.data.load import load_dataset
from course_utils.metrics.evaluate import evaluate
from course_utils.models import pretrained
from course_utils.models.pretrained import (
    first_cnn_recipe,
    load_pretrained,
    pretrained_card,
)
from course_utils.models.simple import SimpleCNN
from course_utils.training.fit import fit
from tests.toys import same, toy_data, weights


def test_is_as_good_as_its_card_says():
    card, model = pretrained_card("first_cnn"), load_pretrained("first_cnn")
    data = load_dataset(card.data)
    assert card.classes == data.classes and card.total == len(data.test)
    torch.testing.assert_close((card.mean, card.std), (data.mean, data.std))
    result = evaluate(model, data.test, mean=card.mean, std=card.std)
    # Another processor rounds otherwise, which may turn a picture or two.
    assert abs(result.correct - card.correct) <= 4
    assert card.accuracy >= 0.89


def test_a_new_model_every_time_and_no_random_numbers():
    state = torch.get_rng_state()
    first, second = load_pretrained(), load_pretrained()
    assert isinstance(first, SimpleCNN) and not first.training
    assert same(weights(first), weights(second))
    assert first.conv1.weight.data_ptr() != second.conv1.weight.data_ptr()
    assert torch.equal(state, torch.get_rng_state())


def test_the_card_tells_the_recipe_of_today():
    recipe = {key: pretrained._as_text(value) for key, value in first_cnn_recipe().items()}
    assert pretrained_card().recipe == recipe


def test_the_recipe_is_taken_by_fit():
    data = toy_data()
    model = SimpleCNN(1, 3, 8, widths=(4, 4))
    history = fit(model, data, **first_cnn_recipe() | {"batch_size": 10}, progress=False)
    rates = history.step_learning_rate
    assert max(rates) <= 5e-3 and rates[-1] < rates[0] < max(rates)


def test_retraining_writes_what_is_loaded(tmp_path, monkeypatch, capsys):
    data = toy_data()
    monkeypatch.setattr("course_utils.data.load.load_dataset", lambda name: data)
    monkeypatch.setattr(pretrained, "_ASSETS", tmp_path)
    pretrained.main()
    card, model = pretrained_card(), load_pretrained()
    once = weights(model)
    assert capsys.readouterr().out == f"first_cnn: {card.accuracy:.1%} of 24 test pictures\n"
    assert evaluate(model, data.test, mean=card.mean, std=card.std).correct == card.correct
    torch.rand(5)
    pretrained.main()
    assert same(once, weights(load_pretrained()))


def test_unknown_missing_and_damaged(tmp_path, monkeypatch):
    with pytest.raises(CourseError, match="take 'first_cnn'"):
        load_pretrained("resnet")
    monkeypatch.setattr(pretrained, "_ASSETS", tmp_path)
    with pytest.raises(CourseError, match="install the course again, or make it"):
        load_pretrained()
    (tmp_path / "first_cnn.pt").write_bytes(b"PK")
    with pytest.raises(CourseError, match=r"damaged .*install the course again"):
        pretrained_card()
