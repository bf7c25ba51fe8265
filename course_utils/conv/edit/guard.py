"""The last check of an edit: the finished network runs, without any help."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from course_utils.conv.edit.layers import batch_norm_on_meta, by_name, linear_on_meta
from course_utils.conv.edit.operations import POINTWISE
from course_utils.conv.edit.state import private_run
from course_utils.conv.example import Call
from course_utils.conv.meta import mapped, run_mixed, tensors_in

Shape = tuple[int | None, ...]
"""Of an output; None for a size that depends on numbers (how many boxes were found)."""


def output_shapes(model: nn.Module, calls: dict[bool, Call | None]) -> list[tuple[int, ...]]:
    """Return the shapes of all tensors that a network returns.

    Nothing is changed on the way: a layer that does not fit its input stops the run.

    Args:
        calls: the arguments in eval mode (False) and in training mode (True); None for no run.
    """
    shapes = []
    for training, call in calls.items():
        if call is not None:
            args, kwargs = mapped(call, Tensor.clone)
            with private_run(model, training), _OnlyShapes():
                shapes += [tuple(y.shape) for y in tensors_in(model(*args, **kwargs))]
    return shapes


def agree(shapes: list[Shape], others: list[Shape]) -> bool:
    """Check whether the shapes of two runs are the same, as far as they depend on no numbers."""
    return len(shapes) == len(others) and all(
        len(a) == len(b) and all(n == m or None in (n, m) for n, m in zip(a, b, strict=True))
        for a, b in zip(shapes, others, strict=True)
    )


class _OnlyShapes(TorchFunctionMode):
    """Computes shapes without numbers faster than PyTorch, which takes ten times as long."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        first = args[0] if args else None
        if isinstance(first, Tensor) and first.is_meta:
            if func is F.linear:
                return linear_on_meta(**by_name(func, args, kwargs))
            if func is F.batch_norm:
                a = by_name(func, args, kwargs)
                if not a.get("training"):
                    return batch_norm_on_meta(a)
            name = getattr(func, "__name__", "")
            if name.rstrip("_") in POINTWISE and not name.startswith("_"):
                in_place = name.endswith("_") or kwargs.get("inplace", False)
                return first if in_place else torch.empty_like(first)
        return run_mixed(func, args, kwargs)
