from __future__ import annotations

import threading

import pytest
import torch

from course_utils.core import CourseError
from course_utils.data import Augment, Dataset
from course_utils.metrics import evaluate
from course_utils.training import Regularisation, RegularisationRun, augmented, gaps_as_frame
from course_utils.training import train_regularised as train
from tests.toys import toy_data, toy_model

DATA = toy_data(train=90)


def quick(data: Dataset = DATA, **settings: object) -> RegularisationRun:
    made = Regularisation(**({"pictures": 45, "epochs": 2} | settings))
    return train(made, data, model=lambda rate: toy_model(dropout=rate), precision="float32")


def test_both_accuracies_are_measured_without_augmentation_and_dropout():
    model = toy_model(dropout=0.5)
    settings = Regularisation(dropout=0.5, pad_crop=2, cutout=4, pictures=45, epochs=3)
    run = train(settings, DATA, model=lambda _: model, precision="float32")
    small = DATA.train.few(45)
    mean, std = small.mean_std()
    for part, measured in ((small, run.train_accuracy), (DATA.validation, run.validation_accuracy)):
        assert evaluate(model, part, mean=mean, std=std).accuracy == measured
    assert run.gap == run.train_accuracy - run.validation_accuracy
    assert run.history.epoch == [1, 2, 3]


def test_a_run_can_be_repeated():
    first, second, other = quick(dropout=0.4), quick(dropout=0.4), quick(dropout=0.5)
    assert first.history.step_loss == second.history.step_loss
    assert first.history.step_loss != other.history.step_loss


@pytest.mark.parametrize(
    "method",
    [
        *({"dropout": 0.5}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "optimizer": "AdamW"}),
        *({"l1": 0.01}, {"pad_crop": 1}, {"flip": True}, {"cutout": 3}),
    ],
)
def test_every_method_changes_the_training(method: dict):
    plain = quick(optimizer=method.get("optimizer", "Adam"))
    assert quick(**method).history.step_loss[1:] != plain.history.step_loss[1:]


def test_decoupled_decay_is_weaker_than_the_same_decay_in_adams_gradient():
    """The point of the panel: AdamW's 0.1 hardly moves the weights, Adam's does."""
    sizes = {}
    for optimizer in ("Adam", "AdamW"):
        model = toy_model()
        settings = Regularisation(optimizer=optimizer, weight_decay=0.1, pictures=90, epochs=55)
        train(settings, DATA, model=lambda _, model=model: model, precision="float32")
        sizes[optimizer] = sum(float(p.detach().abs().sum()) for p in model.parameters())
    assert sizes["Adam"] < 0.7 * sizes["AdamW"]


def test_the_default_network_fits_the_pictures():
    data = toy_data(train=30, channels=3, size=12)
    run = train(Regularisation(pictures=30, epochs=1, dropout=0.5), data, precision="float32")
    assert 0 <= run.validation_accuracy <= 1


def test_a_run_that_was_stopped_cannot_be_compared():
    stop = threading.Event()
    settings, stops = Regularisation(pictures=45, epochs=5), lambda _: stop.set()
    model = toy_model()
    assert train(settings, DATA, model=lambda _: model, stop=stop, on_epoch=stops) is None


def test_without_validation_pictures_there_is_no_gap():
    with pytest.raises(CourseError, match=r"validation=0\.1"):
        quick(toy_data(validation=0))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"optimizer": "SGD"}, "Adam or AdamW"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"weight_decay": -1.0}, "weight_decay=-1.0 is negative"),
        ({"l1": float("nan")}, "l1=nan"),
        ({"pictures": 0}, "pictures=0"),
        ({"epochs": 0}, "epochs=0"),
    ],
)
def test_settings_that_make_no_sense(settings: dict, text: str):
    with pytest.raises(CourseError, match=text):
        Regularisation(**settings)


def test_augmentation_and_labels_name_the_methods_in_use():
    assert Regularisation(dropout=0.5).augment is None
    assert Regularisation(flip=True).augment == Augment(flip=True)
    assert Regularisation().label == "no method"
    assert Regularisation(optimizer="AdamW").label == "no method, AdamW"
    all_names = "dropout 0.5 + AdamW decay 0.01 + L1 1e-05 + crop 2 + flip + cutout 8"
    assert Regularisation(0.5, "AdamW", 0.01, 1e-5, 2, True, 8).label == all_names


def test_augmented_shows_what_epochs_would():
    pictures = DATA.train.images[:6]
    plain = augmented(pictures, Regularisation(), copies=2)
    assert torch.equal(plain, torch.stack([pictures, pictures]))
    changed = augmented(pictures, Regularisation(pad_crop=2, flip=True), copies=2)
    assert not torch.equal(changed[0], changed[1])
    with pytest.raises(CourseError, match="cutout=9 is larger"):
        augmented(pictures, Regularisation(cutout=9))


def test_the_table_has_a_row_for_each_run():
    runs = [RegularisationRun(Regularisation(), 1.0, 0.75)]
    runs.append(RegularisationRun(Regularisation(dropout=0.5), 0.9, 0.8))
    frame = gaps_as_frame(runs)
    assert list(frame["methods"]) == ["no method", "dropout 0.5"]
    assert list(frame["gap"]) == pytest.approx([0.25, 0.1])
    assert list(frame["dropout"]) == [0.0, 0.5]
    assert gaps_as_frame([]).empty
