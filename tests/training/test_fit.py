from __future__ import annotations

import math
import threading

import pytest
import torch
from torch.optim import lr_scheduler as schedules

from course_utils.core import CourseError, use_threads
from course_utils.data import Augment
from course_utils.metrics import evaluate
from course_utils.training.fit import borrowed
from course_utils.training.precision import Precision
from tests.toys import same, toy_data, toy_model, weights
from tests.training.toy_fit import DATA, STEPS, quick


def test_learns_and_records_every_epoch():
    model = toy_model()
    history = quick(model, epochs=12, learning_rate=0.01)
    assert history.epoch == list(range(1, 13))
    for name in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
        assert len(getattr(history, name)) == 12
    assert len(history.learning_rate) == len(history.seconds) == 12
    assert len(history.step_loss) == len(history.step_learning_rate) == 12 * STEPS
    assert history.train_loss[-1] < 0.5 * history.train_loss[0]
    assert history.validation_accuracy[-1] > 0.9
    assert history.stopped is None


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
    one_batch = {"epochs": 1, "batch_size": 60}
    first, again, other = (
        quick(toy_model(dropout=0.5), seed=seed, **one_batch).step_loss for seed in (1, 1, 2)
    )
    # The order inside the only batch cannot matter beyond rounding, dropout does.
    assert first == again
    assert abs(first[0] - other[0]) > 1e-3


def test_every_epoch_has_an_order_of_its_own():
    history = quick(toy_model(), epochs=3, optimizer=torch.optim.SGD, learning_rate=0.0)
    epochs = [history.step_loss[i * STEPS : (i + 1) * STEPS] for i in range(3)]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert history.train_loss == pytest.approx([history.train_loss[0]] * 3)


def test_callbacks_may_look_at_the_model_in_eval_mode():
    def look(_):
        model.eval()

    losses = []
    for on_epoch in (None, look):
        model = toy_model(dropout=0.5)
        losses.append(quick(model, epochs=2, on_epoch=on_epoch).step_loss)
    assert losses[0] == losses[1]


def test_global_random_numbers_are_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    quick(toy_model(dropout=0.5), epochs=1, precision="auto", augment=Augment(flip=True))
    assert torch.equal(before, torch.get_rng_state())


def test_model_comes_back_in_eval_mode_and_contiguous_with_no_gradients():
    data, model = toy_data(channels=3), toy_model(3)
    parameters = list(model.parameters())
    quick(model, data=data, epochs=1, precision="bfloat16")
    assert not any(module.training for module in model.modules())
    assert all(p.grad is None and p.dtype == torch.float32 for p in parameters)
    # The very strides: a grey convolution passes as contiguous with others, and is then a surprise.
    assert all(p.stride() == torch.empty(p.shape).stride() for p in parameters)
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    model(torch.rand(2, 3, 8, 8)).view(-1)


def test_number_of_threads_is_left_alone():
    threads = torch.get_num_threads()
    seen = []
    settings = Precision(threads=threads + 1)
    quick(
        toy_model(),
        epochs=1,
        precision=settings,
        on_step=lambda _: seen.append(torch.get_num_threads()),
    )
    assert set(seen) == {threads + 1}
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("precision", ["float32", "float32, channels_last", "bfloat16"])
def test_every_precision_learns(precision):
    history = quick(toy_model(), epochs=10, learning_rate=0.01, precision=precision)
    assert history.validation_accuracy[-1] > 0.9
    assert history.precision.startswith(precision)


def test_bfloat16_is_really_used():
    seen = []
    model = toy_model()

    def look(layer, inputs, output):
        seen.append((model.training, output.dtype))
        if model.training:
            assert inputs[0].stride() == (64, 1, 8, 1)  # one channel, last

    model[0].register_forward_hook(look)
    quick(model, epochs=1, precision="bfloat16")
    assert (True, torch.bfloat16) in seen
    assert (False, torch.bfloat16) not in seen  # validation is in float32
    assert (True, torch.float32) not in seen


def test_resnet18_on_tiny_pictures():
    torchvision = pytest.importorskip("torchvision")
    data = toy_data(train=33, validation=6, channels=3, size=32)
    model = torchvision.models.resnet18(num_classes=3)
    # 33 = 2 * 16 + 1: BatchNorm cannot normalise a last batch of one picture.
    history = quick(model, data=data, epochs=1)
    assert len(history.step_loss) == 2
    assert math.isfinite(history.train_loss[0])


def test_a_last_batch_of_one_picture_is_kept_without_batch_norm():
    assert len(quick(toy_model(), data=toy_data(train=33), epochs=1).step_loss) == 3


def test_optimizer_as_class_function_or_object():
    losses = []
    for make in (
        lambda model: {"optimizer": torch.optim.SGD, "learning_rate": 0.1},
        lambda model: {"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1)},
        lambda model: {"optimizer": torch.optim.SGD(model.parameters(), lr=0.1)},
    ):
        model = toy_model()
        losses.append(quick(model, epochs=1, **make(model)).step_loss)
    assert losses[0] == losses[1] == losses[2]


def test_frozen_parameters_stay():
    model = toy_model()
    model[0].requires_grad_(False)
    before = weights(model)
    quick(model, epochs=1, learning_rate=0.1)
    after = weights(model)
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["6.weight"], after["6.weight"])


def test_schedule_per_step():
    history = quick(
        toy_model(),
        epochs=2,
        learning_rate=1.0,
        optimizer=torch.optim.SGD,
        scheduler=lambda optimizer, n: schedules.LinearLR(optimizer, 1e-3, 1e-3 * n, n),
    )
    expected = [1e-3 + (8e-3 - 1e-3) * i / 8 for i in range(8)]
    assert history.step_learning_rate == pytest.approx(expected)
    assert history.learning_rate == pytest.approx([expected[3], expected[7]])


def test_schedule_per_epoch():
    history = quick(
        toy_model(),
        epochs=3,
        learning_rate=0.1,
        scheduler=lambda optimizer, n: schedules.StepLR(optimizer, step_size=n - 2, gamma=0.1),
        scheduler_every="epoch",
    )
    assert history.learning_rate == pytest.approx([0.1, 0.01, 0.001])
    assert history.step_learning_rate[:STEPS] == [0.1] * STEPS


def test_plateau_is_given_the_validation_loss():
    class Remembers(schedules.ReduceLROnPlateau):
        def step(self, metrics):
            seen.append(metrics)
            super().step(metrics)

    seen: list[float] = []
    history = quick(
        toy_model(), epochs=3, scheduler=lambda optimizer, n: Remembers(optimizer, patience=0)
    )
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
    plain, smooth = (
        quick(toy_model(), epochs=15, learning_rate=0.02, label_smoothing=s) for s in (0, 0.2)
    )
    assert smooth.train_loss[-1] > plain.train_loss[-1] + 0.2
    assert smooth.step_loss[0] == pytest.approx(plain.step_loss[0], abs=0.2)


def test_callbacks_are_told_of_every_step_and_epoch():
    steps, epochs = [], []
    history = quick(
        toy_model(),
        epochs=3,
        on_step=steps.append,
        on_epoch=lambda history: epochs.append(len(history.epoch)),
    )
    assert [s.step for s in steps] == list(range(1, 13)) and steps[0].steps == 12
    assert [s.epoch for s in steps] == [1] * 4 + [2] * 4 + [3] * 4 and steps[0].epochs == 3
    assert [s.loss for s in steps] == history.step_loss
    assert [s.learning_rate for s in steps] == history.step_learning_rate
    assert epochs == [1, 2, 3]


def test_an_exception_in_a_callback_comes_out_and_leaves_the_model_in_order():
    class Pruned(Exception):
        pass

    def on_epoch(history):
        raise Pruned

    model = toy_model()
    before = torch.get_rng_state()
    with pytest.raises(Pruned):
        quick(model, epochs=2, precision="bfloat16", on_epoch=on_epoch)
    assert not model.training
    assert model[0].weight.stride() == torch.empty(6, 1, 3, 3).stride()
    assert torch.equal(before, torch.get_rng_state())


def test_in_a_thread_nothing_is_printed(capfd):
    results = []
    thread = threading.Thread(target=lambda: results.append(quick(toy_model(), epochs=2)))
    thread.start()
    thread.join()
    assert results[0].epoch == [1, 2]
    assert capfd.readouterr() == ("", "")


def test_progress_bar_goes_to_the_end(capfd):
    quick(toy_model(), epochs=2, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "8/8" in err and "validation accuracy" in err


def test_no_validation_pictures():
    data = toy_data(validation=0)
    history = quick(toy_model(), data=data, epochs=1)
    assert math.isnan(history.validation_loss[0]) and "validation" not in history.summary()
    with pytest.raises(CourseError, match="validation loss"):
        quick(toy_model(), data=data, scheduler=lambda o, n: schedules.ReduceLROnPlateau(o))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"label_smoothing": 1.0},
        {"l1": -1.0},
        {"scheduler_every": "batch"},
        {"device": "abacus"},
        {"device": "cuda:99"},
        {"precision": "float64"},
    ],
)
def test_impossible_settings(wrong):
    with pytest.raises(CourseError, match=str(next(iter(wrong)))):
        quick(toy_model(), **wrong)


def test_model_for_other_pictures_is_refused_before_anything_changes():
    model = toy_model(3)
    model.train()
    before = weights(model)
    with pytest.raises(CourseError, match="in_channels=1"):
        quick(model, epochs=1)
    assert same(before, weights(model))


def test_a_borrowed_model_comes_home():
    model = toy_model(3).double().train()
    before, threads = weights(model), torch.get_num_threads()
    with pytest.raises(KeyError), borrowed(model, torch.device("cpu")):
        Precision(channels_last=True).arrange_model(model)
        use_threads(threads + 1)
        model(torch.rand(2, 3, 8, 8, dtype=torch.float64)).sum().backward()
        raise KeyError
    assert same(before, weights(model))
    assert not model.training and torch.get_num_threads() == threads
    assert all(
        p.grad is None and p.stride() == torch.empty(p.shape).stride() for p in model.parameters()
    )
