from __future__ import annotations

import math
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.optim import lr_scheduler as schedules

from course_utils import training
from course_utils.core import CourseError, load_checkpoint, save_checkpoint
from course_utils.data import Augment
from course_utils.training import probe
from tests.processes import as_nobody
from tests.toys import same, toy_data, toy_model, weights
from tests.training.toy_fit import STEPS, quick

SCHEDULES = {
    "none": None,
    **{name: training.SCHEDULES[name] for name in ("StepLR", "OneCycle", "warm-up + cosine")},
    "lambda": lambda o, n: schedules.LambdaLR(o, lambda step: 1 - step / (n + 1)),
    "plateau": lambda o, n: schedules.ReduceLROnPlateau(o, patience=0, threshold=0.9),
    "cyclic": lambda o, n: schedules.CyclicLR(o, 1e-4, 1e-2, step_size_up=3),
    "a function": lambda o, n: schedules.CyclicLR(o, 1e-4, 1e-2, 3, scale_fn=lambda x: 0.9**x),
    "chained": lambda o, n: schedules.ChainedScheduler(
        [schedules.ConstantLR(o, total_iters=3), schedules.ExponentialLR(o, 0.9)]
    ),
}


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("name", SCHEDULES)
def test_resumed_training_gives_the_same_numbers(tmp_path, name):
    settings = {
        "epochs": 4,
        "augment": Augment(pad_crop=1, flip=True),
        "optimizer": partial(torch.optim.AdamW, weight_decay=0.1),
        "learning_rate": 0.01,
        "scheduler": SCHEDULES[name],
        "label_smoothing": 0.1,
        "l1": 1e-4,
        "seed": 3,
    }
    whole_model = toy_model(dropout=0.3, norm=True)
    whole = quick(whole_model, **settings)

    def interrupt(step):
        if step.step == 2 * STEPS + 2:
            raise Interrupted

    path = tmp_path / "sub" / "training.pt"
    with pytest.raises(Interrupted):
        quick(toy_model(dropout=0.3, norm=True), checkpoint=path, on_step=interrupt, **settings)
    torch.load(path, weights_only=True)

    torch.rand(7)
    model = toy_model(dropout=0.3, norm=True)  # its trained weights come from the file
    history = quick(model, checkpoint=path, resume=True, **settings)
    assert same(weights(model), weights(whole_model))
    for key, value in whole.as_dict().items():
        if key != "seconds":
            assert getattr(history, key) == value, key
    assert [p.name for p in path.parent.iterdir()] == ["training.pt"]


def test_resume_takes_the_number_format_of_the_interrupted_training(tmp_path, monkeypatch):
    path = tmp_path / "training.pt"
    quick(toy_model(), epochs=1, precision="bfloat16", checkpoint=path)
    times = {"float32": 1.0, "float32, channels_last": 0.6, "bfloat16, channels_last": 0.8}
    monkeypatch.setattr(probe, "_measure", lambda *_: dict(times))
    probe.forget()
    history = quick(toy_model(), epochs=2, precision="auto", checkpoint=path, resume=True)
    assert history.precision == "bfloat16, channels_last (as before the interruption)"
    times["bfloat16, channels_last"] = 20.0  # another machine, which only imitates it
    probe.forget()
    history = quick(toy_model(), epochs=3, precision="auto", checkpoint=path, resume=True)
    probe.forget()
    assert history.precision.startswith("float32, channels_last")


def test_resume_without_a_file_starts_again_and_with_a_finished_one_does_nothing(tmp_path):
    path = tmp_path / "training.pt"
    first = quick(toy_model(), epochs=2, checkpoint=path, resume=True)
    model = toy_model()
    again = quick(model, epochs=2, checkpoint=path, resume=True)
    assert again == first
    longer = quick(toy_model(), epochs=3, checkpoint=path, resume=True)
    assert longer.epoch == [1, 2, 3] and longer.step_loss[: 2 * STEPS] == first.step_loss
    path.write_bytes(b"rubbish")
    assert quick(toy_model(), epochs=1, checkpoint=path).epoch == [1]  # resume=False
    torch.load(path, weights_only=True)


class Evil:
    """Unpickled, it would run code."""

    def __reduce__(self):
        return Path.touch, (Path("evil"),)


@pytest.mark.parametrize("damage", ["truncated", "bit", "empty", "other", "code"])
def test_damaged_checkpoint_is_one_clear_error(tmp_path, monkeypatch, damage):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "training.pt"
    quick(toy_model(), epochs=1, checkpoint=path)
    data = path.read_bytes()
    if damage in ("other", "code"):
        torch.save({"model": {}} if damage == "other" else Evil(), path)
    else:
        cases = {"truncated": data[: len(data) // 2], "empty": b""}
        path.write_bytes(cases.get(damage, data[:200] + bytes(300) + data[500:]))
    before = path.read_bytes()
    model = toy_model()
    start = weights(model)
    with pytest.raises(CourseError, match=r"damaged|another kind"):
        quick(model, epochs=1, checkpoint=path, resume=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["training.pt"]
    assert same(start, weights(model))


def test_checkpoint_of_another_training_or_model(tmp_path):
    path = tmp_path / "training.pt"
    quick(toy_model(), epochs=1, checkpoint=path)
    for words, model, changes in (
        ("seed=0, now it is 1", toy_model(), {"seed": 1}),
        ("optimizer=AdamW, now it is SGD", toy_model(), {"optimizer": torch.optim.SGD}),
        ("another model", toy_model(norm=True), {}),
    ):
        with pytest.raises(CourseError, match=words):
            quick(model, epochs=2, checkpoint=path, resume=True, **changes)
    scheduled = partial(quick, checkpoint=path, scheduler=SCHEDULES["lambda"])
    scheduled(toy_model(), epochs=1)
    with pytest.raises(CourseError, match="epochs=1, now it is 2"):
        scheduled(toy_model(), epochs=2, resume=True)


def changed_data(part: str, what: str, place: int = 7):
    """Return the toy pictures with one pixel or one label changed."""
    data = toy_data()
    values = getattr(getattr(data, part), what).clone()
    values.view(-1)[place] = (values.view(-1)[place] + 1) % 3
    return replace(data, **{part: replace(getattr(data, part), **{what: values})})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate": 0.02}, "optimizer.lr=0.01, now it is 0.02"),
        ({"learning_rate": None}, "optimizer.lr=0.01, now it is 0.001"),
        ({"batch_size": 15}, "batch_size=16, now it is 15"),
        ({"label_smoothing": 0.2}, "label_smoothing=0.0, now it is 0.2"),
        ({"l1": 0.1}, "l1=0.0, now it is 0.1"),
        ({"augment": Augment(flip=True)}, "augment=None, now it is Augment"),
        (
            {"optimizer": partial(torch.optim.AdamW, weight_decay=0.3)},
            "optimizer.weight_decay=0.01",
        ),
        ({"optimizer": partial(torch.optim.AdamW, betas=(0.8, 0.9))}, r"optimizer.betas=\(0.9"),
        ({"optimizer": torch.optim.Adam}, "optimizer=AdamW, now it is Adam"),
        ({"scheduler": training.Schedule("cosine")}, "scheduler=NoneType, now it is Cosine"),
        ({"data": changed_data("train", "images")}, r"\(other training pictures\)"),
        ({"data": changed_data("train", "labels")}, r"\(other training labels\)"),
        ({"data": changed_data("validation", "images")}, r"\(other validation pictures\)"),
        ({"data": changed_data("validation", "labels")}, r"\(other validation labels\)"),
        ({"data": toy_data(train=30)}, "other training pictures; other training labels"),
        ({"precision": "bfloat16"}, "precision=float32, now it is bfloat16, channels_last"),
        (
            {"model": toy_model(seed=1)},
            "other starting weights.*torch.manual_seed.*load the file's",
        ),
        ({"model": toy_model(dropout=0.5)}, "another model, with .*Dropout"),
    ],
)
def test_another_training_is_named_and_nothing_changes(tmp_path, changes, words):
    path = tmp_path / "training.pt"
    quick(toy_model(), epochs=1, learning_rate=0.01, checkpoint=path)
    model = changes.get("model", toy_model())
    before, content = weights(model), path.read_bytes()
    arguments = {"model": model, "epochs": 2, "learning_rate": 0.01} | changes
    with pytest.raises(CourseError, match=f"is of another training.*{words}.*resume=False"):
        quick(checkpoint=path, resume=True, **arguments)
    assert same(before, weights(model)) and path.read_bytes() == content


@pytest.mark.parametrize("scheduled", [False, True])
def test_the_same_objects_go_on_half_trained_and_another_file_does_not_disturb_that(
    tmp_path, scheduled
):
    def objects():
        model = toy_model(norm=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        cycle = schedules.OneCycleLR(optimizer, 0.2, total_steps=4 * STEPS)
        return model, {"optimizer": optimizer, "scheduler": cycle if scheduled else None}

    def interrupt(step):
        if step.step % 5 == 0:
            raise Interrupted

    model, options = objects()
    whole = quick(model, epochs=4, **options)
    expected = weights(model)
    model, options = objects()
    other = quick(toy_model(norm=True), epochs=1, seed=5, checkpoint=tmp_path / "other.pt")
    again = {"epochs": 4, "checkpoint": tmp_path / "training.pt", "resume": True} | options
    for _ in range(3):
        with pytest.raises(Interrupted):
            quick(model, on_step=interrupt, **again)
        with pytest.raises(CourseError, match="another training"):
            quick(model, **again | {"checkpoint": tmp_path / "other.pt"})
    history = quick(model, **again)
    assert same(expected, weights(model)) and history.step_loss == whole.step_loss
    assert other.epoch == [1]


def test_a_model_with_the_weights_of_the_file_goes_on(tmp_path):
    path = tmp_path / "training.pt"
    whole = quick(toy_model(), epochs=3)
    quick(toy_model(), epochs=1, checkpoint=path)
    model = toy_model(seed=1)
    model.load_state_dict(torch.load(path)["model"])
    for epochs in (2, 3):
        history = quick(model, epochs=epochs, checkpoint=path, resume=True)
    assert history.step_loss == whole.step_loss


def rewritten(path, **entries) -> None:
    """Write a checkpoint again, sealed, with some entries replaced by functions of them."""
    content = load_checkpoint(path, {})
    save_checkpoint(path, content | {name: f(content[name]) for name, f in entries.items()})


def without(name: str):
    return lambda values: {key: value for key, value in values.items() if key != name}


def first_state(**changes):
    def change(optimizer):
        return optimizer | {"state": optimizer["state"] | {0: optimizer["state"][0] | changes}}

    return change


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"model": lambda m: m | {"0.bias": m["0.bias"] / 0}}, "in 0.bias .*not finite"),
        ({"model": lambda m: m | {"0.bias": m["0.bias"][:2]}}, "another model"),
        ({"model": lambda m: m | {"0.bias": [0.0] * 6}}, "another model"),
        ({"model": without("0.bias")}, "another model"),
        ({"model": lambda m: {}}, "another model"),
        ({"optimizer": lambda o: {}}, "does not fit"),
        ({"optimizer": without("param_groups")}, "does not fit"),
        ({"optimizer": lambda o: o | {"param_groups": o["param_groups"] * 2}}, "does not fit"),
        ({"optimizer": first_state(exp_avg=torch.ones(3))}, "does not fit"),
        ({"optimizer": first_state(exp_avg=torch.tensor(math.nan))}, "not finite"),
        ({"scheduler": lambda s: {}}, "does not fit"),
        ({"scheduler": without("_milestones")}, "does not fit"),
        ({"history": lambda h: {}}, "does not fit"),
        ({"history": lambda h: h | {"more": []}}, "does not fit"),
        ({"history": lambda h: h | {"epoch": [1, 1]}}, "does not fit"),
        ({"history": lambda h: h | {"epoch": 2}}, "does not fit"),
        ({"history": lambda h: h | {"train_loss": []}}, "does not fit"),
        ({"history": lambda h: h | {"train_loss": ["a", "b"]}}, "does not fit"),
        ({"history": lambda h: h | {"step_loss": [math.inf] * 2 * STEPS}}, "does not fit"),
        ({"history": lambda h: h | {"precision": None}}, "does not fit"),
        ({"settings": lambda s: {}}, "nothing is kept about its batch_size"),
        ({"settings": lambda s: s | {"seed": torch.ones(2)}}, "seed="),
        ({"precision": lambda p: "float7"}, "precision='float7' is not known"),
    ],
)
def test_a_sound_file_of_something_else_is_refused_and_the_model_stays(tmp_path, entries, words):
    path = tmp_path / "training.pt"
    settings = {"epochs": 3, "scheduler": SCHEDULES["warm-up + cosine"], "checkpoint": path}

    def stop_after_two(history):
        if len(history.epoch) == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        quick(toy_model(), on_epoch=stop_after_two, **settings)
    rewritten(path, **entries)
    model = toy_model()
    before = weights(model)
    with pytest.raises(CourseError, match=words):
        quick(model, resume=True, precision="auto", **settings)
    assert same(before, weights(model))


def test_a_mask_of_minus_infinity_is_resumed(tmp_path):
    def masked():
        model = toy_model()
        model.register_buffer("mask", torch.full((2,), -torch.inf))
        return model

    for epochs in (1, 2):
        settings = {"epochs": epochs, "checkpoint": tmp_path / "training.pt", "resume": True}
        history = quick(masked(), **settings)
    assert history.epoch == [1, 2]


def test_a_place_that_cannot_be_written_is_said_before_the_first_step(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    steps: list = []
    for name, words in (("folder", "is a folder"), ("pipe", "is a pipe")):
        for resume in (False, True):
            arguments = {"checkpoint": tmp_path / name, "resume": resume, "on_step": steps.append}
            with pytest.raises(CourseError, match=words):
                quick(toy_model(), **arguments)

    def use() -> None:
        with pytest.raises(CourseError, match="Permission denied"):
            quick(toy_model(), checkpoint=tmp_path / "a.pt", on_step=steps.append)
        assert not steps

    tmp_path.chmod(0o500)
    assert not steps and as_nobody(use) == 0


def test_checkpoint_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="cannot be written"):
        quick(toy_model(), epochs=1, checkpoint=tmp_path / "file" / "training.pt")
