"""Measuring latency, on a clock that only the models under test move."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from course_utils.core import CourseError
from course_utils.metrics import latency
from course_utils.metrics.latency import Latency, measure_latency, typical_ratio
from course_utils.training import Precision
from tests.toys import toy_model


class Slow(nn.Module):
    """Takes `seconds` on the clock, times the `load` of the moment."""

    def __init__(self, clock, seconds, log=None, load=lambda now: 1.0):
        super().__init__()
        self.clock, self.seconds, self.load = clock, seconds, load
        self.log = [] if log is None else log

    def forward(self, images):
        self.log.append((self.seconds, self.training, torch.is_grad_enabled()))
        self.threads = torch.get_num_threads()
        self.clock.now += self.seconds * self.load(self.clock.now)
        return images


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr(latency, "time", clock)
    return clock


IMAGES = torch.zeros(5, 1, 2, 2)


def test_median_and_quartiles():
    taken = Latency(1, (5.0, 1.0, 3.0, 2.0, 4.0))
    assert taken.median == 3 and taken.quartiles == (2, 4)
    assert str(taken) == "3 ms (2 to 4)"


def test_milliseconds_of_each_model(clock):
    log = []
    models = {"a": Slow(clock, 0.02, log), "b": Slow(clock, 0.04, log)}
    taken = measure_latency(models, IMAGES, rounds=4, seconds=9)
    assert taken["a"].milliseconds == pytest.approx((20,) * 4)
    assert taken["b"].milliseconds == pytest.approx((40,) * 4)
    assert taken["a"].batch_size == 5
    # A round that does not count, then rounds in turning order, in eval mode, without gradients.
    assert [seconds for seconds, *_ in log] == [0.02, 0.04, *[0.02, 0.04, 0.04, 0.02] * 2]
    assert all(rest == [False, False] for _, *rest in log)


def test_the_first_pass_does_not_count(clock):
    models = {"a": Slow(clock, 0.02, load=lambda now: 100 if now == 0 else 1)}
    taken = measure_latency(models, IMAGES, rounds=3)
    assert taken["a"].milliseconds == pytest.approx((20,) * 3)


@pytest.mark.parametrize("others", [[], [0.02], [0.02, 0.0003]])
def test_a_short_pass_is_timed_as_if_the_model_were_the_only_one(clock, others):
    class Evicted(Slow):
        """Its first two passes after a pass of another model take longer."""

        def forward(self, images):
            recent = [seconds for seconds, *_ in self.log[-2:]]
            cold = sum(seconds != self.seconds for seconds in recent)
            self.clock.now += 0.0004 * cold
            return super().forward(images)

    log = []
    models = {"short": Evicted(clock, 0.0002, log)}
    models |= {f"{k}": Slow(clock, seconds, log) for k, seconds in enumerate(others)}
    taken = measure_latency(models, IMAGES, rounds=5, seconds=9)
    assert taken["short"].milliseconds == pytest.approx((0.2,) * 5)
    for k, seconds in enumerate(others):
        assert taken[f"{k}"].milliseconds == pytest.approx((1000 * seconds,) * 5)
        passes = [one[0] for one in log].count(seconds)
        assert passes == 1 + 5 * (1 if seconds > 0.01 else 1 + latency.UNTIMED)


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 3), (0.51, 6), (60.0, 20)])
def test_it_ends_in_time_but_not_before_three_rounds(clock, seconds, rounds):
    models = {"a": Slow(clock, 0.04), "b": Slow(clock, 0.16)}  # 200 ms a round, of 2 x seconds
    taken = measure_latency(models, IMAGES, rounds=20, seconds=seconds)
    assert len(taken["a"].milliseconds) == len(taken["b"].milliseconds) == rounds


def test_a_machine_that_grows_slower_leaves_the_ratio_alone(clock):
    models = {
        name: Slow(clock, seconds, load=lambda now: 1.1 if now < 1 else 5.0)
        for name, seconds in (("a", 0.02), ("b", 0.03))
    }
    taken = measure_latency(models, IMAGES, rounds=50, seconds=9)
    assert typical_ratio(taken["b"], taken["a"]) == pytest.approx(1.5)
    assert typical_ratio(taken["a"], taken["a"]) == 1


def test_modes_and_threads_come_back_even_after_an_error(clock):
    class Broken(Slow):
        def forward(self, images):
            super().forward(images)
            raise KeyError("broken")

    with Precision(threads=2).with_threads():
        model = nn.Sequential(Slow(clock, 0.1), Broken(clock, 0.1)).train()
        model[0].eval()
        with pytest.raises(KeyError):
            measure_latency({"a": model}, IMAGES)
        assert model[1].threads == 1
        assert torch.get_num_threads() == 2
        assert [m.training for m in model.modules()] == [True, False, True]
        assert torch.is_grad_enabled()


def test_a_real_model_and_too_few_rounds():
    taken = measure_latency({"a": toy_model()}, torch.zeros(2, 1, 8, 8), rounds=3)["a"]
    assert len(taken.milliseconds) == 3 and min(taken.milliseconds) > 0
    with pytest.raises(CourseError, match="rounds=2"):
        measure_latency({"a": toy_model()}, IMAGES, rounds=2)


@pytest.mark.parametrize(
    ("images", "size"),
    [
        ([IMAGES[0], IMAGES[1]], 2),
        ((IMAGES, 3), 5),
        ({"pictures": IMAGES, "more": 1}, 5),
        ({"pictures": [IMAGES[0]]}, 1),
    ],
)
def test_inputs_of_any_kind(images, size):
    class Takes(nn.Module):
        def forward(self, pictures, more=0):
            return torch.stack(list(pictures)) + more

    assert measure_latency({"a": Takes()}, images, rounds=3)["a"].batch_size == size


def test_another_clock():
    ticks = iter(range(1000))
    times = measure_latency({"a": nn.Identity()}, IMAGES, rounds=3, clock=lambda: next(ticks))
    assert times["a"].milliseconds == (1000.0,) * 3
