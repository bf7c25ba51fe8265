"""Tables of a model's layers and of its convolutions: sizes, parameters, costs, receptive fields.

The model runs once, on the meta device where that works: shapes without numbers. Hooks record each
layer. A `TorchDispatchMode`, which sees every single operation, follows the receptive field through
branches, sums and concatenations, which no hook on a layer can see.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

from course_utils.conv.arithmetic import conv2d_shape
from course_utils.conv.edit.settings import simple
from course_utils.conv.meta import blank, copied, tensors_in
from course_utils.conv.receptive_field import ReceptiveField, windows_of
from course_utils.conv.rules import WINDOW
from course_utils.core import evaluation_mode, shape_text

if TYPE_CHECKING:
    import pandas

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_SIZES = ("kernel_size", "stride", "padding", "dilation")
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class LayerRow:
    """One call of one layer.

    Attributes:
        name: the layer's name in the model, as in `model.get_submodule(name)`.
        kind: its class.
        output_shape: of the batch; None if the model did not call the layer itself.
        parameters: numbers that it learns; 0 where an earlier row has counted them already.
        multiply_adds: of one picture. As in most papers on CNNs only those of convolutions and
            linear layers (so not of a transformer's attention); None for other layers.
        receptive_field: of one number of the output; None where a number sees the whole picture
            (after flattening, global pooling, squeeze-and-excitation), or where it is not known.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...] | None
    parameters: int
    multiply_adds: int | None
    receptive_field: ReceptiveField | None


def layer_table(model: nn.Module, example_input: Tensor | tuple) -> list[LayerRow]:
    """Return a row for each call of a layer, in the order of the calls.

    Layers are the modules without children, and those that own parameters themselves (a vision
    transformer's class token). Layers with parameters that were not called come last (heads for
    training only; the output layer inside `nn.MultiheadAttention`), so the parameters of all rows
    add up to those of the model. Shared ones are counted once.

    A copy of the model runs, in eval mode; the model itself does not change.

    Args:
        example_input: a batch (N, ...), or one picture (C, H, W); a tuple for a model with several
            inputs.

    Raises:
        Exception: any error of the model on `example_input`.
    """
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    with suppress(Exception):  # control flow that looks at numbers, lazy layers, a broken model
        return _run(copied(model, blank, blank), tree_map_only(Tensor, blank, inputs))
    with suppress(Exception):  # some models cannot be copied (with pruning masks, say)
        model = copied(model)
    with torch.random.fork_rng(devices=[]):
        return _run(model, inputs)


def as_frame(rows: Sequence[LayerRow]) -> pandas.DataFrame:
    """Return the rows as a pandas table; shapes and fields as text, unknown numbers as <NA>."""
    import pandas

    return pandas.DataFrame(
        {
            "layer": [row.name for row in rows],
            "kind": [row.kind for row in rows],
            "output shape": [_shapes([row]) for row in rows],
            "parameters": _whole(row.parameters for row in rows),
            "multiply-adds": _whole(row.multiply_adds for row in rows),
            "receptive field": [str(row.receptive_field or "") for row in rows],
        }
    )


def list_convs(
    model: nn.Module, example_input: Tensor | tuple[Tensor, ...] | None = None
) -> pandas.DataFrame:
    """Return a row for each `nn.Conv2d` of a model, which does not change.

    Args:
        example_input: a batch (N, C, H, W), or one picture (C, H, W); a tuple for a model with
            several inputs. With it the rows are in the order of the calls, layers that were not
            called last; without it in the order of `model.named_modules()`.

    Returns:
        The columns "layer" (the name that `edit_conv` takes), "in_channels", "out_channels",
        "kernel_size", "stride", "padding", "dilation" (one number where height and width agree,
        else a pair), "groups", "bias" and "parameters" (0 where an earlier row has counted them).
        With an `example_input` also "output shape" (of the batch; of a layer that is called several
        times each different one) and "multiply-adds" (of one picture, all calls together). Unknown
        numbers are <NA>.

    Raises:
        Exception: any error of the model on `example_input`.
    """
    import pandas

    convs = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    calls: dict[str, list[LayerRow]] = {name: [] for name in convs}
    if example_input is not None:
        rows = layer_table(model, example_input)
        called = [row for row in rows if row.name in convs and row.output_shape is not None]
        for row in called:
            calls[row.name].append(row)
        convs = {row.name: convs[row.name] for row in called} | convs

    counted: set[int] = set()
    table: dict[str, Any] = {
        "layer": list(convs),
        "in_channels": [conv.in_channels for conv in convs.values()],
        "out_channels": [conv.out_channels for conv in convs.values()],
        **{name: [simple(getattr(c, name)) for c in convs.values()] for name in _SIZES},
        "groups": [conv.groups for conv in convs.values()],
        "bias": [conv.bias is not None for conv in convs.values()],
        # A parametrisation (weight normalisation, say) has its parameters in inner modules.
        "parameters": _whole(_count(conv.parameters(), counted) for conv in convs.values()),
    }
    if example_input is not None:
        table["output shape"] = [_shapes(calls[name]) for name in convs]
        costs = ([row.multiply_adds for row in calls[name]] for name in convs)
        table["multiply-adds"] = _whole(sum(cost) if cost else None for cost in costs)
    return pandas.DataFrame(table)


def _count(parameters: Iterable[nn.Parameter], counted: set[int]) -> int | None:
    """Return how many numbers have not been counted before; None if some are lazy."""
    new = {id(p): p for p in parameters if id(p) not in counted}
    counted.update(new)
    return None if any(map(is_lazy, new.values())) else sum(p.numel() for p in new.values())


def _shapes(calls: list[LayerRow]) -> str:
    """Return each different output shape as text."""
    shapes = dict.fromkeys(row.output_shape for row in calls if row.output_shape is not None)
    return ", ".join(map(shape_text, shapes)) or "not called"


def _whole(values: Iterable[int | None]) -> pandas.arrays.IntegerArray:
    """Return integers as a column; some may be missing."""
    import pandas

    return pandas.array(list(values), dtype="Int64")


# Running the model


def _run(model: nn.Module, inputs: tuple) -> list[LayerRow]:
    """Run a model once and return each call of a layer, then the layers without a call."""
    rows: list[LayerRow] = []
    counted: set[int] = set()
    called: set[nn.Module] = set()
    fields = _FollowFields()
    names = {module: name for name, module in model.named_modules() if _listed(module)}
    pictures = max(inputs[0].shape[0], 1) if inputs[0].ndim != 3 else 1

    def add(module: nn.Module, shape=None, cost=None, field=None) -> None:
        parameters = _count(module.parameters(recurse=False), counted)
        cost = None if cost is None else cost // pictures
        kind = type(module).__name__
        rows.append(LayerRow(names[module], kind, shape, parameters, cost, field))
        called.add(module)

    def note(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        source, result = _first_tensor((args, kwargs)), _first_tensor(output)
        if isinstance(module, nn.Conv2d) and module.padding_mode == "circular":
            fields.through(module, source, result)  # PyTorch copies this padding piece by piece
        shape = None if result is None else tuple(result.shape)
        add(module, shape, _multiply_adds(module, source, result), fields.of(result))

    handles = [module.register_forward_hook(note, with_kwargs=True) for module in names]
    try:
        with evaluation_mode(model), torch.no_grad(), fields:
            fields.begin(tensors_in(inputs))
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    for module in names:
        if module not in called and _owns(module):
            add(module)
    return rows


def _listed(module: nn.Module) -> bool:
    counted = isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED, nn.Linear))
    return counted or _owns(module) or next(module.children(), None) is None


def _owns(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None


def _first_tensor(values: Any) -> Tensor | None:
    return next(iter(tensors_in(values)), None)


def _multiply_adds(module: nn.Module, source: Any, output: Any) -> int | None:
    """Return the multiply-adds of the whole batch, or None if they are unknown."""
    if isinstance(module, nn.Conv2d):  # an adapter may have resized its output
        window = {name: getattr(module, name) for name in WINDOW}
        shape = conv2d_shape(tuple(source.shape[-3:]), module.out_channels, **window)
        pictures = source.shape[0] if source.ndim == 4 else 1
        return pictures * math.prod(shape) * math.prod(module.weight.shape[1:])
    if isinstance(module, _CONVOLUTIONS):  # each output number sums over one kernel
        return output.numel() * math.prod(module.weight.shape[1:])
    if isinstance(module, _TRANSPOSED):  # each input number is spread over one kernel
        return source.numel() * math.prod(module.weight.shape[1:])
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    return None


# Following the receptive field

# Operations that move channels or pictures, and leave each pixel where it is.
_KEEPS_PIXELS = frozenset(
    (
        *("alias", "cat", "channel_shuffle", "detach", "expand", "permute", "select", "slice"),
        *("split", "split_with_sizes", "squeeze", "transpose", "unsqueeze", "view", "_unsafe_view"),
        # These work pixel by pixel, but PyTorch (up to 2.7 at least) does not mark them so.
        *("elu_", "hardsigmoid_", "hardswish", "hardswish_", "hardtanh_", "leaky_relu"),
        *("leaky_relu_", "mish_", "_prelu_kernel", "threshold_"),
    )
)


class _FollowFields(TorchDispatchMode):
    """Keeps a receptive field for each tensor that is computed.

    A tensor without an entry is a constant, which sees nothing. One with the entry None sees the
    whole picture, or is not understood; the same holds for all that is computed from it.
    """

    def __init__(self):
        super().__init__()
        self._fields = WeakTensorKeyDictionary()

    def begin(self, inputs: list[Tensor]) -> None:
        for tensor in inputs:
            self._fields[tensor] = ReceptiveField() if tensor.ndim >= 3 else None

    def through(self, layer: nn.Conv2d, before: Tensor, after: Tensor) -> None:
        field = self.of(before)
        for window in windows_of(layer):
            self._fields[after] = field and field.then(*window)

    def of(self, tensor: Tensor | None) -> ReceptiveField | None:
        return None if tensor is None else self._fields.get(tensor)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        tensors = tensors_in((args, kwargs))
        sources = [t for t in tensors if t in self._fields]
        if sources:
            field = self._behind(func, args, sources, output)
            for tensor in tensors_in(output):
                self._fields[tensor] = field
                base = tensor._base  # of a view; None otherwise
                written = any(tensor is t for t in tensors)
                if base is not None and written and self._fields.get(base, ...) != field:
                    self._fields[base] = None  # a part of it now sees something else
        return output

    def _behind(self, func, args, sources, output) -> ReceptiveField | None:
        """Return the receptive field after one operation on `sources`."""
        field = self._fields[sources[0]]
        for source in sources[1:]:
            other = self._fields[source]
            field = field and other and field.union(other)
        if field is None:
            return None
        name = func.overloadpacket.__name__
        match name:
            case "convolution" if len(args[3]) == 2 and not args[6] and len(sources) == 1:
                _, weight, _, stride, padding, dilation, *_ = args
                padding = padding if len(padding) == 2 else padding * 2  # padding="valid": [0]
                return field.then(tuple(weight.shape[2:]), stride, dilation, padding)
            case "max_pool2d_with_indices" | "avg_pool2d":
                # Arguments at the end are left out where they have their default values.
                kernel, stride, padding, dilation = [*args[1:], *[None] * 4][:4]
                dilation = dilation if name.startswith("max") else None
                return field.then(kernel, stride or kernel, dilation or 1, padding or 0)
            case "constant_pad_nd" | "reflection_pad2d" | "replication_pad2d":
                left, _, top, *_ = [*args[1], 0, 0]
                return field.then(1, padding=(top, left)) if len(args[1]) <= 4 else None
            case "native_batch_norm" if not args[5]:  # not training: known mean and variance
                return field
        if torch.Tag.pointwise in func.tags or name in _KEEPS_PIXELS:
            return field if _same_pixels(name, args, sources, output) else None
        return None


def _same_pixels(name: str, args: tuple, sources: list[Tensor], output: Any) -> bool:
    """Check whether height and width are still the last two dimensions, and the same."""
    ndim = sources[0].ndim
    match name:
        case "cat" | "select" | "transpose":
            moved = [d % ndim for d in args[1:3] if name == "transpose"]
            moved = moved or [(args[1] if len(args) > 1 else 0) % ndim]
            kept = max(moved) < ndim - 2
        case "permute":
            kept = [d % ndim for d in args[1][-2:]] == [ndim - 2, ndim - 1]
        case _:
            kept = True
    return kept and len({t.shape[-2:] for t in (*sources, *tensors_in(output))}) == 1
