from __future__ import annotations

import math

import pytest
import torch

from course_utils.core import CourseError
from course_utils.training import EarlyStopping, History
from tests.toys import same, toy_data, toy_model, weights
from tests.training.toy_fit import quick


def watch(values: list[float], early: EarlyStopping) -> list[dict[str, torch.Tensor]]:
    """Pass one epoch after the other, each with its own weights; return the weights."""
    seen = []
    for count in range(1, len(values) + 1):
        with torch.no_grad():
            for parameter in early.model.parameters():
                parameter.fill_(count)
        seen.append(weights(early.model))
        history = History(epoch=list(range(1, count + 1)))
        setattr(history, early.monitor, values[:count])
        early(history)
    return seen


@pytest.mark.parametrize(
    ("values", "patience", "best", "last"),
    [
        ([3.0, 2.0, 1.0], 1, 3, None),
        ([3.0, 2.0, 2.5, 1.0], 1, 2, 3),
        ([3.0, 2.0, 2.5, 1.0], 2, 4, None),
        ([3.0, 2.0, 2.5, 2.5, 1.0], 2, 2, 4),
        ([1.0, 1.0, 1.0], 2, 1, 3),  # an equal result is not a better one
        ([1.0, 2.0, 3.0, 0.5], 3, 4, None),
    ],
)
@pytest.mark.parametrize("monitor", ["validation_loss", "validation_accuracy"])
def test_stops_after_its_patience_and_restores_the_best_weights(
    values, patience, best, last, monitor
):
    if monitor == "validation_accuracy":
        values = [1 - value / 10 for value in values]
    early = EarlyStopping(toy_model(), patience, monitor=monitor)
    seen = watch(values, early)
    assert (early.best_epoch, early.last_epoch) == (best, last)
    assert early.stop.is_set() == (last is not None)
    early.restore()
    assert same(weights(early.model), seen[best - 1])


def test_ends_a_training_of_fit():
    model = toy_model()
    early = EarlyStopping(model, patience=1, monitor="validation_accuracy")
    history = quick(model, epochs=40, learning_rate=0.02, stop=early.stop, on_epoch=early)
    assert history.stopped and len(history.epoch) == early.last_epoch < 40
    best = max(history.validation_accuracy)
    assert history.validation_accuracy[early.best_epoch - 1] == best
    whole = toy_model()
    quick(whole, epochs=early.best_epoch, learning_rate=0.02)
    early.restore()
    assert same(weights(model), weights(whole)), "the best weights are those after that epoch"


def test_after_a_resumption_the_best_weights_may_be_unknown():
    early = EarlyStopping(toy_model(), patience=2)
    early(History(epoch=[1, 2, 3], validation_loss=[0.5, 1.0, 1.0]))
    assert (early.best_epoch, early.last_epoch) == (1, 3)
    with pytest.raises(CourseError, match="no best weights"):
        early.restore()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({"patience": 0}, "patience=0"), ({"monitor": "train_loss"}, "'train_loss' to watch")],
)
def test_settings_that_make_no_sense(arguments, text):
    with pytest.raises(CourseError, match=text):
        EarlyStopping(toy_model(), **arguments)


def test_needs_validation_images():
    model = toy_model()
    with pytest.raises(CourseError, match=r"epoch 1 is not a number.*validation=0\.1"):
        quick(model, data=toy_data(validation=0), epochs=2, on_epoch=EarlyStopping(model))
    with pytest.raises(CourseError, match="not a number"):
        watch([math.nan], EarlyStopping(model))
