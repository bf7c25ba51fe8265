"""The table from which a reader picks the convolution to edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from course_utils.conv.edit.settings import simple
from course_utils.conv.layer_table import LayerRow, layer_table

if TYPE_CHECKING:
    import pandas

_SIZES = ("kernel_size", "stride", "padding", "dilation")


def list_convs(
    model: nn.Module, example_input: Tensor | tuple[Tensor, ...] | None = None
) -> pandas.DataFrame:
    """A row for each `nn.Conv2d` of `model`; the model is left as it is.

    Args:
        example_input: a batch (N, C, H, W), or one picture (C, H, W); a tuple for a model of
            several inputs. With it the rows stand in the order of the calls, layers that were not
            called last; without it in the order of registration, as in `model.named_modules()`.

    Returns:
        The columns "layer" (the name that `edit_conv` takes), "in_channels", "out_channels",
        "kernel_size", "stride", "padding", "dilation" (one number where height and width agree,
        else a pair), "groups", "bias" and "parameters" (0 where an earlier row has counted them).
        With an `example_input` also "output shape" (of the batch; of a layer that is called several
        times each different one) and "multiply-adds" (of one picture, all calls together). What is
        not known is <NA>.

    Raises:
        Exception: whatever the model raises on `example_input`.
    """
    import pandas

    convs = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    calls: dict[str, list[LayerRow]] = {name: [] for name in convs}
    if example_input is not None:
        rows = layer_table(model, example_input)
        called = [row for row in rows if row.name in convs and row.output_shape is not None]
        for row in called:
            calls[row.name].append(row)
        order = dict.fromkeys([row.name for row in called] + list(convs))
        convs = {name: convs[name] for name in order}

    counted: set[int] = set()
    table: dict[str, Any] = {
        "layer": list(convs),
        "in_channels": [conv.in_channels for conv in convs.values()],
        "out_channels": [conv.out_channels for conv in convs.values()],
        **{name: [simple(getattr(c, name)) for c in convs.values()] for name in _SIZES},
        "groups": [conv.groups for conv in convs.values()],
        "bias": [conv.bias is not None for conv in convs.values()],
        "parameters": _whole(_parameters(conv, counted) for conv in convs.values()),
    }
    if example_input is not None:
        table["output shape"] = [_shapes(calls[name]) for name in convs]
        table["multiply-adds"] = _whole(_multiply_adds(calls[name]) for name in convs)
    return pandas.DataFrame(table)


def _parameters(conv: nn.Conv2d, counted: set[int]) -> int | None:
    """Numbers that `conv` learns and no earlier layer does; None if it has not seen its input yet.

    With a parametrisation (weight normalisation, say) they lie in modules inside the layer.
    """
    if any(is_lazy(p) for p in conv.parameters()):
        return None
    own = {id(p): p.numel() for p in conv.parameters() if id(p) not in counted}
    counted.update(own)
    return sum(own.values())


def _shapes(calls: list[LayerRow]) -> str:
    shapes = dict.fromkeys("×".join(map(str, row.output_shape)) for row in calls)
    return ", ".join(shapes) or "not called"


def _multiply_adds(calls: list[LayerRow]) -> int | None:
    return sum(row.multiply_adds for row in calls) if calls else None


def _whole(values: Any) -> Any:
    """Whole numbers of which some may be missing."""
    import pandas

    return pandas.array(list(values), dtype="Int64")
