"""Check that a model and a data set fit together, and say in plain words where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from course_utils.core import CourseError, check_network, evaluation_mode, kind_of
from course_utils.data import Dataset
from course_utils.metrics.evaluate import check_logits

# Arguments, in order, of the operations whose failure is explained. Layers call these functions,
# and so do models that use `torch.nn.functional` themselves.
_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_POOLING = ("input", "kernel_size", "stride", "padding")
_MAX_POOLING = (*_POOLING, "dilation")
_LINEAR = ("input", "weight")
_PRODUCT = ("input", "other")
_ARGUMENTS = {
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), _CONVOLUTION),
    **dict.fromkeys((F.avg_pool1d, F.avg_pool2d, F.avg_pool3d), _POOLING),
    **dict.fromkeys((F.max_pool1d, F.max_pool2d, F.max_pool3d), _MAX_POOLING),
    **dict.fromkeys((torch.max_pool1d, torch.max_pool2d, torch.max_pool3d), _MAX_POOLING),
    F.linear: _LINEAR,
    **dict.fromkeys((Tensor.matmul, Tensor.__matmul__, torch.matmul), _PRODUCT),
}

NO_GRADIENT = (
    "No gradient reaches the model's parameters, so nothing can be learned: take detach(), "
    "no_grad(), .data, argmax() and NumPy out of its forward."
)


def check_kinds(model: Any, data: Any) -> None:
    """Raise a `CourseError` unless `model` is a network and `data` a `Dataset`."""
    check_network(model)
    if isinstance(data, str):
        raise CourseError(f"data={data!r} is a name: give load_dataset({data!r}).")
    if not isinstance(data, Dataset):
        raise CourseError(
            f"data must be a Dataset with its three parts, not {kind_of(data)}: load_dataset "
            "returns one, and Dataset(name, title, train, validation, test) makes one of three "
            "sets of your own pictures, each an ImageSet(images, labels, classes)."
        )


def check_model_fits(
    model: nn.Module,
    data: Dataset,
    device: torch.device | str = "cpu",
    *,
    any_output: bool = False,
) -> bool:
    """Show two pictures to `model`, in eval mode, and check that it returns a score per class.

    If some of its parameters require a gradient, it is also checked that one can reach them.

    Args:
        any_output: Whether it may return something else.

    Returns:
        Whether it returns a score per class.

    Raises:
        CourseError: If there is no training picture, or the model was built for another number of
            channels, picture size or number of classes, one of the two is of another kind, or
            no gradient reaches the parameters.
    """
    check_kinds(model, data)
    if not len(data.train):
        raise CourseError(f"{data.title} has no training picture: there is nothing to learn from.")
    images = data.normalise(data.train.images[:2].to(device))
    watch = _Watch()
    with evaluation_mode(model), torch.enable_grad():
        try:
            with watch:
                logits = model(images)
        except CourseError:
            raise
        except (RuntimeError, ValueError, TypeError) as error:
            scripted = any(isinstance(m, torch.jit.ScriptModule) for m in model.modules())
            raise CourseError(_in_words(error, watch, data, scripted)) from error
    if any_output:
        return isinstance(logits, Tensor) and logits.shape == (len(images), len(data.classes))
    check_logits(logits, len(images), len(data.classes))
    if not logits.requires_grad and any(p.requires_grad for p in model.parameters()):
        raise CourseError(NO_GRADIENT)
    return True


class _Watch(TorchFunctionMode):
    """Remembers the operation that failed last: its `error` and its arguments by name.

    `names` are those of the table, () for an operation that is not in it. `convolutions` counts the
    convolutions that have run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.convolutions = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        kwargs = kwargs or {}
        names = _ARGUMENTS.get(function, ())
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            self.error, self.names = error, names
            self.arguments = dict(zip(names, args, strict=False)) | kwargs
            raise
        self.convolutions += names is _CONVOLUTION
        return result


def _in_words(error: Exception, watch: _Watch, data: Dataset, scripted: bool) -> str:
    """Explain an error; TorchScript shows no operations and says the reason in its last line."""
    channels, height, width = data.image_shape
    pictures = f"the pictures of {data.title} ({channels}×{height}×{width})"
    names, of = (watch.names, watch.arguments) if watch.error is error else ((), {})
    shape = of["input"].shape if names else ()
    if names is _CONVOLUTION and len(shape) == of["weight"].dim():
        expected, given = of["weight"].shape[1] * of.get("groups", 1), shape[1]
        if expected != given and not watch.convolutions:
            return (
                f"The model's first convolution takes {expected} channels, but {pictures} have "
                f"{channels}: build the model with in_channels={channels}."
            )
        if expected != given:
            return (
                f"A convolution of the model takes {expected} channels, but the layer before it "
                f"returns {given}: make its in_channels {given}."
            )
    if names in (_LINEAR, _PRODUCT):
        matrix = of["weight"].T if names is _LINEAR else of["other"]
        if matrix.dim() == 2 and matrix.shape[0] != shape[-1]:
            return (
                f"A linear layer of the model takes {matrix.shape[0]} numbers, but with {pictures} "
                f"it is given {shape[-1]}: build the model for this picture size, or set the "
                f"layer's in_features to {shape[-1]}."
            )
    if names in (_CONVOLUTION, _POOLING, _MAX_POOLING):
        kernel = of["weight"].shape[2:] if names is _CONVOLUTION else of["kernel_size"]
        if not _window_fits(shape[2:], kernel, of.get("padding", 0), of.get("dilation", 1)):
            return (
                f"{pictures[0].upper()}{pictures[1:]} are too small for this model: one of its "
                "layers has no pixels left. Use fewer poolings or strides, or more padding."
            )
    lines = (str(error).strip() or "no message").splitlines()
    return f"The model cannot take {pictures}: {lines[-1] if scripted else lines[0]}"


def _window_fits(
    sizes: Sequence[int],
    kernel: int | Sequence[int],
    padding: int | str | Sequence[int],
    dilation: int | Sequence[int],
) -> bool:
    """Return whether a window fits into an input of `sizes`; numbers count for all axes."""
    if isinstance(padding, str):
        padding = 0 if padding == "valid" else 10**9
    numbers = (kernel, padding, dilation)
    axes = ([n] * len(sizes) if isinstance(n, int) else n for n in numbers)
    return all(n + 2 * p > d * (k - 1) for n, k, p, d in zip(sizes, *axes, strict=False))
