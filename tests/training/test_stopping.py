from __future__ import annotations

import threading

from tests.toys import same, toy_data, toy_model, weights
from tests.training.toy_fit import STEPS, quick


def test_stop_is_answered_within_one_step():
    stop = threading.Event()
    told = []

    def on_step(step):
        told.append(step)
        if step.step == 6:
            stop.set()

    model = toy_model()
    history = quick(model, epochs=100, stop=stop, on_step=on_step)
    assert len(told) == len(history.step_loss) == 6 and history.epoch == [1]
    assert history.stopped == "stopped after step 6 of 400" and not model.training


def test_stop_before_the_start():
    stop = threading.Event()
    stop.set()
    model = toy_model()
    before = weights(model)
    history = quick(model, epochs=1, stop=stop, precision="auto")
    assert history.step_loss == [] and history.summary().startswith("no epoch finished")
    assert same(before, weights(model))


def test_stop_during_validation():
    stop = threading.Event()
    steps = []
    model = toy_model()

    def stop_while_validating(*_):
        if not model.training and steps:
            stop.set()

    model.register_forward_hook(stop_while_validating)
    data = toy_data(validation=300)  # two batches
    history = quick(model, data=data, epochs=5, stop=stop, on_step=steps.append)
    assert len(history.step_loss) == STEPS and history.epoch == []
