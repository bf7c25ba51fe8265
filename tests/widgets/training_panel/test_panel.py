from __future__ import annotations

import base64

import pytest
import torch

from course_utils.core import CourseError
from course_utils.metrics import evaluate
from course_utils.widgets import background
from course_utils.widgets.training_panel import panel as module
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data()
STEPS = 4  # of one epoch
PATIENCE = 120  # seconds, of which a busy machine needs a few


@pytest.fixture
def panel(make):
    return make()


def begin(panel, held) -> None:
    """Train until the first step, which waits for the gate `held`."""
    held.clear()
    held.arrived.clear()
    panel.train()
    assert held.arrived.wait(PATIENCE)


def test_train_trains_the_model_it_was_given(panel):
    before = weights(panel.model)
    assert panel.history is None and panel.test is None and not panel.finished
    panel.train(wait=True)
    assert panel.finished
    assert panel.error == ""
    assert panel.history.epoch == [1, 2] and len(panel.history.step_loss) == 2 * STEPS
    assert not same(before, weights(panel.model))
    assert panel.summary.startswith("2 epochs done: training accuracy")
    assert panel._bar.value == panel._bar.max == 2 * STEPS


def test_the_view_holds_the_curves_and_the_first_layer(panel):
    start = panel.model[0].weight.detach().clone()
    panel.train(wait=True)
    view = panel.result
    assert view.train_accuracy == tuple(panel.history.train_accuracy)
    assert view.validation_accuracy == tuple(panel.history.validation_accuracy)
    assert len(view.losses) == len(view.positions) == 2 * STEPS
    assert view.positions[-1] == pytest.approx(2.0) and view.epochs == 2
    assert torch.equal(view.layer.start, start)
    assert torch.equal(view.layer.now, panel.model[0].weight.detach())
    with torch.no_grad():
        assert torch.allclose(view.layer.maps, panel.model[0](view.layer.image[None])[0])


def test_the_picture_changes_while_it_trains(drawn, panel, held):
    first = panel.shown_picture
    begin(panel, held)
    assert panel.shown_picture == first
    held.set()
    assert panel.wait(PATIENCE)
    assert panel.shown_picture != first


@pytest.mark.parametrize(("rate", "more"), [(1e-9, 1), (float("inf"), 2 * STEPS)])
def test_a_step_redraws_only_when_a_redraw_is_due(panel, monkeypatch, rate, more):
    drawn = []
    monkeypatch.setattr(background, "REDRAWS_PER_SECOND", rate)
    monkeypatch.setattr(panel, "picture", lambda view: drawn.append(view) or b"picture")
    panel.train(wait=True)
    assert len(drawn) == 2 + more, (
        "at the start, at the end, and when it is due: after the first step"
    )


def test_another_train_is_refused_in_words(panel, held):
    held.clear()
    panel.train()
    run = panel._run
    panel.train()
    assert panel._run is run and "on its way already" in panel.status
    held.set()


def test_stop_then_go_on_ends_with_the_numbers_of_one_training(make, held):
    whole, parts = make(toy_model(dropout=0.3), epochs=3), make(toy_model(dropout=0.3), epochs=3)
    whole.train(wait=True)
    begin(parts, held)
    parts.stop()
    assert parts.wait(PATIENCE)
    assert not parts.running and "continues after epoch 0" in parts.status
    assert parts._bar.value == 1, "it ended before the next step"
    assert parts._train_button.description == "Go on"
    held.set()
    parts.train(wait=True)
    assert parts.error == "" and parts._train_button.description == "Train"
    assert parts.history.step_loss == whole.history.step_loss
    assert same(weights(parts.model), weights(whole.model))


def test_other_settings_after_a_stop(panel, held):
    begin(panel, held)
    panel.stop()
    assert panel.wait(PATIENCE)
    held.set()
    panel.set(learning_rate=0.001, epochs=3, optimizer="SGD with momentum")
    panel.train(wait=True)
    assert panel.error == "" and panel.history.epoch == [1, 2, 3]
    assert set(panel.history.learning_rate) == {0.001}


def test_when_all_is_done_it_says_so_and_more_epochs_go_on(panel):
    panel.train(wait=True)
    panel.train(wait=True)
    assert panel.status.startswith("All 2 epochs are done")
    panel.set(epochs=3)
    assert panel.result.epochs == 3 and panel.summary.startswith("2 of 3 epochs")
    panel.train(wait=True)
    assert panel.history.epoch == [1, 2, 3]
    panel.set(epochs=1)
    assert panel.result.epochs == 3
    panel.train(wait=True)
    assert "More than 1 epochs are done" in panel.status


def test_reset_starts_afresh(panel):
    before, first_picture = weights(panel.model), panel.shown_picture
    panel.train(wait=True)
    losses = panel.history.step_loss
    panel.evaluate()
    panel.reset()
    assert same(before, weights(panel.model))
    assert panel.history is None and panel.test is None and panel.error == ""
    assert not panel.finished
    assert panel.shown_picture == first_picture and panel._bar.value == 0
    panel.train(wait=True)
    assert panel.history.step_loss == losses


def test_the_test_pictures_wait_for_the_end(panel, held):
    with pytest.raises(CourseError, match="for the end"):
        panel.evaluate()
    panel._test_button.click()
    assert "for the end" in panel.status and panel.test is None
    begin(panel, held)
    with pytest.raises(CourseError, match="for the end"):
        panel.evaluate()
    held.set()
    assert panel.wait(PATIENCE)
    assert panel.test is None and "Test accuracy" not in panel.summary
    assert not panel._test_button.disabled
    panel._test_button.click()
    expected = evaluate(panel.model, DATA.test, mean=DATA.mean, std=DATA.std)
    assert panel.test.accuracy == expected.accuracy
    assert str(expected) in panel.summary
    assert panel.evaluate() is panel.test and panel.looks == 1


def test_looking_at_the_test_again_and_again_is_counted(panel):
    panel.train(wait=True)
    panel.evaluate()
    panel.set(epochs=3)
    panel.train(wait=True)
    assert panel.test is None
    panel.evaluate()
    assert panel.looks == 2 and panel.status.startswith("Look number 2")


def test_the_buttons_do_what_they_say(panel, held):
    before = weights(panel.model)
    assert panel._stop_button.disabled and panel._test_button.disabled
    held.clear()
    panel._train_button.click()
    assert panel._train_button.disabled and not panel._stop_button.disabled
    assert held.arrived.wait(PATIENCE)
    panel._stop_button.click()
    assert panel.wait(PATIENCE)
    assert panel._stop_button.disabled and not panel._train_button.disabled
    begin(panel, held)
    panel._reset_button.click()
    assert not panel.running and panel.history is None and panel.error == ""
    assert same(before, weights(panel.model))


def test_a_divergence_is_answered_with_a_smaller_rate(make, held):
    panel = make(optimizer="SGD", learning_rate=1e18)
    panel.train(wait=True)
    assert panel.error.startswith("The loss became")
    assert panel.status == "Ended by an error."
    assert panel.nearest["learning_rate"] <= panel.exception.suggestion
    panel.apply_nearest()
    assert panel.error == "" and panel.settings["learning_rate"] <= 1.0
    panel.set(learning_rate=1e18)
    panel.train(wait=True)
    assert panel.error
    panel.set(learning_rate=0.01)
    begin(panel, held)
    assert panel.error == "", "the next training takes an old error away"
    held.set()
    assert panel.wait(PATIENCE)
    assert panel.error == "" and panel.history.epoch == [1, 2]


def test_what_fit_refuses_is_answered_in_words(make):
    for panel, words in ((make(toy_model(3)), "1×8×8"), (make(label_smooth=0.1), "label_smooth")):
        assert panel.error == ""
        panel.train(wait=True)
        assert words in panel.error and not panel._train_button.disabled


def test_an_exception_in_the_thread_is_shown(panel, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no memory left")

    monkeypatch.setattr(module.ResumableTraining, "train", broken)
    panel.train(wait=True)
    assert panel.error == "Unexpected RuntimeError: no memory left"
    panel.set(epochs=3)
    assert panel.error == ""


def test_another_panel_that_trains_stops_this_one(make, held):
    first, second = make(), make()
    begin(first, held)
    held.arrived.clear()
    second.train()
    assert not first.running and "another panel" in first.status
    assert held.arrived.wait(PATIENCE) and second.running
    held.set()
    assert second.wait(PATIENCE) and second.history.epoch == [1, 2]
    first.train(wait=True)
    assert first.history.epoch == [1, 2]


def test_sliders_of_the_panel_stay_live_while_it_trains(panel, held):
    begin(panel, held)
    panel.set(epochs=9)
    assert panel.error == "" and panel.result.epochs == 2  # of the training under way
    held.set()
    assert panel.wait(PATIENCE)
    assert panel.summary.startswith("2 of 9 epochs")


def test_the_committed_text_has_no_measured_number(make):
    panel = make(goal=0.05)
    text = "Training panel: Sequential, 351 parameters, 60 pictures of Stripes"
    assert panel._repr_mimebundle_()["text/plain"] == text
    panel.train(wait=True)
    assert panel._repr_mimebundle_()["text/plain"] == text + "; 2 epochs done"
    panel.evaluate()
    bundle = panel._repr_mimebundle_()
    assert bundle["text/plain"] == text + "; 2 epochs done; test accuracy at least 5%: yes"
    assert base64.b64decode(bundle["image/png"]) == panel.shown_picture != b""
    panel.goal = 1.01
    assert panel._repr_mimebundle_()["text/plain"].endswith("test accuracy at least 101%: no")
