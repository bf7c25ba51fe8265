"""The report of an edit: which layers changed, what it cost, and whether the function stayed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.conv.edit.adapter import AdaptedConv2d
from course_utils.conv.edit.state import private_run
from course_utils.conv.example import Call, as_example
from course_utils.conv.layer_table import LayerRow, layer_table
from course_utils.conv.meta import copied, mapped, tensors_in, without_foreign_hooks
from course_utils.conv.receptive_field import ReceptiveField
from course_utils.core import CourseError, shape_text

_CONVOLUTIONS = ("Conv2d", "AdaptedConv2d")
ROUNDING = 1e-4  # of the largest output: what another order of additions may change
# Attributes of layers that an edit can change, and the words for them.
_SETTINGS = {"in_channels": "in", "out_channels": "out", "kernel_size": "kernel"}
_SETTINGS |= {name: name for name in ("stride", "padding", "dilation", "groups")}
_SETTINGS |= {"padding_mode": "padding mode", "in_features": "in", "out_features": "out"}
_CHANNELS = ("num_features", "num_channels", "normalized_shape", "num_parameters")
_SETTINGS |= dict.fromkeys(_CHANNELS, "channels")


@dataclass(frozen=True)
class LayerChange:
    """One layer that the edit changed.

    Attributes:
        name, kind: of the layer; its class.
        pairs: (what, before, after) of each setting or size that changed, as short texts.
    """

    name: str
    kind: str
    pairs: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        changes = ", ".join(f"{what} {old} → {new}" for what, old, new in self.pairs)
        return f"{self.name} ({self.kind}): {changes}"


@dataclass(frozen=True)
class EditReport:
    """The result of one call of `edit_conv`.

    Attributes:
        name: of the edited layer.
        changes: the arguments of the call.
        layers: every layer whose settings or sizes changed, the edited one first.
        adapters: names of the layers that got an adapter.
        kept, cut, grown: how many numbers of the network's parameters are still there (perhaps
            shared with copies), are gone, and are new (copies and zeros).
        reason: why the layer needs an adapter; "" if it has none.
    """

    name: str
    changes: dict[str, Any]
    layers: tuple[LayerChange, ...]
    adapters: tuple[str, ...]
    kept: int
    cut: int
    grown: int
    _before: nn.Module = field(repr=False)
    _after: nn.Module = field(repr=False)
    _call: Call = field(repr=False)
    _new_call: Call = field(
        repr=False
    )  # of the network after; its pictures may have other channels
    _common_outputs: bool = field(repr=False)  # whether the edit changes the number of outputs
    reason: str = ""

    @property
    def touched(self) -> tuple[str, ...]:
        """Return the names of the layers that changed."""
        return tuple(layer.name for layer in self.layers)

    @property
    def example_input(self) -> Any:
        """Return zeros of the shapes that the network takes after the edit."""
        zeros = mapped(self._new_call, lambda t: torch.zeros(t.shape, dtype=t.dtype))
        example = as_example(zeros)
        return example[0] if isinstance(example, tuple) and len(example) == 1 else example

    @cached_property
    def parameters(self) -> tuple[int, int]:
        """Return how many numbers the network learns, before and after."""
        return tuple(sum(p.numel() for p in m.parameters()) for m in (self._before, self._after))

    @cached_property
    def multiply_adds(self) -> tuple[int, int]:
        """Return the multiply-adds of one picture, before and after."""
        return tuple(sum(row.multiply_adds or 0 for row in rows) for rows in self._tables)

    @cached_property
    def receptive_field(self) -> tuple[ReceptiveField | None, ReceptiveField | None]:
        """Return that of the convolution called last, before and after.

        None where it sees the whole picture, or is not known.
        """
        convs = ([row for row in rows if row.kind in _CONVOLUTIONS] for rows in self._tables)
        return tuple(rows[-1].receptive_field if rows else None for rows in convs)

    @cached_property
    def _tables(self) -> tuple[list[LayerRow], list[LayerRow]]:
        both = (self._before, self._call), (self._after, self._new_call)
        return tuple(layer_table(model, as_example(call)) for model, call in both)

    def difference(self, *inputs: Any, **named_inputs: Any) -> float:
        """Return how far the outputs are from those before: max |Δy| / max |y|, in eval mode.

        Of several outputs it is that of the one that changed most. About 1e-6 means the same
        function within rounding. It is infinite if the outputs have other shapes (another number of
        boxes was found, say). Where the edit changes the number of outputs, those count that the
        network had before and still has.

        Raises:
            CourseError: if the pictures have other channels now, so both cannot take the same.
        """
        if self._takes_other_pictures:
            raise CourseError("The pictures have other channels now: see same_function.")
        call = inputs, named_inputs
        return _difference(self._before, self._after, call, call, self._common_outputs)

    @property
    def _takes_other_pictures(self) -> bool:
        calls = self._call, self._new_call
        old, new = ([t.shape for t in tensors_in(call)] for call in calls)
        return old != new

    @cached_property
    def same_function(self) -> bool | None:
        """Return whether random pictures have the same outputs as before, within rounding.

        If their channels changed: grey pictures, whose channels are all alike. Where float32 leaves
        that open, it is computed in float64. None on the meta device, after a dry run, and where
        there is nothing to compare. For your own pictures see `difference`.
        """
        first = next(self._before.parameters())
        if first.is_meta or next(self._after.parameters()).is_meta:
            return None
        models = self._before, self._after
        calls = self._random_calls(first.device)
        if not any(y.numel() for y in _outputs(self._before, calls[0])):
            return None
        change = _difference(*models, *calls, self._common_outputs)
        limit = ROUNDING
        if ROUNDING / 100 <= change < 100 * ROUNDING:
            with contextlib.suppress(Exception):  # the model computes with float32 somewhere
                calls = mapped(calls, lambda t: t.double() if t.is_floating_point() else t)
                models = (copied(model).double() for model in models)
                change = _difference(*models, *calls, self._common_outputs)
                limit = ROUNDING / 100  # there may still be a part in float32
        return change < limit

    def _random_calls(self, device: torch.device) -> tuple[Call, Call]:
        """Return random inputs for both networks; grey ones where their shapes differ."""
        random = torch.Generator().manual_seed(0)
        values: dict[int, Tensor] = {}
        inputs = tensors_in(self._call), tensors_in(self._new_call)
        for old, new in zip(*inputs, strict=True):
            common = old
            if old.shape != new.shape:
                pairs = zip(old.shape, new.shape, strict=True)
                common = old.new_empty([a if a == b else 1 for a, b in pairs])
            value = _random_like(common, random, device)
            values |= {id(old): value.expand(old.shape), id(new): value.expand(new.shape)}
        return tuple(mapped(c, lambda t: values[id(t)]) for c in (self._call, self._new_call))

    def __str__(self) -> str:
        asked = ", ".join(f"{name}={value!r}" for name, value in self.changes.items())
        count = len(self.layers) - 1
        first = self.layers[0] if self.layers else "nothing changed"
        lines = [f"{self.name}: {asked}", f"  {first}"]
        if count > 0:
            lines.append(f"{count} other layer{'s' * (count > 1)} followed:")
            lines += [f"  {layer}" for layer in self.layers[1:]]
        for name in self.adapters:
            text = f"{name} got an adapter: the rest of the network could not follow."
            lines.append(f"{text} {self.reason}".rstrip())
            lines += [f"  Its {what} right behind it." for what in self._undone(name)]
        for what in ("parameters", "multiply-adds"):
            with contextlib.suppress(Exception):  # a model may not run everywhere: leave it out
                a, b = getattr(self, what.replace("-", "_"))
                change = f"{b / max(a, 1) - 1:+.1%}".replace("-", "−")
                lines.append(f"{what}: {a:,} → {b:,} ({change})")
        lines.append(f"weights: {self.kept:,} kept, {self.cut:,} cut, {self.grown:,} grown")
        with contextlib.suppress(Exception):
            if self.same_function is not None:
                grey = " on grey pictures" if self._takes_other_pictures else ""
                same = "the same" if self.same_function else "another"
                lines.append(f"function: {same}{grey}")
        with contextlib.suppress(Exception):
            a, b = self.receptive_field
            if a is not None and b is not None:
                lines.append(f"receptive field: {a} → {b}")
        return "\n".join(lines)

    def _undone(self, adapted: str) -> Iterator[str]:
        """Yield what the adapter of a layer undoes, so that only this layer costs more or less."""
        layer = self._after.get_submodule(adapted)
        if layer.former is not None:
            yield "maps are resized to their former size"
        if layer.project is not None:
            channels = layer.project.in_channels, layer.project.out_channels
            yield "{} channels become {} again".format(*channels)


def relative_change(before: Tensor, after: Tensor) -> float:
    """Return max |after − before| / max |before|; up to `ROUNDING` it is rounding."""
    return float((after - before).abs().max() / before.abs().max().clamp(min=1e-30))


def _difference(
    before: nn.Module, after: nn.Module, call: Call, new_call: Call, common: bool
) -> float:
    """Return the relative change of the outputs; with `common` of those that both have."""
    old, new = _outputs(before, call), _outputs(after, new_call)
    if common:
        old, new = zip(*map(_common, old, new), strict=True)
    if [y.shape for y in old] != [y.shape for y in new]:
        return math.inf
    sizes = [_largest(y[_numbers(y).isfinite()]) for y in old]
    # One that is nothing beside the others may consist of rounding only.
    least = max([1e-6 * size for size in sizes] + [1e-30])
    changes = [
        _largest(torch.where(a == b, torch.zeros_like(a), b - a)) / max(size, least)
        for a, b, size in zip(map(_numbers, old), map(_numbers, new), sizes, strict=True)
    ]
    return max(changes, key=lambda change: (math.isnan(change), change), default=0.0)


def _numbers(y: Tensor) -> Tensor:
    return y if y.is_floating_point() or y.is_complex() else y.double()


def _largest(y: Tensor) -> float:
    return float(_numbers(y).abs().max()) if y.numel() else 0.0


def _outputs(model: nn.Module, call: Call) -> list[Tensor]:
    """Return the tensors that a copy of a model returns in eval mode, without foreign hooks."""
    shared = {id(p): p for p in model.parameters()}
    model = copied(model, memo=shared)
    args, kwargs = mapped(call, Tensor.clone)
    with private_run(model), without_foreign_hooks(model):
        return tensors_in(model(*args, **kwargs))


def report_of(
    before: nn.Module,
    after: nn.Module,
    name: str,
    changes: dict[str, Any],
    call: Call,
    new_call: Call,
    output: bool,
    reason: str = "",
) -> EditReport:
    """Return the report that compares a network with the edited one."""
    old, new = dict(before.named_modules()), dict(after.named_modules())
    layers, adapters = [], []
    for layer, module in new.items():
        former = old.get(layer)
        if former is not None and (pairs := tuple(_differences(former, module))):
            layers.append(LayerChange(layer, type(former).__name__, pairs))
        if isinstance(module, AdaptedConv2d) and not _same_adapter(former, module):
            adapters.append(layer)
    layers.sort(key=lambda change: change.name != name)  # stable: the others stay in order
    had, has = dict(before.named_parameters()), dict(after.named_parameters())
    kept = sum(_kept(p, has[n]) for n, p in had.items() if n in has)
    cut, grown = (sum(p.numel() for p in every.values()) - kept for every in (had, has))
    lists = tuple(layers), tuple(adapters)
    numbers = kept, cut, grown
    reason = reason if adapters else ""
    models = before, after, call, new_call, output
    return EditReport(name, dict(changes), *lists, *numbers, *models, reason=reason)


def _kept(old: Tensor, new: Tensor) -> int:
    """Return how many of a parameter's numbers are still there.

    A dimension that grows keeps all, one that shrinks as many as are left; where groups or splits
    moved, there are zeros instead.
    """
    both = math.prod(min(a, b) for a, b in zip(old.shape, new.shape, strict=True))
    if old.shape == new.shape or old.ndim == 1 or new.numel() >= old.numel() or new.is_meta:
        return both
    return min(both, int(new.detach().count_nonzero()))


def _differences(old: nn.Module, new: nn.Module) -> Iterator[tuple[str, str, str]]:
    known = False
    for attribute, shown in _SETTINGS.items():
        a, b = getattr(old, attribute, None), getattr(new, attribute, None)
        if _is_plain(a) and _is_plain(b) and a != b:
            known = True
            yield shown, _short(a), _short(b)
    if isinstance(old, nn.modules.conv._ConvNd) and (old.bias is None) != (new.bias is None):
        yield "bias", *("no" if m.bias is None else "yes" for m in (old, new))
    if not known:  # a layer of another kind, with parameters of its own
        new_shapes = {n: p.shape for n, p in new.named_parameters(recurse=False)}
        for n, p in old.named_parameters(recurse=False):
            if n in new_shapes and p.shape != new_shapes[n]:
                yield n, *(shape_text(s) for s in (p.shape, new_shapes[n]))


def _is_plain(value: Any) -> bool:
    """Check whether this is a setting; other classes have tensors or methods of the same names."""
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        same = len(set(value)) == 1
        return str(value[0]) if same and len(value) != 2 else shape_text(value)
    return str(value)


def _same_adapter(old: nn.Module | None, new: AdaptedConv2d) -> bool:
    same = isinstance(old, AdaptedConv2d) and old.former == new.former
    return same and (old.project is None) == (new.project is None)


def _common(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the parts of two tensors whose indices both have."""
    parts = tuple(slice(min(n, m)) for n, m in zip(a.shape, b.shape, strict=True))
    return a[parts], b[parts]


def _random_like(value: Tensor, random: torch.Generator, device: torch.device) -> Tensor:
    if value.is_floating_point():
        return torch.randn(value.shape, generator=random).to(device, value.dtype)
    return torch.zeros(value.shape, dtype=value.dtype, device=device) if value.is_meta else value
