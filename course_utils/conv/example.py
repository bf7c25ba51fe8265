"""The ways to call a model on an example input: pictures, lists, tuples, dictionaries."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from course_utils.conv.meta import tensors_in

Call = tuple[tuple, dict[str, Any]]
"""The arguments of one call of a model: model(*call[0], **call[1])."""


def ways_to_call(model: nn.Module, example_input: Any) -> list[Call]:
    """Return the calls that `example_input` may mean, the likeliest first.

    A tensor, a list (of pictures, as detection models take it) or any other value is one input, as
    it is; a tuple holds several inputs, and its last one may be a dictionary of keyword arguments.
    A dictionary holds keyword arguments or is one input: the names of the arguments of `forward`
    decide which of them comes first. Only last of all one picture (C, H, W) becomes a batch of one.
    """
    single = ((example_input,), {})
    match example_input:
        case tuple():
            ways = [(tuple(example_input), {}), single]
            if example_input and _has_names(example_input[-1]):
                ways.append((tuple(example_input[:-1]), dict(example_input[-1])))
            return ways
        case Mapping() if _has_names(example_input):
            ways = [((), dict(example_input)), single]
            return ways if _takes(model, example_input) else ways[::-1]
        case Tensor() if example_input.ndim == 3:
            return [single, ((example_input[None],), {})]
        case _:
            return [single]


def count_pictures(call: Call, first_batch: int | None) -> int:
    """Return the number of pictures in a call: the first dimension of its first large tensor.

    Pictures without a dimension for the batch, (C, H, W), count as one each.

    Args:
        first_batch: the batch with which the first convolution or matrix product has run. It tells
            a picture (C, H, W) from a batch (N, C, L).
    """
    sized = [found for value in (*call[0], *call[1].values()) for found in _sized(value)]
    if not sized:
        return 1
    tensor, alone = next((pair for pair in sized if pair[0].ndim >= 3), sized[0])
    return alone if tensor.ndim <= 3 and first_batch in (1, alone) else tensor.shape[0]


def _sized(value: Any, length: int = 1) -> Iterator[tuple[Tensor, int]]:
    """Yield each tensor with dimensions, and the length of the list in which it is."""
    match value:
        case Mapping():
            inner = [(v, length) for v in value.values()]
        case list() | tuple():
            inner = [(v, len(value)) for v in value]
        case _:
            yield from ((t, length) for t in tensors_in(value) if t.ndim)
            return
    for item, of in inner:
        yield from _sized(item, of)


def _has_names(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def _takes(model: nn.Module, names: Mapping) -> bool:
    """Check whether `forward` has an argument of each name."""
    try:
        arguments = inspect.signature(model.forward).parameters
    except (TypeError, ValueError):  # scripted models do not show theirs
        return False
    return set(names) <= set(arguments)


def as_example(call: Call) -> Any:
    """Return the example input that means this call: a tuple, or a dictionary of names."""
    args, kwargs = call
    return kwargs if kwargs and not args else (*args, *([kwargs] if kwargs else []))
