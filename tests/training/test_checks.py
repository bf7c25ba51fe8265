"""Wrong arguments of `fit`, and networks that cannot be trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from course_utils.core import CourseError
from course_utils.models import SimpleCNN
from course_utils.search import improve
from course_utils.training import (
    ResumableTraining,
    Schedule,
    descend,
    fit,
    range_test,
    schedule_curve,
)
from tests.toys import same, toy_data, toy_model, weights
from tests.training.toy_fit import DATA, quick

IMAGES = DATA.train.images


@pytest.mark.parametrize(
    ("model", "data", "text"),
    [
        (SimpleCNN, DATA, r"SimpleCNN is a class.*SimpleCNN\(\)"),
        (None, DATA, "must be a network .*not None"),
        (weights(toy_model()), DATA, "not a dict"),
        (dict, DATA, "not the class dict"),
        (lambda images: images, DATA, "not a function"),
        (toy_model(), IMAGES, "must be a Dataset .* not a Tensor"),
        (toy_model(), DATA.train, "not an ImageSet"),
        (toy_model(), "fashion-mnist", r"give load_dataset\('fashion-mnist'\)"),
        (toy_model(), None, "not None"),
        (toy_model(), (IMAGES, DATA.train.labels), "not a tuple"),
    ],
)
@pytest.mark.parametrize("entry", [fit, range_test, improve, ResumableTraining])
def test_a_model_or_data_of_another_kind(entry, model, data, text):
    with pytest.raises(CourseError, match=text):
        entry(model, data)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("epochs", "3"), ("epochs", 1.5), ("epochs", None), ("batch_size", None)),
        *(("label_smoothing", "0.1"), ("label_smoothing", float("nan")), ("l1", None)),
        *(("l1", float("inf")), ("augment", "flip"), ("augment", nn.Identity()), ("seed", -1)),
        *(("seed", 1.5), ("seed", None), ("stop", True), ("on_step", 3), ("on_epoch", "x")),
        *(("precision", None), ("precision", torch.float16), ("device", "abc"), ("scheduler", 3)),
        *(("optimizer", "SGD"), ("optimizer", 3), ("scheduler", "cosine"), ("checkpoint", 5)),
        *(("learning_rate", "0.1"), ("learning_rate", -0.1), ("learning_rate", float("nan"))),
        *(("learning_rate", float("inf")), ("learning_rate", torch.ones(2)), ("device", None)),
        *(("device", 1.5), ("learning_rate", True)),
    ],
)
def test_an_argument_of_another_kind_is_one_sentence_and_nothing_changes(name, wrong):
    model = toy_model(norm=True)
    before = weights(model)
    with pytest.raises(CourseError, match=name):
        quick(model, **{"epochs": 1, name: wrong})
    assert same(before, weights(model))


@pytest.mark.parametrize("wrong", [None, "0.1", [0.1], True, torch.ones(2)])
def test_a_rate_that_is_not_a_number_is_refused_by_every_entry(wrong):
    for use in (
        lambda: range_test(toy_model(), DATA, lowest=wrong),
        lambda: range_test(toy_model(), DATA, highest=wrong),
        lambda: schedule_curve(Schedule(), 3, peak=wrong),
        lambda: descend(torch.optim.SGD, wrong),
    ):
        with pytest.raises(CourseError, match="positive number"):
            use()
    for use, text in (
        (lambda: schedule_curve(wrong, 3), "schedule"),
        (lambda: descend(wrong, 0.1), "optimizer cannot be made"),
        (lambda: range_test(toy_model(), DATA, stop=[wrong]), "threading.Event"),
    ):
        with pytest.raises(CourseError, match=text):
            use()


class Odd(nn.Module):
    """A network for the stripes whose `forward` ends in `end`."""

    def __init__(self, end, *more: nn.Module) -> None:
        super().__init__()
        self.end, self.body = end, toy_model()
        self.more = nn.ModuleList(more)

    def forward(self, images):
        if self.end == "no_grad":
            with torch.no_grad():
                return self.body(images)
        return self.end(self, self.body(images))


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (lambda _, y: y.detach(), "No gradient reaches"),
        ("no_grad", "No gradient reaches"),
        (lambda _, y: y.data * 2, "No gradient reaches"),
        (lambda _, y: torch.from_numpy(y.detach().numpy()), "No gradient reaches"),
        (lambda _, y: nn.functional.one_hot(y.argmax(1), 3).float(), "No gradient reaches"),
        (lambda m, y: y.detach() if m.training else y, "No gradient reaches"),
        (lambda m, y: (y, y) if m.training else y, "tuple"),
        (lambda m, y: y[:, :2] if m.training else y, "2 scores"),
        (
            lambda m, y: m.missing(y) if m.training else m.more[0](y),
            "cannot go on .*ValueError: Expected",
        ),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_a_network_that_cannot_learn(end, text, precision):
    def missing(_):
        raise ValueError("Expected something")

    model = Odd(end, nn.Identity())
    model.missing = missing
    with pytest.raises(CourseError, match=text):
        quick(model, epochs=1, precision=precision, l1=0.1)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_trains_where_gradients_are_off(context):
    plain = quick(toy_model(norm=True), epochs=1)
    model = toy_model(norm=True)
    with context():
        assert quick(model, epochs=1).step_loss == plain.step_loss
        made_there = toy_model()
    if context is torch.inference_mode:
        with pytest.raises(CourseError, match="inference_mode"):
            quick(made_there, epochs=1)


def pooled(*last: nn.Module) -> nn.Module:
    """Return a network with BatchNorm behind the pooling, where each channel has one value."""
    body = (nn.Conv2d(1, 8, 3), nn.AdaptiveAvgPool2d(1), *last, nn.Flatten(), nn.Linear(8, 3))
    return nn.Sequential(*body)


@pytest.mark.parametrize("precision", ["float32", "auto"])
@pytest.mark.parametrize("norm", [[nn.BatchNorm2d(8)], [nn.Flatten(), nn.BatchNorm1d(8)]])
def test_batch_norm_of_one_picture_is_one_sentence(norm, precision):
    for train, size in ((5, 1), (1, 16)):
        model = pooled(*norm)
        before = weights(model)
        with pytest.raises(CourseError, match=r"one picture.*batches of two"):
            quick(model, data=toy_data(train=train), batch_size=size, precision=precision)
        parameters = [name for name, _ in model.named_parameters()]
        assert all(torch.equal(before[name], model.state_dict()[name]) for name in parameters)


def test_batch_norm_of_one_picture_works_where_it_has_pixels_and_a_last_one_is_left_out():
    assert len(quick(toy_model(norm=True), data=toy_data(train=5), batch_size=1).step_loss) == 40
    assert len(quick(pooled(nn.BatchNorm2d(8)), data=toy_data(train=33), epochs=1).step_loss) == 2


def test_instance_norm_of_one_pixel_is_one_sentence():
    with pytest.raises(CourseError, match="more than 1 spatial element"):
        quick(pooled(nn.InstanceNorm2d(8, track_running_stats=True)), epochs=1)


def test_an_optimizer_that_cannot_train_these_parameters():
    with pytest.raises(CourseError, match=r"cannot go on .*SparseAdam does not support dense"):
        quick(toy_model(), epochs=1, optimizer=torch.optim.SparseAdam)


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, CourseError, KeyError])
def test_errors_of_the_callers_functions_are_not_changed(kind):
    error = kind("mine")

    def fail(_):
        raise error

    for name in ("on_step", "on_epoch"):
        with pytest.raises(kind) as caught:
            quick(toy_model(), epochs=1, **{name: fail})
        assert caught.value is error


def test_a_schedule_that_is_too_short_is_refused_before_the_first_step():
    one_cycle, sequential = lr_scheduler.OneCycleLR, lr_scheduler.SequentialLR

    def ends_in_a_cycle(o, n):
        parts = [lr_scheduler.ConstantLR(o), one_cycle(o, 0.1, total_steps=n - 5)]
        return sequential(o, parts, milestones=[2])

    model, steps = toy_model(), []
    ready = torch.optim.SGD(model.parameters(), lr=0.1)
    for scheduler, text in (
        (lambda o, n: one_cycle(o, 0.01, total_steps=n - 2), r"after 6 of 8 steps"),
        (lambda o, n: one_cycle(o, 0.01, total_steps=3), r"after 3 of 8 .*lambda optimizer, n"),
        (ends_in_a_cycle, "after 5 of 8 steps"),
        (lambda o, n: lr_scheduler.LambdaLR(o, lambda t: 1 - t / 5), r"-0\.0002 after 6 of 8"),
        (lambda o, n: lr_scheduler.LambdaLR(o, lambda t: float("nan")), "would be nan after 0"),
        (lambda o, n: lr_scheduler.LambdaLR(o, lambda t: 1 / (3 - t)), "after 2 of 8 steps"),
        (lambda o, n: None, "returns a NoneType"),
    ):
        with pytest.raises(CourseError, match=text):
            quick(model, epochs=2, scheduler=scheduler, on_step=steps.append)
    short = one_cycle(ready, 0.1, total_steps=5, cycle_momentum=False)
    with pytest.raises(CourseError, match="after 5 of 8 steps"):
        quick(model, epochs=2, optimizer=ready, scheduler=short, on_step=steps.append)
    assert not steps


def test_a_schedule_that_fails_on_the_way_is_one_sentence():
    class Fails(lr_scheduler.LambdaLR):
        def step(self):
            if self.last_epoch >= 1:
                raise KeyError("gone")
            super().step()

    with pytest.raises(CourseError, match=r"The schedule fails .*gone"):
        quick(toy_model(), epochs=1, scheduler=lambda o, n: Fails(o, lambda t: 1.0))


def test_a_rate_below_0_after_the_last_step_does_no_harm():
    history = quick(
        toy_model(), epochs=1, scheduler=lambda o, n: lr_scheduler.LambdaLR(o, lambda t: 1 - t / 3)
    )
    assert history.step_learning_rate[-1] == 0
