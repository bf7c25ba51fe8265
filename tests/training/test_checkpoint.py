from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch.optim import lr_scheduler as schedules

from course_utils import training
from course_utils.core import CourseError
from course_utils.data import Augment
from course_utils.training import probe
from tests.toys import same, toy_model, weights
from tests.training.toy_fit import STEPS, quick

SCHEDULES = {
    "none": None,
    **{name: training.SCHEDULES[name] for name in ("StepLR", "OneCycle", "warm-up + cosine")},
    "lambda": lambda o, n: schedules.LambdaLR(o, lambda step: 1 - step / (n + 1)),
    "plateau": lambda o, n: schedules.ReduceLROnPlateau(o, patience=0, threshold=0.9),
    "cyclic": lambda o, n: schedules.CyclicLR(o, 1e-4, 1e-2, step_size_up=3),
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
    model = toy_model(dropout=0.3, norm=True, seed=1)  # its weights come from the file
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
    model = toy_model(seed=1)
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


def test_checkpoint_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="cannot be written"):
        quick(toy_model(), epochs=1, checkpoint=tmp_path / "file" / "training.pt")
