from __future__ import annotations

import pytest

from course_utils.core.errors import CourseError
from course_utils.training.history import Diverged, History


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
    error = Diverged(float("inf"), 4, 1, history)
    assert isinstance(error, CourseError)
    assert str(error) == (
        "The loss became inf in step 4 (epoch 1), at a learning rate of 0.2: the steps are too "
        "large. Try a learning rate of 0.3 instead of 3."
    )


@pytest.mark.parametrize(("rate", "suggestion"), [(10.0, 1.0), (0.37, 0.04), (1e-3, 1e-4)])
def test_diverged_suggests_a_tenth(rate, suggestion):
    error = Diverged(float("nan"), 3, 1, History(step_learning_rate=[rate, rate]))
    assert error.suggestion == suggestion and error.learning_rate == rate
    assert f"Try a learning rate of {suggestion:g}." in str(error)
