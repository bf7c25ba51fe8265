from __future__ import annotations

import html
import threading
from importlib import import_module

import pytest

import course_utils.search as search
from course_utils.core.errors import CourseError
from tests.toys import toy_model


def test_the_settings_reach_the_search(make, monkeypatch):
    calls = []

    def improve(model, data, budget, **arguments):
        calls.append((model, data, str(budget), arguments))
        raise search.StoppedEarly("It was stopped.")

    monkeypatch.setattr(search, "improve", improve)
    model = toy_model()
    panel = make(model, budget=60, seed=4)
    panel.set(budget=1, epochs=3)
    panel.improve(wait=True)
    ((given, data, budget, arguments),) = calls
    assert given is model and data is panel.data and budget == "1 s"
    assert (arguments["seed"], arguments["precision"]) == (4, "float32")
    assert panel.result is None and panel.status == "Stopped before anything was found."


def test_what_may_vary_is_what_is_ticked(make):
    panel = make(depth=False, kernel_size=False, training=False, stride=True, budget="3 trials")
    panel.improve(wait=True)
    assert panel.error == ""
    names = {name for one in panel.result.tried for name in one.params}
    assert names == {"0.out_channels", "0.stride"}


def test_stop_keeps_the_best_so_far(panel, gate):
    panel.improve()
    assert gate.wait(120)
    panel.stop()
    assert panel.wait(120)
    assert len(panel.result.tried) == 1 and panel.result.stopped
    assert panel.status == "Stopped: the best so far is kept."
    assert panel.network is panel.result.network
    assert not panel._improve_button.disabled and panel._stop_button.disabled


def test_stop_in_the_middle_of_a_training(panel, hold):
    held = hold(lambda found: ": epoch" in found.now)
    panel.improve()
    assert held.wait(120)
    panel.stop()
    assert panel.wait(120)
    assert panel.result.stopped and panel.result.tried == [] and panel.error == ""


def test_a_stop_before_the_first_result_is_no_error(panel, monkeypatch):
    module = import_module("course_utils.search.improve")
    measuring, evaluate = threading.Event(), module.evaluate

    def slow(*arguments, **options):
        measuring.set()
        assert panel._run.stopping.wait(120)
        return evaluate(*arguments, **options)

    monkeypatch.setattr(module, "evaluate", slow)
    panel.improve()
    assert measuring.wait(120)
    panel.stop()
    assert panel.wait(120)
    assert panel.status == "Stopped before anything was found."
    assert panel.error == "" and panel.result is None and panel.network is None
    panel.train()
    assert "press Improve first" in panel.status and panel._train_button.disabled


def test_another_panel_that_works_stops_this_one(panel, make, gate):
    panel.improve()
    assert gate.wait(120)
    other = make(budget="3 trials")
    other.improve()  # waits for the first one's end
    other.stop()  # it is held, too
    assert panel.wait(120) and other.wait(120)
    assert panel.status == "Another panel began to train: the best so far is kept."


def test_train_it_trains_the_candidate_and_the_given_network(done):
    one = done.result.best
    done.train(wait=True)
    assert done.error == "" and done.status == "Trained: the table has both."
    trained = done.side_by_side.trained
    assert list(trained) == [(one.number, one.epochs), (0, one.epochs)]
    table = html.unescape(done.shown_tables)
    for row in trained.values():
        assert f"{row.accuracy:.1%} ({row.interval})" in table and f"{row.parameters:,}" in table
    assert done.network is trained[one.number, one.epochs].model
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


def test_the_test_pictures_wait_until_they_are_asked_for(done):
    with pytest.raises(CourseError, match="test images"):
        done.evaluate()
    done.train(wait=True)
    assert "test accuracy" not in done.shown_tables
    tested = done.evaluate()
    assert tested.keys() == done.side_by_side.trained.keys()
    assert all(one.total == len(done.data.test) for one in tested.values())
    assert "test accuracy" in done.shown_tables and done.error == ""


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
