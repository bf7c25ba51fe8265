"""Measure the time of a forward pass so that models can be compared on a busy machine."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from course_utils.conv import Call, ways_to_call
from course_utils.core import CourseError, device_of, evaluation_mode, memory_in_words, one_thread

ROUNDS = 200
FEWEST_ROUNDS = 3  # quartiles need three
SHORT, UNTIMED = 10.0, 2
"""A pass of fewer milliseconds comes after so many that do not count. The passes of other models
leave their own code and data in the processor's caches: after one of PyTorch, ONNX Runtime needed
half as long again for its first pass, and no longer for its third."""


@dataclass(frozen=True)
class Latency:
    """Times of forward passes.

    Attributes:
        batch_size: pictures in each pass.
        milliseconds: of each pass, in the order of the rounds.
    """

    batch_size: int
    milliseconds: tuple[float, ...] = field(repr=False)

    @property
    def median(self) -> float:
        """Median milliseconds of a whole batch."""
        return statistics.median(self.milliseconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Lower and upper quartile in milliseconds."""
        low, _, high = statistics.quantiles(self.milliseconds, n=4, method="inclusive")
        return low, high

    def __str__(self) -> str:
        return "{:.3g} ms ({:.3g} to {:.3g})".format(self.median, *self.quartiles)


@memory_in_words("give fewer or smaller images")
def measure_latency(
    models: Mapping[str, nn.Module],
    images: Any,
    *,
    rounds: int = ROUNDS,
    seconds: float = 0.5,
    clock: Callable[[], float] | None = None,
) -> dict[str, Latency]:
    """Time a forward pass of each model: one thread on the CPU, eval mode, no gradients.

    In every round one pass of each model counts, and the order is reversed after each round, so
    that other programs slow all models equally. A first round prepares the kernels and does not
    count. Right before a short pass (`SHORT`), the model runs `UNTIMED` times without counting: as
    if it were the only one. Afterwards modes and the number of threads are as before.

    Args:
        models: by name; each runs on the device of its parameters.
        images: one batch as the models take it: float32 (N, C, H, W), a list of pictures, a tuple
            of several inputs, or a dictionary of keyword arguments.
        rounds: the most rounds, at least 3.
        seconds: after this time for each model no new round begins, once there are three.
        clock: returns seconds; default: `time.perf_counter`. On a machine with more work than cores
            a long pass is interrupted more often than a short one; `time.process_time` counts only
            the work of this process.

    Raises:
        CourseError: if `rounds` is below 3.
        OutOfMemory: if there is not enough memory.
        Exception: any other error of a model.
    """
    if rounds < FEWEST_ROUNDS:
        raise CourseError(
            f"rounds={rounds} is too small for quartiles: give {FEWEST_ROUNDS} or more."
        )
    calls: dict[str, Call] = {}
    times: dict[str, list[float]] = {name: [] for name in models}
    order = list(models)
    with contextlib.ExitStack() as stack:
        for context in (one_thread(), *map(evaluation_mode, models.values()), torch.no_grad()):
            stack.enter_context(context)
        for name in order:
            calls[name] = _first_that_runs(models[name], images)
        started = time.perf_counter()
        for done in range(rounds):
            if done >= FEWEST_ROUNDS and time.perf_counter() - started > seconds * len(order):
                break
            for name in order:
                one = models[name], calls[name], clock or time.perf_counter
                taken = _pass_milliseconds(*one)
                if taken < SHORT:
                    taken = [_pass_milliseconds(*one) for _ in range(UNTIMED)][-1]
                times[name].append(taken)
            order.reverse()
    size = _batch_size(images)
    return {name: Latency(size, tuple(taken)) for name, taken in times.items()}


def typical_ratio(one: Latency, reference: Latency) -> float:
    """Return the ratio of two latencies of the same `measure_latency`; 2 is twice as long.

    It is the median of the ratios within each round: a machine that is slow for a while slows both
    passes of a round, so their ratio does not change.
    """
    pairs = zip(one.milliseconds, reference.milliseconds, strict=True)
    return statistics.median(a / b for a, b in pairs)


def _first_that_runs(model: nn.Module, images: Any) -> Call:
    """Return the first call with these images that a model accepts, on its device."""
    device = device_of(model)
    problems = []
    for call in ways_to_call(model, tree_map_only(Tensor, lambda t: t.to(device), images)):
        try:
            _pass_milliseconds(model, call, time.perf_counter)
        except Exception as error:
            problems.append(error)
        else:
            return call
    raise problems[0]


def _batch_size(images: Any) -> int:
    inputs = images.values() if isinstance(images, Mapping) else images
    first = next(iter(inputs)) if isinstance(images, Mapping | tuple) else images
    return len(first)


def _pass_milliseconds(model: nn.Module, call: Call, clock: Callable[[], float]) -> float:
    device = device_of(model)
    wait_for(device)
    started = clock()
    model(*call[0], **call[1])
    wait_for(device)
    return 1e3 * (clock() - started)


def wait_for(device: torch.device) -> None:
    """Wait until the device has finished its work; the CPU always has."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()
