"""The moving average of the weights, and the best epoch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from course_utils.core import CourseError
from course_utils.metrics import evaluate
from course_utils.training import AveragedWeights, BestEpoch, History, Precision, fit
from tests.toys import same, toy_data, toy_model, weights

SETTINGS = {"batch_size": 20, "progress": False, "precision": Precision(threads=1)}


def test_the_average_follows_the_weights_by_its_formula():
    model = AveragedWeights(nn.Linear(1, 1, bias=False), decay=0.75)
    nn.init.constant_(model.model.weight, 1.0)
    model.average.load_state_dict(model.model.state_dict())
    optimizer = torch.optim.SGD(model.model.parameters(), lr=1.0)
    expected, value = 1.0, 1.0
    for _ in range(5):
        model(torch.ones(1, 1)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        value -= 1.0
        expected = 0.75 * expected + 0.25 * value
    model.eval()
    with torch.no_grad():
        answer = model(torch.ones(1, 1)).item()
    assert model.model.weight.item() == value and answer == pytest.approx(expected)
    assert model(torch.ones(1, 1)).item() == pytest.approx(expected)  # nor does a second look move


@pytest.mark.parametrize("norm", [True, False])
def test_fit_trains_the_network_and_measures_the_average(norm):
    data, model = toy_data(), AveragedWeights(toy_model(norm=norm), decay=0.5)
    plain = toy_model(norm=norm)
    history = fit(model, data, epochs=2, **SETTINGS)
    fit(plain, data, epochs=2, **SETTINGS)
    assert same(weights(model.model), weights(plain))
    assert not same(weights(model.average), weights(plain))
    mine = evaluate(model.average, data.validation, mean=data.mean, std=data.std)
    assert history.validation_accuracy[-1] == mine.accuracy
    fit(model, data, epochs=1, **SETTINGS)  # it can be trained again


@pytest.mark.parametrize("validation", [24, 0])
def test_an_interrupted_training_leads_to_the_same_average(tmp_path, validation):
    class Killed(Exception):
        pass

    def kill(history: History) -> None:
        raise Killed

    data, whole = toy_data(validation=validation), AveragedWeights(toy_model(norm=True))
    fit(whole, data, epochs=3, **SETTINGS)
    arguments = SETTINGS | {"epochs": 3, "checkpoint": tmp_path / "half.pt", "resume": True}
    with pytest.raises(Killed):
        fit(AveragedWeights(toy_model(norm=True)), data, **arguments, on_epoch=kill)
    other = AveragedWeights(toy_model(norm=True))
    fit(other, data, **arguments)
    assert same(weights(whole), weights(other))


def test_gradients_reach_the_trained_weights_in_eval_mode():
    model = AveragedWeights(toy_model()).eval()
    model(torch.randn(2, 1, 8, 8)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.model[-1].parameters())
    assert not any(p.requires_grad for p in model.average.parameters())


@pytest.mark.parametrize("decay", [1, -0.1, "0.9", math.nan])
def test_a_decay_out_of_range(decay):
    with pytest.raises(CourseError, match="decay"):
        AveragedWeights(toy_model(), decay)


def test_a_class_is_not_a_network():
    with pytest.raises(CourseError):
        AveragedWeights(nn.Linear)


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [([0.5, 0.7, 0.7, 0.6], 2), ([0.9, 0.1], 1), ([0.1, 0.2], 2), ([math.nan, math.nan], 2)],
)
def test_the_first_of_the_best_epochs_is_kept(accuracies, best):
    model = nn.Linear(1, 1, bias=False)
    keeper = BestEpoch(model)
    for epoch in range(1, len(accuracies) + 1):
        nn.init.constant_(model.weight, epoch)
        history = History(list(range(1, epoch + 1)), validation_accuracy=accuracies[:epoch])
        keeper(history)
        again = BestEpoch(model)  # as after a new start of the program
        again.load_state_dict(keeper.state_dict())
        keeper = again
    nn.init.constant_(model.weight, -1)
    keeper.restore()
    assert model.weight.item() == keeper.epoch == best and keeper.seen == len(accuracies)


def test_nothing_is_restored_before_the_first_epoch():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 3)
    BestEpoch(model).restore()
    assert model.weight.item() == 3
