"""A copy of a network without its numbers: an edit is tried on it, then it gets its numbers."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from course_utils.conv.edit.guard import Shape, agree, output_shapes
from course_utils.conv.edit.trace import Trace
from course_utils.conv.edit.tracer import trace_model
from course_utils.conv.example import Call, ways_to_call
from course_utils.conv.meta import (
    blank,
    copied,
    foreign_hooks,
    mapped,
    modules_by_name,
    resized,
    tensors_by_name,
    without_foreign_hooks,
)
from course_utils.core import (
    CourseError,
    device_of,
    error_line,
    plain_layout,
    unsafe_with_channels_last,
)


class EditError(CourseError):
    """A network in which this layer cannot be changed like this; says why."""


class Draft:
    """A network on the meta device, the real tensors behind its parameters, and its last trace.

    Without `meta` the copy has numbers, too, for models that look at numbers while they run.

    Attributes:
        model: the copy; the original is never changed.
        call: the arguments with which it runs.
        hooks: whether hooks that do not belong to the network are called when it runs.
        changed: name -> real tensor, of the parameters and buffers that have changed already.
        trace: of the last run.
        dry_run: whether `filled` leaves a network on the meta device without numbers.
    """

    trace: Trace

    def __init__(
        self, original: nn.Module, call: Call = ((), {}), meta: bool = True, hooks: bool = False
    ):
        self.original, self.call, self.meta, self.hooks = original, call, meta, hooks
        self._real = tensors_by_name(original)
        if any(map(is_lazy, self._real.values())):
            raise EditError("A lazy layer has no weights yet: run the model once.")

        def draft_of(t: Tensor) -> Tensor:
            if isinstance(t, nn.Parameter):
                new = blank(t) if meta else t.detach().clone()
                return nn.Parameter(new, t.requires_grad)
            # Tables of whole numbers (indices, counters) keep their numbers: code may look at them.
            return blank(t) if meta and t.is_floating_point() else t.detach().clone()

        try:
            memo = {id(t): draft_of(t) for t in self._real.values()}
            self.model = copied(original, memo=memo)
        except Exception as error:
            raise EditError(f"The model cannot be copied: {error_line(error)}") from error
        self._muted = contextlib.ExitStack()
        self._muted.enter_context(without_foreign_hooks(self.model))
        if hooks:
            self._muted.close()
        self.dry_run = False
        self.changed: dict[str, Tensor] = {}

    def fresh(self) -> Draft:
        """Return another draft of the same network, with nothing changed; it has not run yet."""
        fresh = Draft(self.original, self.call, self.meta, self.hooks)
        fresh.dry_run = self.dry_run
        return fresh

    def run(self, before: Trace | None = None) -> Trace:
        """Run the draft and return its trace; `before` is the one before its widths changed."""
        self.trace = trace_model(self.model, self.call, before)
        return self.trace

    def require_to_run(self, model: nn.Module, shapes: list[Shape]) -> None:
        """Check that the finished network runs as it is, with outputs of these shapes.

        Raises:
            EditError: with what stops it.
        """
        calls = {False: self.call, True: self.trace.training_call}
        try:
            found = output_shapes(model, calls)
        except Exception as error:
            raise EditError(f"The edited network would stop: {error_line(error)}.") from error
        if not agree(found, shapes):
            raise EditError(f"The network's output would be {found}, not {shapes}.")

    # Numbers

    def values(self, name: str) -> Tensor:
        """Return the real numbers of a parameter or buffer, as changed so far."""
        return self.changed[name] if name in self.changed else self._real[name].detach()

    def set_values(self, values: Mapping[str, Tensor]) -> None:
        """Set the numbers of parameters or buffers, and their shapes in the draft."""
        self.changed |= values
        self.set_shapes({name: tuple(new.shape) for name, new in values.items()})

    # Shapes

    def shape(self, name: str) -> torch.Size:
        """Return the shape that a parameter or buffer has in the draft."""
        return self._tensor(name).shape

    def set_shapes(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Set the shapes of parameters and buffers in the draft, wherever they are used."""
        changed: dict[int, Tensor] = {}
        for name, shape in shapes.items():
            old = self._tensor(name)
            if old.shape != tuple(shape):
                new = resized(old.detach(), shape)
                is_parameter = isinstance(old, nn.Parameter)
                changed[id(old)] = nn.Parameter(new, old.requires_grad) if is_parameter else new
        if changed:
            self._swap(changed)

    def set_sizes(self, depthwise: set[str]) -> None:
        """Set the layers' own numbers (`in_channels`, ...) to the sizes of their weights.

        The groups of convolutions with the weights `depthwise` follow their channels.
        """
        for name, module in modules_by_name(self.model):
            weight = getattr(module, "weight", None)
            shape = tuple(weight.shape) if isinstance(weight, Tensor) else ()
            match module:
                case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
                    if f"{name}.weight".removeprefix(".") in depthwise:
                        each = module.out_channels // module.in_channels
                        _renumber(module, groups=shape[0] // each)
                    inputs = shape[1] * module.groups
                    _renumber(module, out_channels=shape[0], in_channels=inputs)
                case nn.ConvTranspose1d() | nn.ConvTranspose2d() | nn.ConvTranspose3d():
                    outputs = shape[1] * module.groups
                    _renumber(module, in_channels=shape[0], out_channels=outputs)
                case nn.Linear():
                    _renumber(module, out_features=shape[0], in_features=shape[1])
                case nn.modules.batchnorm._NormBase():
                    vector = weight if shape else module.running_mean
                    if vector is not None:
                        _renumber(module, num_features=len(vector))
                case nn.GroupNorm() if shape:
                    _renumber(module, num_channels=shape[0])
                case object(normalized_shape=(_,)) if len(shape) == 1:  # LayerNorm, and own ones
                    _renumber(module, normalized_shape=shape)
                case nn.PReLU():
                    _renumber(module, num_parameters=shape[0])

    # Names

    def traced_weight(self, layer: str) -> str:
        """Return the name in the trace of a layer's weight, or of what it is computed from.

        "" if the layer is not used when the model runs.
        """
        if "weight" in self.model.get_submodule(layer)._parameters:
            own = self.listed_name(parameter_name(layer, "weight"))
            return own if own in self.trace.input_shapes else ""
        inside = parameter_name(layer, "")  # a parametrisation, or a hook with its own parameters
        return next((n for n in self.trace.input_shapes if n.startswith(inside)), "")

    def input_shapes(self, layer: str) -> list[tuple[int, ...]]:
        """Return the shapes of a convolution's inputs in the last run; none if it is not used."""
        shapes = self.trace.input_shapes.get(self.traced_weight(layer), [])
        conv = self.model.get_submodule(layer)
        if conv.padding_mode == "zeros":
            return shapes
        # In the other modes `nn.Conv2d` pads its input itself, before the convolution that we see.
        left, right, top, bottom = conv._reversed_padding_repeated_twice
        return [(*s[:-2], s[-2] - top - bottom, s[-1] - left - right) for s in shapes]

    def listed_name(self, name: str) -> str:
        """Return the name under which the model lists a parameter; a shared one has several."""
        tensor = self._tensor(name)
        if listed := self.trace.name_of(tensor):
            return listed
        for layer, module in modules_by_name(self.model):
            for table in (module._parameters, module._buffers):
                for attribute, t in table.items():
                    if t is tensor:
                        return parameter_name(layer, attribute)
        return name

    def unshare(self, name: str) -> bool:
        """Copy a parameter for this layer if it is shared; return whether it was."""
        owner, _, attribute = name.rpartition(".")
        shared, real = self._tensor(name), self.values(self.listed_name(name))
        tables = [module._parameters.values() for module in self.model.modules()]
        if sum(any(p is shared for p in table) for table in tables) == 1:
            return False
        module = self.model.get_submodule(owner)
        module._parameters[attribute] = nn.Parameter(shared.detach().clone(), shared.requires_grad)
        for listed in tensors_by_name(self.model):
            self._real.setdefault(listed, real)
        return True

    def filled(self) -> nn.Module:
        """Return the draft with its numbers: the changed tensors, and copies of all others.

        Weights keep their memory layout, unless training with it would end the process.
        """
        if self.dry_run and self.meta:
            return self.model
        real: dict[int, Tensor] = {}
        plain = unsafe_with_channels_last(self.model) != ""
        for name, tensor in tensors_by_name(self.model).items():
            values, original = self.changed.get(name), self._real.get(name)
            if values is None:
                if original is None:  # an adapter's, made with its numbers
                    continue
                values = original.detach().clone()
            channels_last = original is not None and not original.is_contiguous()
            if plain:
                values = plain_layout(values)
            elif channels_last and original.ndim == values.ndim == 4:
                values = values.contiguous(memory_format=torch.channels_last)
            if isinstance(tensor, nn.Parameter):
                values = nn.Parameter(values, tensor.requires_grad)
            real[id(tensor)] = values
        self._swap(real)
        self._muted.close()
        return self.model

    def _tensor(self, name: str) -> Tensor:
        owner, _, attribute = name.rpartition(".")
        return getattr(self.model.get_submodule(owner), attribute)

    def _swap(self, new: dict[int, Tensor]) -> None:
        """Put other tensors in the place of some, given by their ids."""
        for _, module in modules_by_name(self.model):
            for table in (module._parameters, module._buffers):
                for name, tensor in table.items():
                    if tensor is not None and id(tensor) in new:
                        table[name] = new[id(tensor)]


def _renumber(module: nn.Module, **numbers: Any) -> None:
    """Set those of a layer's own numbers that change; to set one takes long."""
    for name, number in numbers.items():
        if getattr(module, name) != number:
            setattr(module, name, number)


def parameter_name(layer: str, attribute: str) -> str:
    """Return the name of a layer's parameter in the model; the layer may be the whole model."""
    return f"{layer}.{attribute}" if layer else attribute


def first_draft(model: nn.Module, example_input: Any, dry_run: bool = False) -> Draft:
    """Return a draft that has run on the first inputs that the model accepts.

    The example runs exactly as it is given; only where the model does not run on it, as a batch of
    two. The draft is on the meta device if the model runs there, else it has numbers. The hooks of
    a reader are called only where the model does not run without them.
    """
    problem: Exception | None = None
    hooks = (False, True) if foreign_hooks(model) else (False,)
    for calls in _calls_to_try(model, example_input):
        for called, meta in itertools.product(hooks, (True, False)):
            errors: list[Exception] = []
            for call in calls:
                draft = Draft(model, _with_numbers(call, model, not meta), meta, called)
                try:
                    draft.run()
                    draft.dry_run = dry_run
                    return draft
                except Exception as error:
                    errors.append(error)
        if isinstance(errors[0], CourseError):
            raise errors[0]
        problem = problem or errors[0]  # of the run with numbers, on what was given
    raise EditError(
        f"The model does not run on the example input ({error_line(problem)}). Give a batch that"
        " it accepts: example_input=..."
    ) from problem


def _calls_to_try(model: nn.Module, given: Any) -> Iterator[list[Call]]:
    """Yield the calls to try, in turn: what is given as it is, then as a batch of two pictures.

    Without an example these are batches of two of the usual sizes.
    """
    if given is None:
        first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
        like = first.weight.detach()
        sizes = (224, 32, 28, 64, 96, 128, 256, 299, 384, 512)
        yield [((like.new_empty(2, first.in_channels, n, n, device="meta"),), {}) for n in sizes]
        return
    ways = ways_to_call(model, given)
    for way in ways:
        yield [way]
    yield [mapped(way, _two_pictures) for way in ways]


def _two_pictures(value: Tensor) -> Tensor:
    if value.ndim == 0:
        return value
    batch = value[None] if value.ndim == 3 else value
    return batch[[0, -1]]


def _with_numbers(call: Call, model: nn.Module, numbers: bool) -> Call:
    """Return the call with numbers, random ones where it has none, or on the meta device."""
    device, random = device_of(model), torch.Generator().manual_seed(0)
    if not numbers:
        return mapped(call, blank)

    def filled(t: Tensor) -> Tensor:
        if not t.is_meta or device.type == "meta":
            return t.detach()
        if t.is_floating_point():
            return torch.rand(t.shape, generator=random).to(device, t.dtype)
        return torch.zeros(t.shape, dtype=t.dtype, device=device)

    return mapped(call, filled)
