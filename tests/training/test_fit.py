from __future__ import annotations

import contextlib
import math
import threading

import pytest
import torch
from torch.optim import lr_scheduler as schedules

from course_utils.core import CourseError, OutOfMemory
from course_utils.data import Augment
from course_utils.metrics import evaluate
from course_utils.training.precision import Precision
from tests.toys import Strided, same, toy_data, toy_model, weights
from tests.training.toy_fit import DATA, STEPS, quick


@pytest.mark.parametrize("precision", ["float32", "float32, channels_last", "bfloat16"])
def test_learns_and_records_every_epoch_in_every_precision(precision):
    history = quick(toy_model(), epochs=12, learning_rate=0.01, precision=precision)
    assert history.epoch == list(range(1, 13))
    for name in ("train_loss", "train_accuracy", "validation_loss", "learning_rate", "seconds"):
        assert len(getattr(history, name)) == 12
    assert len(history.step_loss) == len(history.step_learning_rate) == 12 * STEPS
    assert history.train_loss[-1] < 0.5 * history.train_loss[0]
    assert len(history.validation_accuracy) == 12 and history.validation_accuracy[-1] > 0.9
    assert history.precision.startswith(precision) and history.stopped is None


def test_validation_is_what_evaluate_says():
    model = toy_model(dropout=0.5, norm=True)
    history = quick(model, epochs=2, label_smoothing=0.1)
    result = evaluate(model, DATA.validation, mean=DATA.mean, std=DATA.std)
    assert history.validation_accuracy[-1] == result.accuracy
    assert history.validation_loss[-1] == pytest.approx(result.loss, rel=1e-5)


def test_training_loss_is_the_mean_over_pictures_not_over_batches():
    history = quick(toy_model(), epochs=1)
    sizes = [16, 16, 16, 12]
    mean = sum(loss * n for loss, n in zip(history.step_loss, sizes, strict=True)) / 60
    assert history.train_loss[0] == pytest.approx(mean)


def test_same_seed_same_numbers_and_another_seed_others():
    def losses(seed: int) -> list[float]:
        settings = {"epochs": 2, "augment": Augment(pad_crop=1, flip=True), "seed": seed}
        return quick(toy_model(dropout=0.5), **settings).step_loss

    torch.rand(3)  # what was drawn before does not matter
    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_dropout_alone_follows_the_seed():
    one, other = (quick(toy_model(dropout=0.5), seed=s, batch_size=60).step_loss for s in (1, 2))
    # The order inside the only batch cannot matter beyond rounding, dropout does.
    assert abs(one[0] - other[0]) > 1e-3


def test_every_epoch_has_an_order_of_its_own():
    history = quick(toy_model(), epochs=3, optimizer=torch.optim.SGD, learning_rate=0.0)
    epochs = [history.step_loss[i * STEPS : (i + 1) * STEPS] for i in range(3)]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert history.train_loss == pytest.approx([history.train_loss[0]] * 3)


def test_callbacks_may_look_at_the_model_in_eval_mode():
    def look(_):
        model.eval()

    model = toy_model(dropout=0.5)
    looked, plain = quick(model, epochs=2, on_epoch=look), quick(toy_model(dropout=0.5), epochs=2)
    assert looked.step_loss == plain.step_loss


def test_global_random_numbers_do_not_change():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    quick(toy_model(dropout=0.5), epochs=1, precision="auto", augment=Augment(flip=True))
    assert torch.equal(before, torch.get_rng_state())


def test_bfloat16_is_really_used():
    seen = []
    model = toy_model()

    def look(layer, inputs, output):
        seen.append((model.training, output.dtype))
        if model.training:
            assert inputs[0].stride() == (64, 1, 8, 1)  # one channel, last

    model[0].register_forward_hook(look)
    quick(model, epochs=1, precision="bfloat16")
    assert set(seen) == {(True, torch.bfloat16), (False, torch.float32)}  # False: validation


@pytest.mark.parametrize(("norm", "steps"), [(True, 2), (False, 3)])
def test_batch_norm_cannot_normalise_a_last_batch_of_one_picture(norm, steps):
    history = quick(toy_model(norm=norm), data=toy_data(train=33), epochs=1)  # 33 = 2 * 16 + 1
    assert len(history.step_loss) == steps and math.isfinite(history.train_loss[0])


def test_optimizer_as_class_function_or_object():
    model = toy_model()
    ready = torch.optim.SGD(model.parameters(), lr=0.1)
    by_class = quick(toy_model(), epochs=1, optimizer=torch.optim.SGD, learning_rate=0.1)
    by_function = quick(toy_model(), epochs=1, optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    by_object = quick(model, epochs=1, optimizer=ready)
    assert by_class.step_loss == by_function.step_loss == by_object.step_loss


def test_schedule_per_epoch():
    drops = {"scheduler": lambda o, n: schedules.StepLR(o, step_size=n - 2, gamma=0.1)}
    history = quick(toy_model(), epochs=3, learning_rate=0.1, scheduler_every="epoch", **drops)
    assert history.learning_rate == pytest.approx([0.1, 0.01, 0.001])
    assert history.step_learning_rate[:STEPS] == [0.1] * STEPS


def test_plateau_is_given_the_validation_loss():
    class Remembers(schedules.ReduceLROnPlateau):
        def step(self, metrics):
            seen.append(metrics)
            super().step(metrics)

    seen: list[float] = []
    history = quick(toy_model(), epochs=3, scheduler=lambda o, n: Remembers(o, patience=0))
    assert seen == history.validation_loss


def test_l1_shrinks_weights_but_not_biases_and_norms():
    def sizes(l1: float) -> tuple[float, float]:
        model = toy_model(norm=True)
        with torch.no_grad():
            model[0].bias.fill_(0.7)
        quick(model, epochs=20, optimizer=torch.optim.SGD, learning_rate=0.02, l1=l1)
        return sum(p.abs().sum().item() for p in (model[0].weight, model[6].weight)), (
            model[0].bias.abs().sum().item()  # in front of BatchNorm no loss depends on it
        )

    (without, bias), (with_l1, bias_l1) = sizes(0.0), sizes(0.02)
    assert with_l1 < 0.8 * without
    assert bias_l1 == pytest.approx(bias, rel=1e-3)


def test_label_smoothing_raises_the_training_loss_only():
    settings = {"epochs": 15, "learning_rate": 0.02}
    plain, smooth = (quick(toy_model(), **settings, label_smoothing=s) for s in (0, 0.2))
    assert smooth.train_loss[-1] > plain.train_loss[-1] + 0.2
    assert smooth.step_loss[0] == pytest.approx(plain.step_loss[0], abs=0.2)


def test_callbacks_are_told_of_every_step_and_epoch():
    steps, epochs = [], []
    calls = {"on_step": steps.append, "on_epoch": lambda h: epochs.append(len(h.epoch))}
    history = quick(toy_model(), epochs=3, **calls)
    assert [s.step for s in steps] == list(range(1, 13)) and steps[0].steps == 12
    assert [s.epoch for s in steps] == [1] * 4 + [2] * 4 + [3] * 4 and steps[0].epochs == 3
    assert [s.loss for s in steps] == history.step_loss
    assert [s.learning_rate for s in steps] == history.step_learning_rate
    assert epochs == [1, 2, 3]


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_model_and_the_threads_come_back_in_order(interrupted):
    def on_epoch(history):
        seen.append(torch.get_num_threads())
        if interrupted:
            raise Interrupted

    model, seen, threads = toy_model(3), [], torch.get_num_threads()
    parameters, state = list(model.parameters()), torch.get_rng_state()
    wanted = Precision(torch.bfloat16, channels_last=True, threads=threads + 1)
    with pytest.raises(Interrupted) if interrupted else contextlib.nullcontext():
        quick(model, data=toy_data(channels=3), epochs=1, precision=wanted, on_epoch=on_epoch)
    assert seen == [threads + 1] and torch.get_num_threads() == threads
    assert not any(module.training for module in model.modules())
    assert all(p.grad is None and p.dtype == torch.float32 for p in parameters)
    # The very strides: a grey convolution passes as contiguous with others, and is then a surprise.
    assert all(p.stride() == torch.empty(p.shape).stride() for p in parameters)
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("precision", ["auto", "bfloat16", "float32, channels_last"])
@pytest.mark.parametrize("in_forward", [False, True])
def test_never_trains_in_a_layout_that_ends_the_process(precision, in_forward):
    def look(module, inputs):
        if torch.is_grad_enabled():  # forward alone is safe
            strides.add(inputs[0].stride())

    model, strides = Strided(in_forward, channels=3), set()
    model.register_forward_pre_hook(look)
    history = quick(model, data=toy_data(channels=3), epochs=1, precision=precision)
    assert strides == {(192, 64, 8, 1)} and "channels_last (" not in history.precision


def test_no_memory_is_a_sentence():
    model = toy_model()
    model[2] = Hungry()
    with pytest.raises(OutOfMemory, match=r"not enough memory.*: make batch_size smaller"):
        quick(model, epochs=1)


class Hungry(torch.nn.Module):
    def forward(self, x):
        return torch.empty(2**60, dtype=torch.uint8) if torch.is_grad_enabled() else x


def test_only_the_progress_bar_is_printed(capfd):
    results = []
    thread = threading.Thread(target=lambda: results.append(quick(toy_model(), epochs=2)))
    thread.start()
    thread.join()
    assert results[0].epoch == [1, 2] and capfd.readouterr() == ("", "")
    quick(toy_model(), epochs=2, progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "8/8" in err and "validation accuracy" in err


def test_no_validation_pictures():
    data = toy_data(validation=0)
    history = quick(toy_model(), data=data, epochs=1)
    assert math.isnan(history.validation_loss[0]) and "validation" not in history.summary()
    with pytest.raises(CourseError, match="validation loss"):
        quick(toy_model(), data=data, scheduler=lambda o, n: schedules.ReduceLROnPlateau(o))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("epochs", 0), ("batch_size", 0), ("label_smoothing", 1.0), ("l1", -1.0)),
        *(("scheduler_every", "batch"), ("device", "abacus"), ("device", "cuda:99")),
        ("precision", "float64"),
    ],
)
def test_impossible_settings(name, value):
    with pytest.raises(CourseError, match=name):
        quick(toy_model(), **{name: value})


def test_model_for_other_pictures_is_refused_before_anything_changes():
    model = toy_model(3)
    model.train()
    before = weights(model)
    with pytest.raises(CourseError, match="in_channels=1"):
        quick(model, epochs=1)
    assert same(before, weights(model))
