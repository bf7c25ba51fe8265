from __future__ import annotations

import functools
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.core import CourseError
from course_utils.data import Augment
from course_utils.training import Diverged
from course_utils.training.own_loss import name_of, tensors_in
from course_utils.training.precision import Precision
from course_utils.training.probe import SlowSteps, fastest_precision
from tests.toys import same, toy_data, toy_model, weights
from tests.training.toy_fit import DATA, Coder, quick, redraw


def cross_entropy(model, images, labels):
    return F.cross_entropy(model(images), labels)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float32, channels_last"])
def test_cross_entropy_as_own_loss_has_the_very_numbers_of_the_built_in_one(precision):
    settings = {"epochs": 2, "l1": 1e-3, "augment": Augment(flip=True), "precision": precision}
    models = toy_model(dropout=0.5, norm=True), toy_model(dropout=0.5, norm=True)
    plain = quick(models[0], **settings)
    own = quick(models[1], **settings, loss=cross_entropy)
    for name in ("step_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
        assert getattr(own, name) == getattr(plain, name)
    assert same(*map(weights, models))


def test_the_model_of_the_loss_stands_for_the_model():
    seen = []

    def look(model, images, labels):
        logits = model(images)
        seen.append((model.training, logits.dtype, model[0].out_channels, len(labels)))
        assert {id(p) for p in model.parameters()} == own
        return F.cross_entropy(logits, labels)

    model = toy_model()
    own = {id(p) for p in model.parameters()}
    quick(model, epochs=1, precision="bfloat16", loss=look)
    assert seen == [(True, torch.float32, 6, n) for n in (16, 16, 16, 12)]


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_a_model_that_does_not_classify_is_validated_by_the_loss(precision):
    model, data = Coder(), toy_data()
    history = quick(
        model, data=data, epochs=3, learning_rate=0.05, loss=redraw, precision=precision
    )
    pictures = data.normalise(data.validation.images)
    with torch.no_grad():
        wanted = F.mse_loss(model(pictures)["picture"][0], pictures).item()
    assert history.validation_loss[-1] == pytest.approx(wanted, rel=1e-5)
    assert history.train_loss[-1] < history.train_loss[0]
    assert all(a != a for a in history.train_accuracy + history.validation_accuracy)
    assert "accuracy" not in history.summary() and "validation loss" in history.summary()


def test_several_calls_and_more_arguments_are_the_readers_own_affair():
    def twice(model, images, labels):
        return F.cross_entropy(model(images) + model(images.flip(3)), labels)

    history = quick(toy_model(), epochs=8, learning_rate=0.01, loss=twice)
    assert history.train_loss[-1] < 0.8 * history.train_loss[0]


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda m, x, y: 0.5, "float, but a tensor"),
        (lambda m, x, y: F.cross_entropy(m(x), y).item(), "float, but a tensor"),
        (lambda m, x, y: m(x), r"shape \(16, 3\).*\.mean\(\)"),
        (lambda m, x, y: F.cross_entropy(m(x), y, reduction="none"), r"shape \(16,\)"),
        (lambda m, x, y: (m(x).argmax(1) == y).sum(), "int64"),
        (lambda m, x, y: F.cross_entropy(m(x).detach(), y), "No gradient goes from the loss"),
        (lambda m, x, y: m(x[:, :, :4]).mean(), "cannot go on.*shapes cannot be multiplied"),
        ("mse", "loss='mse': give a function"),
        (nn.CrossEntropyLoss, "loss=<class.*: give a function"),
    ],
)
def test_a_loss_that_cannot_be_is_a_sentence(loss, words):
    with pytest.raises(CourseError, match=words):
        quick(toy_model(), epochs=1, loss=loss)


def test_label_smoothing_belongs_to_the_built_in_loss():
    with pytest.raises(CourseError, match=r"label_smoothing=.* changes the cross-entropy"):
        quick(toy_model(), epochs=1, loss=cross_entropy, label_smoothing=0.1)


def test_errors_of_the_loss_leave_unchanged_and_a_model_that_does_not_fit_is_named():
    def broken(model, images, labels):
        raise ValueError("my own")

    with pytest.raises(ValueError, match=r"^my own$"):
        quick(toy_model(), epochs=1, loss=broken)
    with pytest.raises(CourseError, match="in_channels=1"):
        quick(toy_model(3), epochs=1, loss=cross_entropy)
    with pytest.raises(Diverged):
        quick(toy_model(), epochs=1, loss=lambda m, x, y: m(x).mean() * float("nan"))


@dataclass
class Scaled:
    scale: float

    def __call__(self, model, images, labels):
        return self.scale * F.cross_entropy(model(images), labels)


def other_name(model, images, labels):
    return F.cross_entropy(model(images), labels)


@pytest.mark.parametrize(
    ("first", "second", "same_loss"),
    [
        (cross_entropy, cross_entropy, True),
        (Scaled(2.0), Scaled(2.0), True),
        (functools.partial(Scaled.__call__, Scaled(2.0)), Scaled(2.0), False),
        (Scaled(2.0), Scaled(3.0), False),
        (cross_entropy, other_name, False),
        (cross_entropy, None, False),
        (None, cross_entropy, False),
        (lambda m, x, y: m(x).mean(), lambda m, x, y: m(x).mean(), True),
        (lambda m, x, y: 2 * m(x).mean(), lambda m, x, y: 3 * m(x).mean(), False),
        (lambda m, x, y: m(x).mean(), lambda m, x, y: m(x).sum(), False),
    ],
)
def test_a_checkpoint_of_another_loss_is_another_training(tmp_path, first, second, same_loss):
    path, settings = tmp_path / "a.pt", {"optimizer": torch.optim.SGD, "learning_rate": 0.01}
    quick(toy_model(), epochs=1, loss=first, checkpoint=path, **settings)
    again = functools.partial(quick, toy_model(), checkpoint=path, resume=True, **settings)
    if same_loss:
        whole = quick(toy_model(), epochs=2, loss=second, **settings)
        assert again(epochs=2, loss=second).step_loss == whole.step_loss
    else:
        with pytest.raises(CourseError, match="loss"):
            again(epochs=2, loss=second)


def test_the_name_of_a_loss_has_no_address_and_no_line():
    def made():
        return lambda m, x, y: next(F.mse_loss(m(x), one) for one in x)

    partial = functools.partial(made(), y=made)
    assert name_of(made()) == name_of(made()) and " at 0x" not in name_of(partial)


def test_a_slow_teacher_is_not_taken_for_a_busy_machine():
    probed = Precision(seconds={"float32": 0.01})
    steps = [0.3] * 8 + [2.0] * 4
    plain, own = SlowSteps(probed), SlowSteps(probed, own_loss=True)
    assert [plain.seen(s) for s in steps[:4]] == [False] * 3 + [True]
    assert [own.seen(s) for s in steps] == [False] * 11 + [True]


def test_probe_times_a_model_that_returns_anything():
    images = DATA.normalise(DATA.train.images[:8])
    assert fastest_precision(Coder(), images).seconds
    assert len([*tensors_in({"a": [images, (images, "b")], "c": None})]) == 2
