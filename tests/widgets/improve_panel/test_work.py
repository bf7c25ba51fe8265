from __future__ import annotations

import html
import threading

import pytest

import course_utils.search as search
from course_utils.core import CourseError
from tests.toys import toy_model


def test_the_settings_reach_the_search(make, monkeypatch):
    calls = []

    def improve(model, data, budget, **arguments):
        calls.append((model, data, str(budget), arguments))
        raise search.StoppedEarly("It was stopped.")

    monkeypatch.setattr(search, "improve", improve)
    model = toy_model()
    panel = make(model, budget="60 trials, 2 min", seed=4)
    panel.set(budget=1, epochs=3)
    panel.improve(wait=True)
    ((given, data, budget, arguments),) = calls
    assert given is model and data is panel.data and budget == "1 candidate, 120 s"
    assert (arguments["seed"], arguments["precision"]) == (4, "float32")
    assert panel.status == "Stopped before anything was found."
    assert panel.error == "" and panel.result is None and panel.network is None
    panel.train()
    assert "press Improve first" in panel.status and panel._train_button.disabled


def test_what_may_vary_is_what_is_ticked(make):
    panel = make(depth=False, kernel_size=False, training=False, stride=True, budget="3 trials")
    panel.improve(wait=True)
    assert panel.error == ""
    names = {name for one in panel.result.tried for name in one.params}
    assert names == {"0.out_channels", "0.stride"}


def test_train_it_trains_the_candidate_and_the_given_network(done):
    one = done.result.best
    with pytest.raises(CourseError, match="test images"):
        done.evaluate()
    done.train(wait=True)
    assert done.error == "" and done.status == "Trained: the table has both."
    trained = done.side_by_side.trained
    assert list(trained) == [(one.number, one.epochs), (0, one.epochs)]
    table = html.unescape(done.shown_tables)
    for row in trained.values():
        assert f"{row.accuracy:.1%} ({row.interval})" in table and f"{row.parameters:,}" in table
    assert done.network is trained[one.number, one.epochs].model
    assert "test accuracy" not in done.shown_tables
    tested = done.evaluate()
    assert tested.keys() == trained.keys() and "test accuracy" in done.shown_tables
    assert all(one.total == len(done.data.test) for one in tested.values())
    done.train(wait=True)
    assert "done already" in done.status
    done.choose(0)
    done.train(wait=True)
    assert "trained beside it anyway" in done.status


def test_train_it_for_other_epochs(done):
    done.set(epochs=3)
    done.choose(1)
    done.train(wait=True)
    assert list(done.side_by_side.trained) == [(1, 3), (0, 3)]
    done.choose(2)
    done.train(wait=True)
    assert list(done.side_by_side.trained)[2:] == [(2, 3)], "the given network is trained once"
    done.choose(1)
    done.train(wait=True)
    assert done.network is done.side_by_side.trained[1, 3].model


def test_train_it_can_be_stopped(done, monkeypatch):
    steps, held = [], threading.Event()

    def held_step(progress):
        steps.append(progress)
        held.set()
        assert done._run.stopping.wait(120)

    monkeypatch.setattr(done, "_take_progress", held_step)
    done.train()
    assert held.wait(120)
    done.stop()
    assert done.wait(120)
    assert len(steps) == 1, "no further step begins after the stop"
    assert ": epoch 1 of" in steps[0].text and 0 < steps[0].share < 1
    assert done.status.startswith("Stopped") and done.side_by_side.trained == {}
    assert done.network is done.result.network and done.error == ""


def test_a_search_that_breaks_leaves_its_candidates(panel, monkeypatch):
    improve = search.improve

    def breaks(*arguments, on_change, **keywords):
        def then(found):
            on_change(found)
            if len(found.tried) == 2:
                raise RuntimeError("the lamp went out")

        return improve(*arguments, on_change=then, **keywords)

    monkeypatch.setattr(search, "improve", breaks)
    panel.improve(wait=True)
    assert panel.error == "Unexpected RuntimeError: the lamp went out"
    panel.choose(1)
    panel.train(wait=True)
    assert panel.error == "" and len(panel.side_by_side.trained) == 2
