"""Scale the width of a whole network: all numbers of channels at once, by one factor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from torch import nn

from course_utils.conv.affordable import require_few_channels
from course_utils.conv.edit.coupling import scaled_widths, streams
from course_utils.conv.edit.draft import Draft, EditError, first_draft
from course_utils.conv.edit.edit import unwrapped
from course_utils.conv.edit.matching import match
from course_utils.conv.edit.report import EditReport, report_of
from course_utils.conv.edit.settings import at_least_one
from course_utils.conv.edit.surgery import finished, resize_axes, run_again
from course_utils.conv.edit.trace import Trace
from course_utils.conv.edit.weights import Importance, class_scores, move_weights
from course_utils.core import (
    CourseError,
    check_network,
    device_of,
    error_line,
    garbage_later,
    is_number,
    is_out_of_memory,
    memory_in_words,
    require_memory,
)

ALL_LAYERS = "all layers"
"""The name in the report of an edit that scales the width."""


@garbage_later()
@memory_in_words("give a smaller multiplier, or a smaller example_input")
def scale_width(
    model: nn.Module,
    multiplier: float,
    *,
    example_input: Any = None,
    divisor: int = 8,
    importance: Importance = "l1",
    return_report: bool = False,
) -> nn.Module | tuple[nn.Module, EditReport]:
    """Return a copy of a network in which every layer has about `multiplier` times its channels.

    This is the width multiplier of Howard et al. (2017, "MobileNets: Efficient convolutional neural
    networks for mobile vision applications"), for a network with its weights. The network's inputs
    and outputs (its classes) stay. In the layers between, parameters and multiply-adds change by
    about the square of the multiplier.

    A wider network computes the same function, where `edit_conv` can keep it; a narrower one keeps
    the most important channels, so it needs training. Channels that cannot change stay as they are.

    Args:
        multiplier: of the widths, greater than 0. With 1 nothing changes.
        example_input, importance: as for `edit_conv`.
        divisor: the new widths are multiples of it, at least one of them, and not more than a tenth
            smaller than asked. A layer that would change in the other direction keeps its width.
        return_report: return (model, report).

    Raises:
        EditError: the model does not run on the example, or it stops with every other width.
        OutOfMemory: the network would need more memory than is free.
        CourseError: the multiplier or the divisor cannot be used.

    >>> import torch
    >>> from course_utils.models.simple import SimpleCNN
    >>> half = scale_width(SimpleCNN(), 0.5, example_input=torch.zeros(1, 1, 28, 28))
    >>> half.conv1.out_channels, half.conv2.out_channels
    (8, 16)
    """
    check_network(model)
    if not is_number(multiplier) or not 0 < multiplier < math.inf:
        raise CourseError(f"multiplier must be a number above 0, not {multiplier!r}.")
    divisor = at_least_one("divisor", divisor)
    model, _ = unwrapped(model)
    draft = first_draft(model, example_input)
    call = draft.call
    changing = _streams(draft.trace, multiplier, divisor) if multiplier != 1 else []
    if changing:
        _require_affordable(draft, changing, f"The width × {multiplier:g}")
        edited = _scaled(draft, changing, importance)
    else:
        edited = draft.filled()
    if not return_report:
        return edited
    changes = {"width_multiplier": multiplier}
    return edited, report_of(model, edited, ALL_LAYERS, changes, call, call, False)


@dataclass(frozen=True)
class _Stream:
    """Channels that must change by one ratio: all that layers put into one sum, say.

    Attributes:
        classes: numbers of its width classes in the trace.
        width: number of channels of the narrowest layer that produces them, or a divisor of it.
        want: what that is to become.
    """

    classes: np.ndarray
    width: int
    want: int

    @property
    def ratio(self) -> Fraction:
        return Fraction(self.want, self.width)


def _streams(trace: Trace, multiplier: float, divisor: int) -> list[_Stream]:
    """Return the channels that can change and that the multiplier changes."""
    classes = trace.width_classes
    produced = {
        axis: np.unique(classes[labels.numpy()], return_counts=True)
        for axis, labels in trace.axes.items()
        if axis.parameter in trace.input_shapes and axis not in trace.consumers
    }
    stream_of = streams(trace, [ids for ids, _ in produced.values()])
    fixed = np.zeros(stream_of.max() + 1, dtype=bool)
    fixed[stream_of[trace.fixed_classes(classes)]] = True

    widths: dict[int, int] = {}
    for ids, times in produced.values():
        number = int(stream_of[ids[0]])
        widths[number] = math.gcd(widths.get(number, 0), int(times.sum()))
    free = {number: width for number, width in widths.items() if not fixed[number]}
    steps = _steps(trace, classes, stream_of, free, divisor)
    found = []
    for number, width in free.items():
        want = _rounded(width, multiplier, steps[number])
        if want != width:
            found.append(_Stream(np.flatnonzero(stream_of == number), width, want))
    return found


def _steps(
    trace: Trace,
    classes: np.ndarray,
    stream_of: np.ndarray,
    widths: dict[int, int],
    divisor: int,
) -> dict[int, int]:
    """Return for each stream the number of which its width must be a multiple.

    It is a multiple of `divisor`, of groups, and of the heads of an attention.
    """
    steps = dict.fromkeys(widths, divisor)
    for labels in trace.axes.values():
        ids, times = np.unique(classes[labels.numpy()], return_counts=True)
        numbers = stream_of[ids]
        for number in np.unique(numbers).tolist():
            if number not in widths:
                continue
            here = times[numbers == number]
            for parts in {len(labels), *here.tolist()}:  # equal parts, each a whole number
                whole = widths[number] * parts
                steps[number] = math.lcm(steps[number], whole // math.gcd(whole, int(here.sum())))
    return steps


def _rounded(width: int, multiplier: float, step: int) -> int:
    """Return a multiple of `step` near the wanted width, not over a tenth below it.

    That is the rule of MobileNet's authors. A layer never changes against the multiplier.
    """
    wanted = width * multiplier
    new = max(step, int(wanted + step / 2) // step * step)
    if new < 0.9 * wanted:
        new += step
    return min(new, width) if multiplier < 1 else max(new, width)


def _require_affordable(draft: Draft, changing: Sequence[_Stream], what: str) -> None:
    """Raise an error if the weights need more memory than is free, or a layer is too wide.

    Raises:
        OutOfMemory: with the numbers.
    """
    trace = draft.trace
    ratio = np.ones(trace.width_classes.max() + 1)
    for stream in changing:
        require_few_channels(what, stream.want, stream.width)
        ratio[stream.classes] = float(stream.ratio)
    sizes: dict[str, float] = {}
    for axis in trace.axes:
        growth = ratio[trace.width_classes[trace.axes[axis].numpy()]].mean()
        now = sizes.get(axis.parameter, draft.shape(axis.parameter).numel())
        sizes[axis.parameter] = now * growth
    numbers = int(sum(sizes.values()))
    parameter = next(draft.original.parameters())
    if numbers > sum(draft.shape(name).numel() for name in sizes):
        needed = 3 * numbers * parameter.element_size()
        what = f"{what} ({numbers:,} weights)"
        require_memory(needed, what, "give a smaller multiplier", device_of(draft.original))


def _scaled(draft: Draft, changing: list[_Stream], importance: Importance) -> nn.Module:
    """Return the network in which as many streams as possible have their new widths.

    Usually all have at once. If not, halves are tried, so that what cannot change is found.

    Raises:
        EditError: with what stopped it, if none can change.
    """
    chosen: list[_Stream] = []
    result, problem = None, ""
    waiting = [changing]
    while waiting:
        tried = waiting.pop()
        if result is not None or problem:  # the attempt before has changed its draft
            draft = draft.fresh()
            draft.run()
        try:
            result = _with_widths(draft, chosen + tried, importance)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            problem = problem or (
                str(error) if isinstance(error, CourseError) else error_line(error)
            )
            half = len(tried) // 2
            waiting += [part for part in (tried[half:], tried[:half]) if part and half]
        else:
            chosen += tried
    if result is None:
        raise EditError(f"No layer's width can change. {problem}")
    return result


def _with_widths(draft: Draft, changing: list[_Stream], importance: Importance) -> nn.Module:
    """Return the network of a draft, which has run, with the new widths of these streams.

    Raises:
        EditError: a layer would get no whole number of channels, or the network cannot follow.
    """
    old = draft.trace
    ratios = {c: stream.ratio for stream in changing for c in stream.classes.tolist()}
    new_widths = scaled_widths(old, ratios)
    scores = class_scores(draft, np.unique(old.classes), importance)
    resize_axes(draft, new_widths)
    draft.set_sizes(old.depthwise)  # a layer's own forward may look at them
    rows = {
        axis.parameter: width * len(old.axes[axis])
        for axis, width in new_widths.items()
        if axis.dim == 0 and axis.parameter in old.input_shapes
    }
    new = run_again(draft, rows)
    matching = match(old, new, scores)
    grows = any(stream.want > stream.width for stream in changing)
    if grows and not matching.keeps_every_channel():
        raise EditError("The network picks channels by fixed numbers, and would lose some.")
    move_weights(draft, matching)
    draft.set_sizes(new.depthwise)
    return finished(draft, old)
