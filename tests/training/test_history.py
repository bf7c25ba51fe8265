from __future__ import annotations

import math

import pytest
import torch

from course_utils.training import loop
from course_utils.training.history import Diverged, History, Recorder
from tests.toys import toy_model
from tests.training.toy_fit import quick


def test_summary():
    history = History([1, 2], [0.9, 0.456], [0.7, 0.841], [0.8, 0.43], [0.7, 0.853])
    assert history.summary() == (
        "2 epochs: training loss 0.46, accuracy 84.1%; validation loss 0.43, accuracy 85.3%"
    )
    history.stopped = "stopped after step 9 of 12"
    assert history.summary().endswith("85.3% (stopped after step 9 of 12)")
    assert History().summary() == "no epoch finished"
    nan = float("nan")
    assert History([1], [0.9], [0.7], [nan], [nan]).summary() == (
        "1 epoch: training loss 0.90, accuracy 70.0%"
    )


def test_diverged_names_the_peak_of_a_schedule():
    history = History(step_loss=[2.0, 3.0, 4.0], step_learning_rate=[0.01, 3.0, 0.2, 0.2])
    assert str(Diverged(float("inf"), 4, 1, history)) == (
        "The loss became inf in step 4 (epoch 1), at a learning rate of 0.2: the steps are too "
        "large. Try a learning rate of 0.3 instead of 3."
    )


def test_divergence_names_the_learning_rate_and_a_smaller_one():
    model = toy_model()
    with pytest.raises(Diverged, match=r"learning rate of 1e\+08\.") as caught:
        quick(model, epochs=20, optimizer=torch.optim.SGD, learning_rate=1e9)
    error = caught.value
    assert error.learning_rate == 1e9 and error.suggestion == 1e8 and not model.training
    assert error.step == len(error.history.step_loss) + 1 > 1
    assert all(map(math.isfinite, error.history.step_loss))
    assert Diverged(math.nan, 3, 1, History(step_learning_rate=[0.37] * 2)).suggestion == 0.04


def test_losses_looked_at_now_and_then_are_the_same(monkeypatch):
    """On a GPU each look would make it wait, so there are fewer."""
    eager = quick(toy_model(), epochs=2)

    monkeypatch.setattr(loop, "Recorder", lambda *args: Recorder(*args[:3], look_every=3))
    history = quick(toy_model(), epochs=2)
    assert history.step_loss == eager.step_loss and history.train_loss == eager.train_loss
    with pytest.raises(Diverged) as caught:
        quick(toy_model(), epochs=9, optimizer=torch.optim.SGD, learning_rate=1e9)
    assert caught.value.step == len(caught.value.history.step_loss) + 1
    assert caught.value.learning_rate == 1e9


def test_weights_that_are_nan_from_the_start():
    model = toy_model()
    torch.nn.init.constant_(model[6].bias, math.nan)
    with pytest.raises(Diverged, match="very first loss is nan"):
        quick(model, epochs=1)


def test_history_is_its_own_dictionary():
    history = quick(toy_model(), epochs=1)
    assert History(**history.as_dict()) == history
