"""Tables of a model's layers and of its convolutions: sizes, parameters, costs, receptive fields.

The model runs once, on the meta device where that works: shapes without numbers. Nothing is
computed from a layer's settings: hooks say which layer runs, and a `TorchDispatchMode` sees every
single operation, with the shapes of what goes in and comes out.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from course_utils.conv.costs import batch_size, is_not_counted, multiply_adds
from course_utils.conv.edit.settings import simple
from course_utils.conv.example import Call, count_pictures, ways_to_call
from course_utils.conv.field_tracker import FieldTracker
from course_utils.conv.meta import as_before, blank, copied, tensors_in, without_foreign_hooks
from course_utils.conv.receptive_field import ReceptiveField
from course_utils.conv.shape_rules import quick_operation
from course_utils.core import check_network, evaluation_mode, shape_text

if TYPE_CHECKING:
    import pandas

_WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)
_SIZES = ("kernel_size", "stride", "padding", "dilation")


@dataclass(frozen=True)
class LayerRow:
    """One call of one layer.

    Attributes:
        name: the layer's name in the model, as in `model.get_submodule(name)`.
        kind: its class.
        output_shape: of its first tensor, with the batch; () without one. None if the model did not
            call the layer itself.
        parameters: numbers that it learns; 0 where an earlier row has counted them already.
        multiply_adds: of one picture, without inner layers that have their own rows. Convolutions
            and all matrix products count (linear and recurrent layers, attention), as in
            `torch.utils.flop_counter`; None for a layer without them. As there, nothing else counts
            (additions, normalisation, pooling, resizing).
        receptive_field: of one number of the output; None where a number sees the whole picture
            (after flattening, global pooling, squeeze-and-excitation), or where it is not known.
        not_counted: operations that may multiply and add much, but whose cost is not known (Fourier
            transforms, kernels of other libraries).
    """

    name: str
    kind: str
    output_shape: tuple[int, ...] | None
    parameters: int
    multiply_adds: int | None
    receptive_field: ReceptiveField | None
    not_counted: tuple[str, ...] = ()


def layer_table(model: nn.Module, example_input: Any) -> list[LayerRow]:
    """Return a row for each call of a layer, in the order of the calls.

    Layers are the modules without children, those that own parameters themselves (a vision
    transformer's class token), and those that multiply and add themselves (an attention block).
    Layers with parameters that were not called come last (heads for training only; the output layer
    inside `nn.MultiheadAttention`), so the parameters of all rows add up to those of the model.
    Shared ones are counted once.

    A copy of the model runs, in eval mode; the model itself does not change. Hooks that watch the
    model from outside are not called, unless it cannot run without them.

    Args:
        example_input: whatever the model takes, as it is: a batch (N, ...), one picture (C, H, W),
            a list of pictures; a tuple for several inputs; a dictionary of keyword arguments.

    Raises:
        Exception: any error of the model on `example_input`.
    """
    check_network(model)
    model = getattr(model, "_orig_mod", model)  # inside the wrapper of torch.compile
    problems = []
    with torch.random.fork_rng(devices=[]):
        for call in ways_to_call(model, example_input):
            # Not on the meta device: control flow that looks at numbers, lazy layers.
            with contextlib.suppress(Exception):
                return _run_without_numbers(model, call)
            for hooks, follow in ((False, True), (True, True), (True, False)):
                try:
                    return _run_for_real(model, call, hooks, follow)
                except Exception as error:
                    problems.append(error)
    raise problems[0]


def as_frame(rows: Sequence[LayerRow]) -> pandas.DataFrame:
    """Return the rows as a pandas table; shapes and fields as text, unknown numbers as <NA>.

    There is a column "not counted" only if some operation is not.
    """
    import pandas

    table = pandas.DataFrame(
        {
            "layer": [row.name for row in rows],
            "kind": [row.kind for row in rows],
            "output shape": [_shapes([row]) for row in rows],
            "parameters": _whole(row.parameters for row in rows),
            "multiply-adds": _whole(row.multiply_adds for row in rows),
            "receptive field": [str(row.receptive_field or "") for row in rows],
        }
    )
    if any(row.not_counted for row in rows):
        table["not counted"] = [", ".join(row.not_counted) for row in rows]
    return table


def list_convs(model: nn.Module, example_input: Any = None) -> pandas.DataFrame:
    """Return a row for each `nn.Conv2d` of a model, which does not change.

    Args:
        example_input: as for `layer_table`. With it the rows are in the order of the calls, layers
            that were not called last; without it in the order of `model.named_modules()`.

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

    check_network(model)
    model = getattr(model, "_orig_mod", model)
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
        known = ([cost for cost in every if cost is not None] for every in costs)
        table["multiply-adds"] = _whole(sum(every) if every else None for every in known)
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


def _run_without_numbers(model: nn.Module, call: Call) -> list[LayerRow]:
    model = copied(model, blank, blank)
    with without_foreign_hooks(model):
        return _run(model, copied(call, other=blank))


def _run_for_real(model: nn.Module, call: Call, hooks: bool, follow: bool) -> list[LayerRow]:
    """Run a copy with its numbers; the model itself where it cannot be copied (it has a lock)."""
    kept = contextlib.nullcontext()
    try:
        model = copied(model)
    except Exception:
        kept = as_before(model)
    with kept, contextlib.nullcontext() if hooks else without_foreign_hooks(model):
        return _run(model, copied(call), follow)


def _run(model: nn.Module, call: Call, follow: bool = True) -> list[LayerRow]:
    """Run a model once and return each call of a layer, then the layers without a call."""
    recording = _Recording(model)
    with contextlib.ExitStack() as stack:
        for module in model.modules():
            for handle in recording.attach(module):
                stack.callback(handle.remove)
        for context in (evaluation_mode(model), torch.no_grad(), _eagerly()):
            stack.enter_context(context)
        recording.fields.begin(tensors_in(call))
        with recording if follow else contextlib.nullcontext():
            model(*call[0], **call[1])
    return recording.rows(call, follow)


def _eagerly() -> contextlib.AbstractContextManager:
    """Run what `torch.compile` wraps as it is: a compiled part shows no single operations."""
    compiler_in_use = "torch._dynamo" in sys.modules  # importing it takes seconds
    stance = torch.compiler.set_stance
    return stance("force_eager") if compiler_in_use else contextlib.nullcontext()


@dataclass
class _Running:
    """One call of a module, while it runs; costs are those of the batch, without inner modules."""

    module: nn.Module
    cost: int | None = None
    not_counted: dict[str, None] = field(default_factory=dict)  # an ordered set
    shape: tuple[int, ...] | None = None
    sees: ReceptiveField | None = None


class _Recording(TorchDispatchMode):
    """Sees every operation of a run, and through hooks which module it belongs to."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.fields = FieldTracker()
        self._names = {module: name for name, module in model.named_modules()}
        self._open = [_Running(model)]
        self._calls: list[_Running] = []
        self._batches: dict[int, int] = {}

    def attach(self, module: nn.Module) -> Iterator[RemovableHandle]:
        """Let the module say when its forward begins and ends, though it may be scripted."""
        options = {"with_kwargs": True}
        yield nn.Module.register_forward_pre_hook(module, self._begin, prepend=True, **options)
        yield nn.Module.register_forward_hook(module, self._end, always_call=True, **options)

    def _begin(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        self._open.append(_Running(module))

    def _end(self, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        call = self._open.pop()
        source, result = _first_tensor((args, kwargs)), _first_tensor(output)
        plain = isinstance(module, nn.Conv2d) and type(module).forward is nn.Conv2d.forward
        if plain and module.padding_mode == "circular" and result is not None:
            self.fields.through(module, source, result)  # PyTorch copies this padding in pieces
        nested = result is not None and result.is_nested  # a list of tensors in one
        call.shape = () if result is None or nested else tuple(result.shape)
        call.sees = self.fields.of(result)
        if _listed(module) or call.cost is not None or call.not_counted:
            self._calls.append(call)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():  # here `linear`, say, arrives in one piece
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        output = quick_operation(func, args, kwargs)
        if output is None:
            output = func(*args, **kwargs)
        tensors, call = tensors_in((args, kwargs)), self._open[-1]
        constant = not self.fields.knows(tensors)
        cost = multiply_adds(func, args, kwargs, output, constant)
        if cost is not None:
            call.cost = (call.cost or 0) + cost
            if not constant and (batch := batch_size(func, args)):
                self._batches.setdefault(*batch)
        elif not constant and is_not_counted(func):
            call.not_counted[func.name().partition(".")[0].removeprefix("aten::")] = None
        self.fields.follow(func, args, tensors, output)
        return output

    def rows(self, call: Call, followed: bool) -> list[LayerRow]:
        """Return a row for each call, then the layers with parameters that were not called."""
        first_batch = self._batches[min(self._batches)] if self._batches else None
        pictures = max(count_pictures(call, first_batch), 1)
        called, counted = {c.module for c in self._calls}, set()
        own = [m for m in self._names if m not in called and _owns(m)]
        rows = []
        for one in self._calls + [_Running(module) for module in own]:
            scripted = isinstance(one.module, torch.jit.ScriptModule)
            kind = one.module.original_name if scripted else type(one.module).__name__
            parameters = _count(one.module.parameters(recurse=False), counted)
            cost = None if one.cost is None else one.cost // pictures
            not_counted = tuple(one.not_counted) if followed else ("all operations",)
            name = self._names[one.module]
            rows.append(LayerRow(name, kind, one.shape, parameters, cost, one.sees, not_counted))
        return rows


def _listed(module: nn.Module) -> bool:
    return isinstance(module, _WEIGHTED) or _owns(module) or next(module.children(), None) is None


def _owns(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None


def _first_tensor(values: Any) -> Tensor | None:
    return next(iter(tensors_in(values)), None)
