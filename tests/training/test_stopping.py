from __future__ import annotations

import threading

from tests.toys import same, toy_model, weights
from tests.training import distributed_cases as cases
from tests.training.toy_fit import quick


def test_stop_is_answered_within_one_step(tmp_path):
    found = cases.stopped(tmp_path)
    assert found["told"] == [1, 2, 3, 4, 5, 6]
    history = found["history"]
    assert history["epoch"] == [1] and len(history["step_loss"]) == 6
    assert history["stopped"] == "stopped after step 6 of 36"


def test_stop_before_the_start():
    stop = threading.Event()
    stop.set()
    model = toy_model()
    before = weights(model)
    history = quick(model, epochs=1, stop=stop, precision="auto")
    assert history.step_loss == [] and history.summary().startswith("no epoch finished")
    assert same(before, weights(model)) and not model.training


def test_stop_during_validation(tmp_path):
    history = cases.stopped_in_validation(tmp_path)["history"]
    assert len(history["step_loss"]) == 4 and history["epoch"] == []
