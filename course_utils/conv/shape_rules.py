"""Outputs of the most frequent functions on the meta device, made from their shapes alone.

PyTorch runs many functions on the meta device in Python. That takes up to a hundred times as long
as `torch.empty`, and the first call of some of them imports its compiler, which takes seconds. Here
are rules for those that nearly every network calls. A rule answers only in the plain case, where
all arguments fit and all tensors are contiguous. In any other case PyTorch runs the function, and
says what is wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.overrides import TorchFunctionMode

from course_utils.conv.meta import run_mixed

CONVOLUTIONS = {F.conv1d, F.conv2d, F.conv3d}
TRANSPOSED = {F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d}
POINTWISE = {"relu", "relu6", "leaky_relu", "elu", "silu", "gelu", "mish", "hardswish", "tanh"}
POINTWISE |= {"sigmoid", "hardsigmoid", "hardtanh", "dropout", "dropout2d"}
BETWEEN_TWO = {"add", "sub", "mul", "__add__", "__sub__", "__mul__"}
JOINS = {"cat", "concat", "concatenate"}

_ARGUMENTS = {  # `inspect.signature` does not know those of compiled functions
    F.linear: "input weight bias",
    F.batch_norm: "input running_mean running_var weight bias training momentum eps",
    F.layer_norm: "input normalized_shape weight bias eps",
    F.group_norm: "input num_groups weight bias eps",
    F.prelu: "input weight",
}
_ARGUMENTS |= dict.fromkeys(CONVOLUTIONS, "input weight bias stride padding dilation groups")
_BACK = "input weight bias stride padding output_padding groups dilation"
_ARGUMENTS |= dict.fromkeys(TRANSPOSED, _BACK)
_NAMES = {func: tuple(names.split()) for func, names in _ARGUMENTS.items()}

_OPERATIONS = {name + end for name in POINTWISE | {"add", "sub", "mul"} for end in ("", "_")}
_OPERATIONS |= {"convolution", "native_batch_norm", "_native_batch_norm_legit_no_training"}
_OWN = (Tensor, nn.Parameter)  # other classes may have functions of their own


class OnlyShapes(TorchFunctionMode):
    """Computes shapes without numbers faster than PyTorch does."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        output = quick_output(func, args, kwargs)
        return run_mixed(func, args, kwargs) if output is None else output


def by_name(func: Callable, args: tuple, kwargs: dict) -> dict[str, Any]:
    """Return the arguments of a function that has weights, by their names."""
    names = _NAMES.get(func) or inspect.signature(func).parameters
    return dict(zip(names, args, strict=False)) | kwargs


def run_by_name(func: Callable, a: dict[str, Any]) -> Any:
    """Return the output of a function that has weights; `a` are its arguments by their names."""
    rule = _RULES.get(func)
    output = rule(**a) if rule is not None else None
    return func(**a) if output is None else output


def quick_output(func: Callable, args: tuple, kwargs: dict[str, Any]) -> Tensor | None:
    """Return the output of any function; None if there is no rule for this call."""
    if func in _RULES:
        return _RULES[func](**by_name(func, args, kwargs))
    name = getattr(func, "__name__", "")
    in_place = name.endswith("_") and not name.endswith("__")
    name = name.rstrip("_") if in_place else name
    if name in POINTWISE:
        return _pointwise(in_place, *args[:1], **kwargs)
    if name in BETWEEN_TWO and not kwargs:
        return _between_two(in_place, *args)
    if name in JOINS:
        return _joined(*args, **kwargs)
    return _pooled(*args, **kwargs) if func is F.adaptive_avg_pool2d else None


def quick_operation(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Return the output of an operation of the dispatcher; None if there is no rule for this call.

    Args:
        func: a `torch._ops.OpOverload`.
    """
    name = func.overloadpacket.__name__
    if kwargs or name not in _OPERATIONS:
        return None
    if name == "convolution":
        return None if args[6] else _convolution(*args[:6], args[8])
    if name.endswith("batch_norm") or name.endswith("no_training"):
        x, training = args[0], name == "native_batch_norm" and args[5]
        # The other outputs are those of training: mean and variance of the batch.
        known = x.is_meta and not training
        return (empty_like(x), empty(x, 0), empty(x, 0)) if known else None
    in_place = name.endswith("_")
    name = name.rstrip("_")
    if name in POINTWISE:
        return _pointwise(in_place, *args[:1])
    return _between_two(in_place, *args)


def empty(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a tensor without numbers of another shape than one on the meta device.

    It takes a fifth of the time of `like.new_empty(shape)`, which PyTorch runs in Python.
    """
    return torch.empty(shape, dtype=like.dtype, device=like.device)


def empty_like(x: Tensor) -> Tensor:
    """Return a tensor without numbers like one on the meta device."""
    return empty(x, x.shape) if x.is_contiguous() else torch.empty_like(x)


def _plain(*tensors: Any) -> bool:
    """Check whether all are contiguous tensors on the meta device, of one kind of number."""
    for t in tensors:
        if type(t) not in _OWN or not t.is_meta or t.dtype != tensors[0].dtype:
            return False
        if not t.is_contiguous():
            return False
    return True


# Functions with weights


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    fits = _plain(input, weight) and weight.ndim == 2 and input.shape[-1:] == weight.shape[1:]
    if not fits or not _is_bias(bias, weight):
        return None
    return empty(input, (*input.shape[:-1], weight.shape[0]))


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor | None:
    if not _plain(input, weight) or weight.ndim != input.ndim or not _is_bias(bias, weight):
        return None
    window = [_each(value, weight.ndim - 2) for value in (stride, padding, dilation)]
    rows, columns, *kernel = weight.shape
    if None in window or groups < 1 or rows % groups or columns * groups != input.shape[1]:
        return None
    if min(*window[0], *window[2]) < 1 or min(window[1]) < 0:
        return None
    axes = zip(input.shape[2:], kernel, *window, strict=True)
    sizes = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes]
    shape = (input.shape[0], rows, *sizes)
    return empty(input, shape) if min(*shape, *weight.shape) > 0 else None


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    if training or not input.is_meta:
        return None
    vectors = [v for v in (running_mean, running_var, weight, bias) if v is not None]
    lengths = {v.shape[0] for v in vectors}
    if lengths - {input.shape[1]}:
        raise RuntimeError(f"{input.shape[1]} channels meet a BatchNorm of {lengths} channels")
    return empty_like(input)


_RULES: dict[Callable, Callable[..., Tensor | None]] = {
    F.linear: _linear,
    F.batch_norm: _batch_norm,
    F.conv1d: _convolution,
    F.conv2d: _convolution,
    F.conv3d: _convolution,
}


def _is_bias(bias: Tensor | None, weight: Tensor) -> bool:
    return bias is None or (_plain(weight, bias) and bias.shape == weight.shape[:1])


def _each(value: Any, count: int) -> list[int] | None:
    """Return a number for each dimension of the pixels; None if this is something else."""
    values = [value] * count if isinstance(value, int) else value
    if not isinstance(values, (tuple, list)) or len(values) != count:
        return None
    return list(values) if all(type(n) is int for n in values) else None


# Functions without weights


def _written(x: Tensor) -> Tensor:
    """Return a tensor after its numbers were changed in place: its version says so."""
    if not x.is_inference():  # those have no version
        increment_version(x)
    return x


def _pointwise(in_place: bool, x: Any = None, *, inplace: bool = False, **_: Any) -> Tensor | None:
    if not isinstance(x, Tensor) or not x.is_meta:
        return None
    return _written(x) if inplace or in_place else empty_like(x)


def _between_two(in_place: bool, *args: Any) -> Tensor | None:
    """Return the sum, say, of two tensors with equally many dimensions."""
    if len(args) != 2 or not _plain(*args) or args[0].ndim != args[1].ndim:
        return None
    x, y = args
    if not x.is_floating_point():  # truth values cannot be subtracted, say
        return None
    shape = tuple(map(max, x.shape, y.shape))
    if 0 in (*x.shape, *y.shape):
        return None
    for dim, (n, m) in enumerate(zip(x.shape, y.shape, strict=True)):
        if n != m and 1 not in (n, m):  # PyTorch's words; it would import its compiler to say them
            raise RuntimeError(
                f"The size of tensor a ({n}) must match the size of tensor b ({m}) at"
                f" non-singleton dimension {dim}"
            )
    if in_place:
        return _written(x) if x.shape == shape else None
    return empty(x, shape)


def _pooled(input: Tensor, output_size: Any) -> Tensor | None:
    sizes = _each(output_size, 2)
    fits = sizes is not None and _plain(input) and input.ndim == 4 and input.is_floating_point()
    if not fits or min(*sizes, *input.shape) < 1:
        return None
    return empty(input, (*input.shape[:2], *sizes))


def _joined(tensors: Any = None, dim: Any = 0, **others: Any) -> Tensor | None:
    if others or type(dim) is not int or not isinstance(tensors, (tuple, list)) or not tensors:
        return None
    ndim = tensors[0].ndim if _plain(*tensors) else 0
    if not -ndim <= dim < ndim or any(t.ndim != ndim for t in tensors):
        return None
    shapes = [list(t.shape) for t in tensors]
    sizes = [shape.pop(dim) for shape in shapes]
    if any(shape != shapes[0] for shape in shapes):
        return None
    shapes[0].insert(dim % ndim, sum(sizes))
    return empty(tensors[0], shapes[0])
