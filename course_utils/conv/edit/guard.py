"""The last check of an edit: the finished network runs, without any help."""

from __future__ import annotations

from torch import Tensor, nn

from course_utils.conv.edit.state import private_run
from course_utils.conv.example import Call
from course_utils.conv.meta import mapped, tensors_in
from course_utils.conv.shape_rules import OnlyShapes

Shape = tuple[int | None, ...]
"""Of an output; None for a size that depends on numbers (how many boxes were found)."""


def output_shapes(
    model: nn.Module, calls: dict[bool, Call | None], mode: OnlyShapes | None = None
) -> list[tuple[int, ...]]:
    """Return the shapes of all tensors that a network returns.

    Nothing is changed on the way: a layer that does not fit its input stops the run.

    Args:
        calls: the arguments in eval mode (False) and in training mode (True); None for no run.
        mode: sees each function that runs.
    """
    shapes = []
    for training, call in calls.items():
        if call is not None:
            args, kwargs = mapped(call, Tensor.clone)
            with private_run(model, training), mode or OnlyShapes():
                shapes += [tuple(y.shape) for y in tensors_in(model(*args, **kwargs))]
    return shapes


def agree(shapes: list[Shape], others: list[Shape]) -> bool:
    """Check whether the shapes of two runs are the same, as far as they depend on no numbers."""
    return len(shapes) == len(others) and all(
        len(a) == len(b) and all(n == m or None in (n, m) for n, m in zip(a, b, strict=True))
        for a, b in zip(shapes, others, strict=True)
    )
