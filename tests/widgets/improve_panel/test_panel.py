from __future__ import annotations

import base64
import html

import pytest
import torch
from torch import nn

from course_utils.core import CourseError
from course_utils.models import SimpleCNN
from course_utils.widgets.improve_panel.panel import improve_panel
from tests.toys import same, toy_data, toy_model, weights

NOTHING = dict.fromkeys(("out_channels", "kernel_size", "depth", "training"), False)
DENSE = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


def test_improve_shows_every_candidate(panel):
    before = weights(panel.model)
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
    panel.choose(1)
    panel.train(wait=True)
    assert panel.error == "" and same(before, weights(panel.model)), "only copies are trained"


def test_candidates_are_shown_while_the_search_goes_on(panel, gate):
    panel._improve_button.click()
    assert gate.wait(120)
    panel.refresh()
    assert "round 1" in panel.status
    assert panel.running and len(panel.result.tried) == 1
    assert panel._improve_button.disabled and not panel._stop_button.disabled
    panel.choose(1)
    assert panel.error == "" and "<caption>Candidate 1 (round 1" in panel.shown_tables
    panel.train()
    assert "on its way already" in panel.status
    panel._stop_button.click()
    assert panel.wait(120)
    assert not panel._improve_button.disabled and panel._stop_button.disabled
    assert len(panel.result.tried) == 1 and panel.result.stopped
    assert panel.status == "Stopped: the best so far is kept."
    assert panel.network is panel.result.network


def test_a_new_search_forgets_the_old_one(done):
    done.choose(6)
    old = done.result
    done.set(budget=3)
    done.improve(wait=True)
    assert done.result is not old and len(done.result.tried) == 3
    assert done.settings["candidate"] == "best" and done.error == ""


def test_clear_forgets_everything(done, gate):
    done._train_button.click()
    assert done.wait(120) and len(done.side_by_side.trained) == 2
    done.improve()
    assert gate.wait(120)
    done._clear_button.click()
    assert done.result is None and done.network is None and done.side_by_side is None
    assert not done.running and done.error == "" and done.status == ""
    assert done.summary.startswith("No candidate yet.")
    assert [value for _, value in done.controls["candidate"].options] == ["best"]
    assert "<button" not in done.shown_points and done.shown_tables == ""


def test_choose_shows_values_and_code(done):
    one = next(one for one in done.result.tried if one.accuracy is not None)
    before = done.shown_picture
    done.choose(0)
    assert done.shown_picture != before
    assert "as it was given" in done.shown_tables
    with pytest.raises(CourseError, match="'candidate' cannot be 99"):
        done.choose(99)
    done.choose(one.number)
    assert f"<caption>Candidate {one.number} (round 1, epochs: 2)" in done.shown_tables
    assert f"{one.params['learning_rate']:.3g}" in done.shown_tables
    code = done.shown_code
    assert code == done.result.code(one)
    space = {"model": toy_model(), "data": done.data}
    exec(code, space)
    assert space["history"].epoch == [1, 2]


def test_the_list_and_the_points_agree(done):
    done.controls["candidate"].value = 2
    pressed = [b for b in done.shown_points.split("<button")[1:] if 'pressed="true"' in b]
    assert len(pressed) == (done.result.tried[1].accuracy is not None)
    assert all('data-number="2"' in b and 'data-index="3"' in b for b in pressed)
    done.choose("best")
    best = done.result.best.number
    assert f'pressed="true" data-index="{best + 1}" data-number="{best}"' in done.shown_points


def test_a_candidate_without_a_result_says_why(make, monkeypatch):
    # Four steps are too few for the first schedule that is tried.
    monkeypatch.setattr("course_utils.search.rounds.MIN_STEPS", 4)
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
    space = {"model": toy_model(), "data": panel.data}
    exec(panel.shown_code, space)
    panel.improve(wait=True)
    assert [one.params for one in space["found"].tried] == [o.params for o in panel.result.tried]


def test_nothing_that_may_vary_is_answered_in_words(panel):
    panel.set(**NOTHING)
    assert panel.error.startswith("Nothing may vary") and isinstance(panel.exception, CourseError)
    panel.improve(wait=True)
    assert panel.error.startswith("Nothing may vary") and panel.result is None
    panel.apply_nearest()
    assert panel.error == "" and panel.settings["out_channels"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data": toy_data(validation=0)}, "validation"),
        ({"data": toy_data(channels=3)}, "channel"),
        ({"model": DENSE, "training": False}, "convolution"),
        (NOTHING | {"groups": True}, "nothing to vary"),  # one channel comes in: it has no groups
    ],
)
def test_what_cannot_be_searched_is_answered_in_words(make, options, words):
    panel = make(**options)
    panel.improve(wait=True)
    assert words in panel.error and "Traceback" not in panel.error
    assert panel.status == "Ended by an error."
    assert not panel.running and not panel._improve_button.disabled


def test_a_network_without_convolutions_can_be_trained_better(make):
    panel = make(DENSE, budget="3 trials")
    panel.improve(wait=True)
    assert panel.error == "" and "its training" in panel.shown_tables


def test_a_budget_of_nothing_is_answered_in_words(make):
    for budget in (60, "60 s"):
        panel = make(budget=budget)
        panel.set(budget=0)
        panel.improve(wait=True)
        assert "budget='0 " in panel.error and "from 1 up" in panel.error
    with pytest.raises(CourseError, match="budget='soon'"):
        make(budget="soon")


def test_the_committed_text_has_no_measured_number(panel, request):
    name = "Improve panel: may vary: out_channels, kernel_size, depth, training; "
    name += "budget 6 candidates; "
    assert panel._repr_mimebundle_()["text/plain"] == name + "no search yet"
    bundle = request.getfixturevalue("done")._repr_mimebundle_()
    assert bundle["text/plain"] == name + "every candidate is a point"
    assert base64.b64decode(bundle["image/png"]) == panel.shown_picture


def test_the_default_is_the_articles_network():
    panel = improve_panel()
    assert isinstance(panel.model, SimpleCNN) and len(panel.data.train) == 9000
    assert panel.settings["budget"] == 12 and panel.error == ""
    again = improve_panel()
    assert torch.equal(panel.model.conv1.weight, again.model.conv1.weight)
