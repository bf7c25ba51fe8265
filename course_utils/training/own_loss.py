"""A loss of the reader's own in place of cross-entropy, for `fit(loss=...)`.

>>> import torch.nn.functional as F
>>> def squared_error(model, images, labels):
...     shares = model(images).softmax(1)
...     return F.mse_loss(shares, F.one_hot(labels, shares.shape[1]).float())
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.core import CourseError, is_out_of_memory
from course_utils.training.checks import in_words
from course_utils.training.precision import Precision

LossFunction = Callable[[Any, Tensor, Tensor], Tensor]
"""Takes the model, pictures as the model takes them, and their labels; returns one number."""

NO_GRADIENT_OF_LOSS = (
    "No gradient goes from the loss to the model's parameters, so nothing can be learned: call the "
    "model that the loss takes, and keep detach(), no_grad(), .data, .item(), argmax() and NumPy "
    "away from what it returns."
)


class LossModel:
    """Stands for the model in a loss: a call computes in the precision of the training.

    What a call returns is float32. All else, such as `model.training`, is that of the model.

    Args:
        model: The model itself.
        parallel: The model, or its wrapper for several processes.
        device: Of the model.
        precision: Number format and memory layout of a call.
        once: Whether each step calls it exactly once, which several processes need.
    """

    def __init__(
        self,
        model: nn.Module,
        parallel: nn.Module,
        device: torch.device,
        precision: Precision,
        once: bool = False,
    ) -> None:
        self._model, self._parallel, self._once = model, parallel, once
        self._device, self._precision = device, precision
        self._calls = 0
        self._output: Any = None

    def __call__(self, images: Tensor, *args: Any, **kwargs: Any) -> Any:
        self._calls += 1
        if self._once and self._calls > 1:
            self._check_once()
        try:
            with self._precision.autocast(self._device):
                output = self._parallel(self._precision.arrange(images), *args, **kwargs)
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            if isinstance(error, CourseError) or is_out_of_memory(error):
                raise
            raise CourseError(in_words(error)) from error
        self._output = _as_float32(output)
        return self._output

    @property
    def network(self) -> nn.Module:
        """The model itself: computes plainly, and is not counted as a call of the loss."""
        return self._model

    def __getattr__(self, name: str) -> Any:
        if name == "_model":  # while it is copied it has no model yet
            raise AttributeError(name)
        return getattr(self._model, name)

    def __getitem__(self, place: Any) -> Any:
        return self._model[place]

    def _check_once(self) -> None:
        if self._once and self._calls != 1:
            raise CourseError(
                "With several processes the loss must call the model that it takes once in each "
                f"step, not {self._calls or 'never'}{' times' * (self._calls > 0)}: join the "
                "pictures with torch.cat, and split what the model returns."
            )


def loss_and_logits(
    function: LossFunction, model: LossModel, images: Tensor, labels: Tensor, classes: int
) -> tuple[Tensor, Tensor | None]:
    """Return the loss of a batch, and the logits (N, classes) if the model returned such.

    Raises:
        CourseError: If the loss is not one number, or with several processes does not call the
            model once.
    """
    loss = function(model, images, labels)
    if not isinstance(loss, Tensor):
        raise CourseError(
            f"The loss returns a {type(loss).__name__}, but a tensor with one number is needed: "
            "compute it with functions of torch, from what model(images) returns."
        )
    if loss.numel() != 1 or not loss.is_floating_point():
        kind = str(loss.dtype).removeprefix("torch.")
        raise CourseError(
            f"The loss returns {kind} numbers of shape {tuple(loss.shape)}, but one float is "
            "needed, the mean over the pictures: .mean() returns it."
        )
    model._check_once()
    output = model._output
    is_logits = isinstance(output, Tensor) and output.shape == (len(labels), classes)
    return loss.reshape(()).float(), output if is_logits else None


def name_of(function: LossFunction) -> str:
    """Return what identifies a loss in a checkpoint: its name, its code, and its settings.

    Values that a function takes from elsewhere, such as a teacher, are not seen, except in a
    dataclass or a `functools.partial`.
    """
    if isinstance(function, functools.partial):
        given = [*map(repr, function.args), *(f"{k}={v!r}" for k, v in function.keywords.items())]
        name = f"{name_of(function.func)}({', '.join(given)})"
    elif code := getattr(function, "__code__", None):
        digest = hashlib.sha256(repr(_fixed(code)).encode()).hexdigest()
        name = f"{function.__qualname__} {digest[:16]}"
    else:
        name = repr(function)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", name)


def _fixed(code: CodeType) -> tuple[Any, ...]:
    """Return what a function does, without the place where it is written."""
    constants = [_fixed(c) if isinstance(c, CodeType) else c for c in code.co_consts]
    return code.co_code, code.co_names, constants


def _as_float32(value: Any) -> Any:
    """Return the tensors of floats in `value`, also in tuples, lists and dicts, as float32."""
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return {key: _as_float32(one) for key, one in value.items()}
    if type(value) in (tuple, list):
        return type(value)(map(_as_float32, value))
    return value


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in what a model returns, also in tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list, Mapping)):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from tensors_in(one)
