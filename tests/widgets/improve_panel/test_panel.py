from __future__ import annotations

import base64
import html
import threading
from importlib import import_module

import pytest
import torch
from torch import nn

import course_utils.search as search
from course_utils.core.errors import CourseError
from course_utils.data.sets import Dataset
from course_utils.models.simple import SimpleCNN
from course_utils.widgets.improve_panel.panel import ImprovePanel, improve_panel
from course_utils.widgets.improve_panel.work import space_of
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data(train=450)  # enough for a schedule to rise and fall in one epoch


@pytest.fixture
def make(panels):
    """Builds panels that search among toys."""

    def build(
        model: nn.Module | None = None, data: Dataset = DATA, **settings: object
    ) -> ImprovePanel:
        first = {"budget": "6 trials", "precision": "float32"}
        panels.append(ImprovePanel(model or toy_model(), data, **(first | settings)))
        return panels[-1]

    return build


@pytest.fixture
def panel(make):
    return make()


@pytest.fixture(scope="module")
def found():
    """The result of one search, for all tests that start after it."""
    model, varied = toy_model(), ["out_channels", "kernel_size", "depth", "training"]
    space = space_of(varied, model, DATA)
    return search.improve(model, DATA, "6 trials", space=space, precision="float32", seed=0)


@pytest.fixture
def done(panel, found, monkeypatch):
    """After a search."""
    with monkeypatch.context() as patch:
        patch.setattr(search, "improve", lambda *_, on_change, **__: on_change(found) or found)
        panel.improve(wait=True)
    assert panel.error == "" and panel.result is found
    return panel


@pytest.fixture
def hold(monkeypatch):
    """Holds a search until it is asked to stop: hold(when) returns an event that it is held."""

    def build(when=lambda found: len(found.tried) == 1):
        held, improve = threading.Event(), search.improve

        def slow(*arguments, on_change, stop, **keywords):
            def wait_then(found):
                on_change(found)
                if found.now and when(found):  # it is "" at the end
                    assert not stop.is_set(), "no further step begins after the stop"
                    held.set()
                    assert stop.wait(120)

            return improve(*arguments, on_change=wait_then, stop=stop, **keywords)

        monkeypatch.setattr(search, "improve", slow)
        return held

    return build


@pytest.fixture
def gate(hold):
    """Holds a search after its first candidate."""
    return hold()


# The search


def test_improve_shows_every_candidate(panel):
    panel.improve(wait=True)
    found = panel.result
    assert panel.error == "" and len(found.tried) == 6 and not found.stopped
    assert panel.status == "Done: 6 candidates. Choose a point, and train it."
    numbers = [value for _, value in panel.controls["candidate"].options]
    assert numbers == ["best", *range(7)]
    shown = [one for one in found.tried if one.accuracy is not None]
    assert panel.shown_points.count("<button") == 1 + len(shown) == len(panel.view.points)
    assert panel.summary.startswith("Validation accuracy against multiply-adds: 6 candidates")
    assert f"the best, number {found.best.number}: {found.best.accuracy:.1%}" in panel.summary
    assert panel._bar.value == 1
    assert panel.network is found.network


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
    assert given is model and data is DATA and budget == "1 s"
    assert (arguments["seed"], arguments["precision"]) == (4, "float32")
    assert panel.result is None and panel.status == "Stopped before anything was found."


def test_what_may_vary_is_what_is_ticked(make):
    panel = make(depth=False, kernel_size=False, training=False, stride=True, budget="3 trials")
    panel.improve(wait=True)
    assert panel.error == ""
    names = {name for one in panel.result.tried for name in one.params}
    assert names == {"0.out_channels", "0.stride"}


def test_the_given_network_is_left_as_it_is(make):
    model = toy_model()
    before = weights(model)
    panel = make(model, budget="3 trials")
    panel.improve(wait=True)
    panel.choose(1)
    panel.train(wait=True)
    assert panel.error == "" and same(before, weights(model))


def test_candidates_are_shown_while_the_search_goes_on(panel, gate):
    panel.improve()
    assert gate.wait(120)
    panel.refresh()
    assert "round 1" in panel.status
    assert panel.running and len(panel.result.tried) == 1
    assert panel._improve_button.disabled and not panel._stop_button.disabled
    panel.choose(1)
    assert panel.error == "" and "<caption>Candidate 1 (round 1" in panel.shown_tables
    panel.train()
    assert "on its way already" in panel.status
    panel.stop()
    assert panel.wait(120)


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
    assert "press Improve first" in panel.status


def test_another_panel_that_works_stops_this_one(panel, make, gate):
    panel.improve()
    assert gate.wait(120)
    other = make(budget="3 trials")
    other.improve()  # waits for the first one's end
    other.stop()  # it is held, too
    assert panel.wait(120) and other.wait(120)
    assert panel.status == "Another panel began to train: the best so far is kept."


def test_a_new_search_forgets_the_old_one(done):
    done.choose(6)
    old = done.result
    done.set(budget=3)
    done.improve(wait=True)
    assert done.result is not old and len(done.result.tried) == 3
    assert done.settings["candidate"] == "best" and done.error == ""


def test_clear_forgets_everything(done, gate):
    done.train(wait=True)
    done.improve()
    assert gate.wait(120)
    done.clear()
    assert done.result is None and done.network is None and done.side_by_side is None
    assert not done.running and done.error == "" and done.status == ""
    assert done.summary.startswith("No candidate yet.")
    assert [value for _, value in done.controls["candidate"].options] == ["best"]
    assert "<button" not in done.shown_points and done.shown_tables == ""


# The candidates


def test_choose_shows_values_and_code(done):
    one = next(one for one in done.result.tried if one.accuracy is not None)
    before = done.shown_picture
    done.choose(0)
    assert done.shown_picture != before
    assert "as it was given" in done.shown_tables
    done.choose(one.number)
    assert f"<caption>Candidate {one.number} (round 1, epochs: 2)" in done.shown_tables
    assert f"{one.params['learning_rate']:.3g}" in done.shown_tables
    code = done.shown_code
    assert code == done.result.code(one)
    space = {"model": toy_model(), "data": DATA}
    exec(code, space)
    assert space["history"].epoch == [1, 2]


def test_the_list_and_the_points_agree(done):
    done.controls["candidate"].value = 2
    pressed = [b for b in done.shown_points.split("<button")[1:] if 'pressed="true"' in b]
    reached = done.result.tried[1].accuracy is not None
    assert len(pressed) == reached
    assert all('data-number="2"' in b and 'data-index="3"' in b for b in pressed)
    done.choose("best")
    assert f'data-number="{done.result.best.number}"' in next(
        b for b in done.shown_points.split("<button") if 'pressed="true"' in b
    )


def test_a_candidate_that_is_not_there_is_answered_in_words(done):
    with pytest.raises(CourseError, match="'candidate' cannot be 99"):
        done.choose(99)


def test_a_candidate_without_a_result_says_why(make):
    # Four steps are too few for the first schedule that is tried.
    panel = make(data=toy_data(train=90), budget="1 trial")
    panel.improve(wait=True)
    (failed,) = panel.result.tried
    assert failed.accuracy is None
    panel.choose(failed.number)
    assert panel.error == "" and f"number {failed.number}: no result" in panel.summary
    assert html.escape(failed.reason) in panel.shown_tables
    panel.train(wait=True)
    assert failed.reason.split(":")[0] in panel.error
    panel.choose("best")
    assert panel.error == ""


def test_the_code_before_a_search_is_the_search(make):
    panel = make(budget="3 trials", training=False, seed=4)
    space = {"model": toy_model(), "data": DATA}
    exec(panel.shown_code, space)
    panel.improve(wait=True)
    assert [one.params for one in space["found"].tried] == [o.params for o in panel.result.tried]


def test_the_code_is_shown_on_request(panel):
    assert panel._code.layout.display == "none"
    panel._code_button.value = True
    assert panel._code.layout.display is None
    assert panel._code_button.description == "Hide the code"


# Train it


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


def test_train_it_before_a_search_is_refused_in_words(panel):
    panel.train(wait=True)
    assert "press Improve first" in panel.status and panel._train_button.disabled


def test_the_given_network_alone_is_not_trained(done):
    done.choose(0)
    done.train(wait=True)
    assert "trained beside it anyway" in done.status


def test_the_test_pictures_wait_until_they_are_asked_for(done):
    with pytest.raises(CourseError, match="test images"):
        done.evaluate()
    done.train(wait=True)
    assert "test accuracy" not in done.shown_tables
    tested = done.evaluate()
    assert tested.keys() == done.side_by_side.trained.keys()
    assert all(one.total == len(DATA.test) for one in tested.values())
    assert "test accuracy" in done.shown_tables and done.error == ""


# Errors


def test_nothing_that_may_vary_is_answered_in_words(panel):
    panel.set(out_channels=False, kernel_size=False, depth=False, training=False)
    assert panel.error.startswith("Nothing may vary") and isinstance(panel.exception, CourseError)
    panel.improve(wait=True)
    assert panel.error.startswith("Nothing may vary") and panel.result is None
    panel.apply_nearest()
    assert panel.error == "" and panel.settings["out_channels"]


def test_a_space_that_is_empty_for_this_network(make):
    panel = make(out_channels=False, kernel_size=False, depth=False, training=False, groups=True)
    panel.improve(wait=True)  # one channel comes in: it has no groups
    assert panel.error.startswith("There is nothing to vary")
    assert panel.status == "Ended by an error."
    panel.set(depth=True)
    assert panel.error == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data": toy_data(validation=0)}, "validation"),
        ({"data": toy_data(channels=3)}, "channel"),
        (
            {"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), "training": False},
            "convolution",
        ),
    ],
)
def test_what_cannot_be_searched_is_answered_in_words(make, options, words):
    panel = make(**options)
    panel.improve(wait=True)
    assert words in panel.error and "Traceback" not in panel.error
    assert not panel.running and not panel._improve_button.disabled


def test_a_network_without_convolutions_can_be_trained_better(make):
    panel = make(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), budget="3 trials")
    panel.improve(wait=True)
    assert panel.error == "" and "its training" in panel.shown_tables


def test_a_budget_of_nothing_is_answered_in_words(make):
    panel = make(budget=60)
    panel.set(budget=0)
    panel.improve(wait=True)
    assert "budget=0" in panel.error
    with pytest.raises(CourseError, match="budget='soon'"):
        make(budget="soon")


def test_an_exception_in_the_thread_is_shown(panel, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no memory left")

    monkeypatch.setattr(search, "improve", broken)
    panel.improve(wait=True)
    assert panel.error == "Unexpected RuntimeError: no memory left"
    monkeypatch.undo()
    panel.improve(wait=True)
    assert panel.error == "" and len(panel.result.tried) == 6


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
    assert "the lamp went out" in panel.error
    panel.choose(1)
    panel.train(wait=True)
    assert panel.error == "" and len(panel.side_by_side.trained) == 2


def test_a_wrong_name_is_refused(make):
    with pytest.raises(CourseError, match="no control 'chanels'"):
        make(chanels=True)


# The rest


def test_the_buttons_do_what_they_say(panel, gate):
    panel._improve_button.click()
    assert gate.wait(120) and panel._improve_button.disabled
    panel._stop_button.click()
    assert panel.wait(120) and panel._stop_button.disabled
    panel.choose(1)
    panel._train_button.click()
    assert panel.wait(120) and len(panel.side_by_side.trained) == 2
    panel._clear_button.click()
    assert panel.result is None and panel.error == ""


def test_the_committed_text_has_no_measured_number(panel):
    name = "Improve panel: may vary: out_channels, kernel_size, depth, training; budget 6 trials; "
    assert panel._repr_mimebundle_()["text/plain"] == name + "no search yet"
    panel.improve(wait=True)
    bundle = panel._repr_mimebundle_()
    assert bundle["text/plain"] == name + "every candidate is a point"
    assert base64.b64decode(bundle["image/png"]) == panel.shown_picture


def test_the_default_is_the_articles_network():
    panel = improve_panel()
    assert isinstance(panel.model, SimpleCNN) and len(panel.data.train) == 9000
    assert panel.settings["budget"] == 60 and panel.error == ""
    again = improve_panel()
    assert torch.equal(panel.model.conv1.weight, again.model.conv1.weight)
