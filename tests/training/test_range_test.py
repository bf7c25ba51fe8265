from __future__ import annotations

import itertools
import math
import threading
from dataclasses import replace
from functools import cache, partial

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from course_utils.core import CourseError
from course_utils.data import Dataset, ImageSet, load_dataset
from course_utils.models import SimpleCNN
from course_utils.training.fit import fit
from course_utils.training.optimizers import COMPARED_OPTIMIZERS, OPTIMIZERS
from course_utils.training.range_test import KEPT, RangeTest, range_test
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data(160)
SGD = OPTIMIZERS["SGD + momentum"]


def quick(model=None, data=DATA, **arguments) -> RangeTest:
    settings = {"optimizer": SGD, "batch_size": 16, "precision": "float32", "highest": 10.0}
    return range_test(model or toy_model(), data, **(settings | arguments))


@cache
def clothes() -> Dataset:
    """Fashion-MNIST of half the size, which trains in a moment."""
    data = load_dataset("fashion-mnist")
    parts = (
        ImageSet(images.images[..., ::2, ::2], images.labels, images.classes)
        for images in (data.train, data.validation.few(600), data.test.few(10))
    )
    return Dataset(data.name, data.title, *parts)


def network() -> SimpleCNN:
    return SimpleCNN.for_data(clothes(), seed=0)


@pytest.fixture(scope="module")
def on_clothes() -> RangeTest:
    return range_test(network(), clothes(), optimizer=SGD, precision="float32")


def test_rates_rise_by_one_factor_and_the_test_ends_when_the_loss_explodes(on_clothes):
    rates = on_clothes.rates
    assert rates == pytest.approx([1e-5 * 1e5 ** (step / 149) for step in range(len(rates))])
    assert on_clothes.exploded and rates[-1] < 1
    assert len(rates) == len(on_clothes.losses) == len(on_clothes.smoothed) < 150


def test_the_proposal_lies_halfway_between_the_fastest_fall_and_the_blow_up(on_clothes):
    found, smoothed = on_clothes, on_clothes.smoothed
    assert found.steepest < found.suggestion < found.blow_up
    assert found.suggestion == pytest.approx(math.sqrt(found.steepest * found.blow_up), rel=0.05)
    falls = [a - b for a, b in itertools.pairwise(smoothed)]
    assert abs(falls.index(max(falls)) - found.rates.index(found.steepest)) <= 1
    low, lost = min(smoothed), (1 - KEPT) * (smoothed[0] - min(smoothed))
    at = found.rates.index(found.blow_up)
    assert smoothed[at] <= low + lost * 1.05
    assert all(loss > low + lost * 0.95 for loss in smoothed[at + 1 :])


def test_without_an_explosion_all_steps_are_made_and_the_safe_rate_is_proposed():
    found = quick(highest=0.05, steps=90)
    assert not found.exploded and found.blow_up == math.inf and len(found.rates) == 90
    assert found.rates[-1] == pytest.approx(0.05)
    assert found.suggestion == pytest.approx(found.steepest, rel=0.05)


@pytest.mark.parametrize("name", COMPARED_OPTIMIZERS)
def test_the_proposal_beats_ten_times_and_a_hundredth_of_it_on_clothes(name):
    data, optimizer = load_dataset("fashion-mnist"), OPTIMIZERS[name]
    fresh = partial(SimpleCNN.for_data, data, seed=0)
    rate = range_test(fresh(), data, optimizer=optimizer, precision="float32").suggestion
    small = replace(data, train=data.train.few(3000))
    accuracy = {}
    for factor in (0.01, 1, 10):
        history = fit(fresh(), small, epochs=2, optimizer=optimizer, learning_rate=rate * factor,
                      precision="float32", progress=False)  # fmt: skip
        accuracy[factor] = history.validation_accuracy[-1]
    assert accuracy[1] > max(accuracy[0.01], accuracy[10]), (rate, accuracy)
    assert accuracy[1] > 0.74


def test_model_data_and_random_numbers_are_left_alone():
    model = toy_model(dropout=0.3, norm=True).train()
    before, state = weights(model), torch.get_rng_state()
    first = quick(model)
    assert same(before, weights(model)) and torch.equal(state, torch.get_rng_state())
    assert model.training and all(p.grad is None for p in model.parameters())
    assert quick(model) == first
    assert quick(model, seed=1).losses != first.losses


def test_other_optimizers_and_a_data_set_without_validation():
    found = quick(data=toy_data(160, validation=0), optimizer=None)
    assert 1e-4 < found.suggestion < 1
    assert quick(optimizer=partial(torch.optim.SGD, momentum=0.9, nesterov=True)).suggestion > 0


def test_stop_ends_it_early():
    stop, model = threading.Event(), toy_model()

    def stop_in_training(layer, *_) -> None:
        if layer.training:
            stop.set()

    model[1].register_forward_hook(stop_in_training)
    with pytest.raises(CourseError, match=r"stopped after 1 steps.*at least 10"):
        quick(model, stop=stop)


def test_a_stop_that_is_set_before_it_begins_costs_no_step():
    stop, model = threading.Event(), toy_model()
    stop.set()
    model[0].register_forward_hook(lambda *_: pytest.fail("a step"))
    with pytest.raises(CourseError, match="stopped after 0 steps"):
        quick(model, stop=stop, precision="auto")


def changed(change) -> nn.Module:
    """Return a model whose first layer was changed before it was used."""
    model = toy_model()
    change(model[0])
    model(torch.zeros(1, 1, 8, 8))
    return model


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"lowest": 1.0, "highest": 1e-3}, "from 1 to 0.001 does not rise"),
        ({"lowest": 0.1, "highest": 0.1}, "does not rise"),
        ({"lowest": 0.0}, "lowest=0.0"),
        ({"highest": math.inf}, "highest=inf"),
        ({"highest": math.nan}, "highest=nan"),
        ({"steps": 29}, "steps=29: give a whole number from 30 up"),
        ({"batch_size": 2.5}, "batch_size=2.5: give a whole number from 1 up"),
        ({"lowest": 1e-9, "highest": 1e-7}, "did not fall.*go on beyond 1e-07"),
        ({"lowest": 50.0, "highest": 5e4}, "begin (with a lower rate than|below) 50"),
        ({"optimizer": torch.optim.SGD(toy_model().parameters(), lr=1)}, "the optimizer's class"),
        ({"model": nn.Sequential(*toy_model()).requires_grad_(False)}, "nothing to train"),
        ({"model": changed(lambda w: nn.init.constant_(w.weight, math.nan))}, "first loss is nan"),
        ({"model": changed(lambda w: prune.identity(w, "weight"))}, "cannot be copied"),
    ],
)
def test_what_cannot_be_tested(arguments, text):
    with pytest.raises(CourseError, match=text):
        quick(**arguments)
