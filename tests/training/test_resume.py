from __future__ import annotations

import tempfile
import threading
from functools import partial

import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR

from course_utils.core import CourseError, load_checkpoint
from course_utils.training.fit import fit
from course_utils.training.history import Diverged, Step
from course_utils.training.resume import ResumableTraining, Smoother
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data()
STEPS = 4  # of one epoch
SETTINGS = {
    "epochs": 4,
    "batch_size": 16,
    "learning_rate": 0.01,
    "optimizer": partial(SGD, momentum=0.9),
    "scheduler": CosineAnnealingLR,
    "precision": "float32",
}


def make() -> ResumableTraining:
    return ResumableTraining(toy_model(dropout=0.3), DATA, seed=3)


@pytest.fixture
def training() -> ResumableTraining:
    return make()


def go(training: ResumableTraining, *, until: int = 10**6, key: object = 0, **changes: object):
    """Train with SETTINGS and changes, and stop after so many steps of this call."""
    stop, seen = threading.Event(), []

    def on_step(step: Step) -> None:
        seen.append(step)
        if len(seen) == until:
            stop.set()

    return training.train(SETTINGS | changes, key=key, stop=stop, on_step=on_step)


def test_without_a_stop_it_is_fit(training):
    model, told = toy_model(dropout=0.3), []
    history = training.train(SETTINGS, key=0, on_epoch=lambda: told.append(1))
    expected = fit(model, DATA, **SETTINGS, seed=3, progress=False)
    assert same(weights(training.model), weights(model))
    assert history.step_loss == expected.step_loss
    assert history.validation_accuracy == expected.validation_accuracy
    assert training.history.as_dict() == history.as_dict()
    assert training.finished and len(told) == 4


@pytest.mark.parametrize("stops", [[2], [STEPS], [6], [6, 5], [1, 1, 9]])
def test_stopped_and_continued_gives_the_numbers_of_one_go(stops: list[int]):
    whole, parts = make(), make()
    expected = go(whole)
    for until in stops:
        go(parts, until=until)
        assert not parts.finished and parts.planned == 4
    history = go(parts)
    assert same(weights(parts.model), weights(whole.model))
    assert history.step_loss == expected.step_loss
    assert history.train_accuracy == expected.train_accuracy
    assert history.epoch == [1, 2, 3, 4] and history.stopped is None and parts.finished
    assert parts.positions == pytest.approx([(k + 1) / STEPS for k in range(16)])
    assert len(parts.losses) == 16


def test_without_a_place_for_temporary_files_it_says_what_to_set(training, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    before = weights(training.model)
    with pytest.raises(CourseError, match=r"No space left on device.*TMPDIR"):
        go(training)
    assert same(before, weights(training.model)) and training.planned == 0


def test_a_stop_says_where_it_was(training):
    history = go(training, until=6)
    assert "step 6 of 16" in history.stopped and training.epochs_done == 1
    assert len(history.step_loss) == len(training.positions) == 6


def test_with_other_settings_it_goes_on_from_the_last_whole_epoch(training):
    go(training, until=2 * STEPS + 2)
    after_two = load_checkpoint(training._parts[0].file, {"model": dict})["model"]
    steps: list[Step] = []
    history = training.train(SETTINGS | {"learning_rate": 1e-12}, key=1, on_step=steps.append)
    assert [step.epochs for step in steps] == [2] * 2 * STEPS  # two epochs were left
    assert history.epoch == [1, 2, 3, 4] and training.finished
    assert history.learning_rate[-1] < 1e-11 < history.learning_rate[1]
    assert len(history.step_loss) == len(training.positions) == 4 * STEPS
    for name, value in training.model.state_dict().items():
        assert torch.allclose(value, after_two[name], atol=1e-6)


def test_other_settings_before_the_first_epoch_is_over_start_again(training):
    plain = make()
    go(training, until=2)
    go(training, key=1, batch_size=20)
    go(plain, key=1, batch_size=20)
    assert same(weights(training.model), weights(plain.model))
    assert training.history.step_loss == plain.history.step_loss
    assert len(training.positions) == 3 * 4


def test_more_epochs_go_on_and_see_the_pictures_in_another_order(training):
    go(training, epochs=2)
    before = weights(training.model)
    history = go(training, key=1, epochs=3)
    assert history.epoch == [1, 2, 3] and training.planned == 3
    assert training._parts[1].seed != training._parts[0].seed
    assert not same(before, weights(training.model))


@pytest.mark.parametrize(("first", "second"), [(1, 1), (3, 3), (3, 2)])
def test_when_all_epochs_are_done_it_says_so(training, first: int, second: int):
    go(training, epochs=first)
    before = weights(training.model)
    with pytest.raises(CourseError, match=r"done: ask for more epochs to go on, or reset"):
        go(training, key=1, epochs=second)
    assert same(before, weights(training.model)) and training.finished


def test_reset_gives_the_first_numbers_again(training):
    first_weights = weights(training.model)
    first = go(training)
    go(training, key=1, epochs=6)
    training.reset()
    assert same(weights(training.model), first_weights)
    assert training.history is None and training.planned == 0 and not training.finished
    assert training.positions == [] and training.epochs_done == 0
    assert go(training).step_loss == first.step_loss


def test_after_a_divergence_it_goes_on_with_a_smaller_rate(training):
    go(training, epochs=1, scheduler=None)
    with pytest.raises(Diverged) as caught:
        go(training, key=1, epochs=3, learning_rate=1e18, scheduler=None)
    assert caught.value.history.step_loss == training.history.step_loss[STEPS:]
    assert training.epochs_done == 1 and not training.finished
    history = go(training, key=2, epochs=3, learning_rate=1e-3, scheduler=None)
    assert history.epoch == [1, 2, 3]
    assert all(torch.isfinite(value).all() for value in training.model.state_dict().values())
    assert len(history.step_loss) == len(training.positions) == 3 * STEPS


def test_the_curve_does_not_jump_where_an_epoch_is_begun_again(training):
    go(training, until=STEPS + 3)
    kept = training.losses[STEPS - 1]
    go(training)
    raw = training.history.step_loss[STEPS]
    assert min(kept, raw) <= training.losses[STEPS] <= max(kept, raw)


@pytest.mark.parametrize("half_life", [1, 3, 12])
def test_the_smoother_is_a_weighted_mean_and_goes_on_from_one(half_life: float):
    smoother, values = Smoother(half_life), [5.0, 1.0, 2.0, 8.0]
    for count, value in enumerate(values, start=1):
        shares = [0.5 ** ((count - place) / half_life) for place in range(1, count + 1)]
        expected = sum(v * s for v, s in zip(values, shares, strict=False)) / sum(shares)
        assert smoother(value) == pytest.approx(expected)
    assert Smoother(1, mean=4.0)(2.0) == pytest.approx(3.0)
