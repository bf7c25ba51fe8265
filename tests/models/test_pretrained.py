from __future__ import annotations

import copy

import pytest
import torch

from course_utils.core import CourseError
from course_utils.data import load_dataset
from course_utils.metrics import evaluate
from course_utils.models import SimpleCNN, card_of, load_pretrained, pretrained, pretrained_card
from tests.toys import same, weights


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


def test_unknown_missing_and_damaged(tmp_path, monkeypatch):
    for wrong in ("resnet", "fcn_resnet50", "", None, 3, ["first_cnn"]):
        for function in (load_pretrained, pretrained_card):
            with pytest.raises(
                CourseError, match="take 'first_cnn', 'small_resnet', 'ladder_first', "
            ):
                function(wrong)
    with pytest.raises(CourseError, match="did you mean 'efficientnet_lite0'"):
        load_pretrained("EfficientNet_Lite0")
    with pytest.raises(CourseError, match="'first_cnn' is not one of them"):
        load_pretrained("first_cnn", weights="DEFAULT")
    monkeypatch.setattr(pretrained, "_ASSETS", tmp_path)
    with pytest.raises(CourseError, match="install the course again, or train"):
        load_pretrained()
    (tmp_path / "first_cnn.pt").write_bytes(b"PK")
    with pytest.raises(CourseError, match=r"damaged .*install the course again"):
        pretrained_card()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model": {"conv1.bias": torch.full((16,), torch.nan)}}, "conv1.bias .* not finite"),
        ({"model": {"conv1.bias": torch.zeros(17)}}, "another model"),
        ({"arguments": {"no_such": 1}}, "another kind of network"),
    ],
)
def test_a_good_file_of_something_else(tmp_path, monkeypatch, changes, text):
    content = pretrained._read("first_cnn")
    for entry, others in changes.items():
        content[entry] = content[entry] | others
    monkeypatch.setattr(pretrained, "_ASSETS", tmp_path)
    pretrained.save_pretrained("first_cnn", content | {"more": 1})
    assert pretrained_card().classes[0] == "T-shirt/top"
    with pytest.raises(CourseError, match=rf"{text}.*install the course again"):
        load_pretrained()


def test_a_loaded_network_has_its_card_and_other_networks_have_none():
    model = load_pretrained("first_cnn")
    assert card_of(model).classes == pretrained_card("first_cnn").classes
    assert card_of(copy.deepcopy(model)) is None
