from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from course_utils.training import probe
from course_utils.training.precision import PLAIN, Precision, as_precision
from course_utils.training.probe import SlowSteps, faster_precision, fastest_precision, step_seconds
from tests.toys import Strided, same, toy_model, weights
from tests.training.toy_fit import quick

LAST, BF16 = "float32, channels_last", "bfloat16, channels_last"
pytestmark = pytest.mark.usefixtures("no_measurements")


def images(channels: int = 1) -> torch.Tensor:
    return torch.rand(4, channels, 8, 8, generator=torch.Generator().manual_seed(0))


def measured(monkeypatch, seconds: dict[str, float]) -> list:
    calls: list = []

    def measure(model, images, candidates, between=None):
        calls.append(candidates)
        return seconds

    monkeypatch.setattr(probe, "_measure", measure)
    return calls


@pytest.mark.parametrize(
    ("winner", "seconds"),
    [
        ("float32", {"float32": 1.0}),
        ("float32", {"float32": 1.0, LAST: 0.97}),
        (LAST, {"float32": 1.0, LAST: 0.9}),
        ("float32", {"float32": 1.0, BF16: 0.9}),
        (BF16, {"float32": 1.0, BF16: 0.8}),
        (LAST, {"float32": 1.0, LAST: 0.8, BF16: 0.75}),
        (BF16, {"float32": 1.0, LAST: 0.8, BF16: 0.5}),
        (BF16, {"float32": 1.0, BF16: 0.5, f"{BF16}, 1 thread": 0.45}),
        (f"{BF16}, 1 thread", {"float32": 1.0, BF16: 0.5, f"{BF16}, 1 thread": 0.05}),
        ("float32, 1 thread", {"float32": 1.0, BF16: 9.0, "float32, 1 thread": 0.1}),
    ],
)
def test_takes_what_is_clearly_faster(monkeypatch, winner, seconds):
    measured(monkeypatch, seconds)
    monkeypatch.setattr(probe, "SMALL", 0)  # so that the toy is not a small model
    choice = fastest_precision(toy_model(), images())
    assert choice.name == winner and choice.seconds == seconds
    assert ("nothing was faster" in choice.reason) == (winner in ("float32", "float32, 1 thread"))
    assert ("with more threads all was slower" in choice.reason) == ("1 thread" in winner)


@pytest.mark.parametrize(
    ("winner", "seconds"),
    [
        ("float32", {"float32": 1.0, LAST: 0.7}),
        (LAST, {"float32": 1.0, LAST: 0.6}),
        ("bfloat16", {"float32": 1.0, "bfloat16": 0.5, BF16: 0.4}),
        (BF16, {"float32": 1.0, LAST: 0.6, "bfloat16": 0.9, BF16: 0.5}),
        (f"{LAST}, 1 thread", {"float32": 1.0, f"{LAST}, 1 thread": 0.6}),
    ],
)
def test_a_small_model_changes_the_layout_for_much(monkeypatch, winner, seconds):
    measured(monkeypatch, seconds)
    assert fastest_precision(toy_model(), images()).name == winner


@pytest.mark.parametrize("measure", [fastest_precision, faster_precision])
@pytest.mark.parametrize("model", [Strided(in_forward=False), Strided(in_forward=True)])
def test_never_measures_an_unsafe_layout(monkeypatch, measure, model):
    calls = measured(monkeypatch, {"float32": 1.0})
    current = [Precision(torch.bfloat16)] if measure is faster_precision else []
    measure(model, images(), *current)
    assert {c.name for c in calls[0]} >= {"float32", "bfloat16"}
    assert not any(c.channels_last for c in calls[0])


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        ({"float32": 1.0, BF16: 0.5}, "2.0 times as fast as plain float32 in a short probe"),
        ({"float32": 1.0, BF16: 0.01}, "many times as fast as plain float32 in a short probe"),
        ({"float32": 9.0, "float32, 1 thread": 0.3, f"{BF16}, 1 thread": 0.1},
         "3.0 times as fast as plain float32, and with more threads all was slower"),
    ],
)  # fmt: skip
def test_says_why(monkeypatch, seconds, reason):
    measured(monkeypatch, seconds)
    assert fastest_precision(toy_model(), images()).reason.startswith(reason)


def test_measures_once_for_equal_models_and_batches(monkeypatch):
    calls = measured(monkeypatch, {"float32": 1.0, BF16: 0.5})
    first = fastest_precision(toy_model(), images())
    assert fastest_precision(toy_model(seed=1), images() + 1) == first and len(calls) == 1
    fastest_precision(toy_model(), images()[:2])
    fastest_precision(toy_model(dropout=0.5), images())
    fastest_precision(toy_model().eval(), images())
    assert len(calls) == 4
    probe.forget()
    fastest_precision(toy_model(), images())
    assert len(calls) == 5


def test_a_busy_moment_is_not_remembered(monkeypatch):
    calls = measured(monkeypatch, {"float32": 1.0, "float32, 1 thread": 0.1})
    for _ in range(2):
        assert fastest_precision(toy_model(), images()).threads == 1
    assert len(calls) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_under_way_never_loses_precision(monkeypatch, dtype):
    calls = measured(monkeypatch, {"float32": 1.0})
    faster_precision(toy_model(), images(), Precision(dtype))
    assert (torch.bfloat16 in {c.dtype for c in calls[0]}) == (dtype == torch.bfloat16)


@pytest.mark.parametrize("measure", [fastest_precision, step_seconds])
def test_a_measurement_leaves_everything_as_it_was(measure):
    model = toy_model(norm=True, dropout=0.5).train()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    model[6].requires_grad_(False)
    before, threads = weights(model), torch.get_num_threads()
    state, strides = torch.get_rng_state(), [p.stride() for p in model.parameters()]
    found = measure(model, images())
    seconds = [found] if measure is step_seconds else found.seconds.values()
    assert all(0 < some < 600 for some in seconds)
    assert same(before, weights(model)) and torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads and model.training
    assert [p.stride() for p in model.parameters()] == strides
    assert torch.equal(model[0].weight.grad, torch.ones(6, 1, 3, 3))
    assert model[0].weight.requires_grad and not model[6].weight.requires_grad
    assert model[6].weight.grad is None


class View(nn.Module):
    """The `x.view` of the article, which fails with the channels last."""

    def forward(self, x):
        return x.view(len(x), -1)


def test_a_precision_that_does_not_work_is_left_out_but_not_the_only_one():
    model = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), View(), nn.Linear(6 * 64, 3))
    choice = fastest_precision(model, images(2))
    assert {"float32", "bfloat16"} <= choice.seconds.keys()
    assert not any("channels_last" in name for name in [choice.name, *choice.seconds])
    with pytest.raises(RuntimeError, match="channels"):
        fastest_precision(toy_model(3), images(1))


@pytest.mark.parametrize("measure", [fastest_precision, step_seconds])
def test_between_is_called_and_may_end_the_measurement(measure):
    def between():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(toy_model(), images(), between=between)


def test_other_devices_are_not_measured():
    choice = fastest_precision(toy_model().to("meta"), images().to("meta"))
    assert choice == PLAIN and "not measured on meta" in choice.reason


def test_watch_waits_for_several_slow_steps_in_a_row():
    slow = SlowSteps(Precision(seconds={"float32": 0.01}))
    bad, fine = [1.0] * (SlowSteps.PATIENCE - 1), 0.02
    assert not any(slow.seen(t) for t in [*bad, fine, *bad, fine])
    assert [slow.seen(1.0) for _ in range(SlowSteps.PATIENCE)][-1]
    unmeasured = SlowSteps(as_precision("bfloat16"))
    assert not any(unmeasured.seen(1e6) for _ in range(20))


def test_of_several_steps_the_fastest_counts(monkeypatch):
    times, calls = iter([0.3, 0.1, 0.2]), []
    monkeypatch.setattr(probe, "_step_seconds", lambda *_: next(times))
    between = partial(calls.append, None)
    assert step_seconds(toy_model(), images(), steps=3, between=between) == 0.1 and len(calls) == 3


# --- while training


def test_falls_back_when_the_steps_become_slow(monkeypatch):
    calls = []

    def measure(model, images, candidates, between=None):
        calls.append(candidates)
        if len(calls) == 1:  # the real steps then take a hundred times as long as this
            return {"float32": 1e-5, BF16: 1e-6}
        return {"float32": 1e5, f"{LAST}, 1 thread": 1e4}

    monkeypatch.setattr(probe, "_measure", measure)
    history = quick(toy_model(), epochs=3, precision="auto")
    assert len(calls) == 2 and history.epoch == [1, 2, 3]
    assert history.precision.startswith(f"{BF16} (")
    assert f"; from step 5 {LAST}, 1 thread (" in history.precision


def test_looks_again_with_all_threads(monkeypatch):
    calls = []

    def measure(model, images, candidates, between=None):
        calls.append(torch.get_num_threads())
        return {"float32": 1.0, "float32, 1 thread": 1e-7}

    monkeypatch.setattr(probe, "_measure", measure)
    monkeypatch.setattr(SlowSteps, "PATIENCE", 2)
    with Precision(threads=2).with_threads():
        quick(toy_model(), epochs=1, precision="auto")
        assert calls == [2, 2, 2] and torch.get_num_threads() == 2


def test_watches_only_what_it_chose_itself(monkeypatch):
    monkeypatch.setattr(probe, "_measure", lambda *_: pytest.fail("measured"))
    chosen = Precision(seconds={"float32": 1e-9})
    assert quick(toy_model(), epochs=2, precision=chosen).epoch == [1, 2]
