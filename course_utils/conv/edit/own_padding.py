"""The padding that a changed kernel needs, measured where a layer pads its input itself.

Some layers compute a padding from their own kernel (TensorFlow's "same" padding, as in ports of
EfficientNet), or the module around them does so (transformers' MobileNets). Names and attributes do
not tell. So the network runs with the new kernel, and we look at what arrives at the convolution.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.conv.edit.draft import Draft, parameter_name
from course_utils.conv.edit.guard import output_shapes
from course_utils.conv.edit.settings import LayerEdit, paddings_to_try, set_window
from course_utils.conv.meta import tensors_in
from course_utils.conv.rules import WINDOW
from course_utils.conv.shape_rules import OnlyShapes
from course_utils.conv.window import axes_of, window_output
from course_utils.core import CourseError

Pair = tuple[int, int]  # (height, width)
_NO_PADS = (0, 0), (0, 0)  # above and left; below and right


class Call(NamedTuple):
    """One convolution that the edited layer computed.

    Attributes:
        entered: size of the layer's input.
        size: of the convolution's input, with what the layer or the network has padded before.
        room: the same with the convolution's own padding.
        before: rows and columns of padding above and left of the picture, as far as they are known.
        unpadded: `size` without the padding that is known.
        output: size of the convolution's output.
    """

    entered: Pair
    size: Pair
    room: Pair
    before: Pair
    unpadded: Pair
    output: Pair


def with_measured_padding(
    draft: Draft, edit: LayerEdit, padding_given: bool
) -> tuple[LayerEdit, list[Pair]]:
    """Return the edit with the padding that keeps the output's size, and its convolution's inputs.

    The edit's `shift` is set as well: where the old kernel lies in the new one, so that it meets
    the same pixels as before.
    """
    shapes = [tuple(shape[-2:]) for shape in draft.input_shapes(edit.name)]
    if not edit.changes("kernel_size", "dilation"):
        return edit, shapes
    options = [edit.after["padding"]]
    options += [] if padding_given else paddings_to_try(edit.before, edit.after)
    resized = edit.before | {name: edit.after[name] for name in ("kernel_size", "dilation")}
    watched = Watched(draft, edit.name)
    old = watched.calls(edit.before)
    calls = {option: watched.calls(resized | {"padding": option}) for option in options}
    grown = _minus(_spans(edit.after), _spans(edit.before))

    def keeps_at_any_stride(new: list[Call]) -> bool:
        return all(_minus(b.room, a.room) == grown for a, b in zip(old, new, strict=False))

    def keeps(new: list[Call]) -> bool:
        return all(a.output == b.output for a, b in zip(old, new, strict=False))

    if any(a.size != b.size for a, b in zip(old, calls[options[-1]], strict=False)):
        options.reverse()  # with the padding as before, something pads for the new kernel already
    known = [option for option in options if calls[option]]
    best = [p for p in known if keeps_at_any_stride(calls[p])] + [
        p for p in known if keeps(calls[p])
    ]
    padding = (best or options)[0]
    new = calls[padding]
    shift = _shift(old, new, edit) if new and keeps(new) else (None, None)
    if new and watched.pads:  # `nn.Conv2d` pads in a mode other than zeros before its convolution
        shapes = [call.size if watched.has_own_forward else call.entered for call in new]
    return replace(edit, after=edit.after | {"padding": padding}, shift=shift), shapes


def former_window(draft: Draft, edit: LayerEdit) -> dict[str, Any]:
    """Return a window whose output has the size before the edit, for what enters the layer now."""
    former = {name: edit.before[name] for name in WINDOW}
    watched = Watched(draft, edit.name)
    if not watched.pads:
        return former
    old, new = watched.calls(edit.before), watched.calls(edit.after)
    if not old or not new:
        return former
    totals = _minus(old[0].room, new[0].entered)
    measured = former | {"padding": tuple((total // 2, total - total // 2) for total in totals)}
    seen = [(new[0].entered, old[0].output), *watched.other_sizes(edit.before, old[0].entered)]
    rules = [former, measured, former | {"padding": "same"}]
    return max(rules, key=lambda rule: sum(window_output(rule, n) == out for n, out in seen))


class Watched:
    """Runs a draft's network with other windows of one layer, and returns what it computed.

    Attributes:
        pads: whether the network has to run: the layer may pad its input, or something before it.
    """

    def __init__(self, draft: Draft, name: str):
        self.name, self._draft = name, draft
        conv = draft.model.get_submodule(name)
        self.has_own_forward = type(conv).forward is not nn.Conv2d.forward
        self.pads = self.has_own_forward or draft.trace.pads
        self._probe: Draft | None = None

    def calls(self, settings: dict[str, Any]) -> list[Call]:
        """Return the layer's calls with these settings, up to where the network stops."""
        if not self.pads:
            return self._computed(settings)
        if self._probe is None:
            self._probe = self._draft.fresh()
        conv = self._probe.model.get_submodule(self.name)
        watch = _Watch(conv)
        calls = {False: self._draft.call, True: self._draft.trace.training_call}
        with contextlib.suppress(Exception):
            weight = parameter_name(self.name, "weight")
            if "weight" in conv._parameters:
                shape = *conv.weight.shape[:2], *settings["kernel_size"]
                self._probe.set_shapes({weight: shape})
                watch.weight = conv.weight
            set_window(conv, settings)
            with watch.hooked():
                output_shapes(self._probe.model, calls, watch)
        return watch.calls

    def other_sizes(self, settings: dict[str, Any], size: Pair) -> list[tuple[Pair, Pair]]:
        """Return (input size, output size) of the layer alone, for a few inputs of other sizes."""
        self.calls(settings)
        conv = self._probe.model.get_submodule(self.name)
        found: list[tuple[Pair, Pair]] = []
        if not self.has_own_forward:
            return found
        for more in range(1, 2 * max(settings["stride"]) + 1):
            n = tuple(x + more for x in size)
            watch = _Watch(conv)
            with contextlib.suppress(Exception), torch.no_grad(), watch, watch.hooked():
                conv(conv.weight.new_zeros(1, conv.in_channels, *n))
            found += [(n, call.output) for call in watch.calls]
        return found

    def _computed(self, settings: dict[str, Any]) -> list[Call]:
        """Return the calls of a layer whose input does not depend on its settings."""
        calls = []
        with contextlib.suppress(CourseError, ArithmeticError):
            for shape in self._draft.input_shapes(self.name):
                size = tuple(shape[-2:])
                axes = axes_of(size, settings)
                room, before, output = zip(
                    *((a.room, a.before, a.output) for a in axes), strict=True
                )
                calls.append(Call(size, size, room, before, size, output))
        return calls


class _Watch(OnlyShapes):
    """Notes the convolutions of one layer, and the padding just before them."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.conv, self.weight = conv, conv.weight
        self.calls: list[Call] = []
        self._entered: Pair | None = None

    @contextlib.contextmanager
    def hooked(self):
        """Note while the block runs what enters the layer."""

        def enter(_: nn.Module, args: tuple, kwargs: dict) -> None:
            self._entered = tuple(map(int, tensors_in((args, kwargs))[0].shape[-2:]))

        hook = self.conv.register_forward_pre_hook(enter, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        output = super().__torch_function__(func, types, args, kwargs)
        if func is F.pad and isinstance(output, Tensor):
            x, pads = [*args, *(kwargs[name] for name in ("input", "pad") if name in kwargs)][:2]
            left, right, top, bottom, *_ = [*map(int, pads), 0, 0, 0]
            sides = (top, left), (bottom, right)
            output._pads = tuple(map(_plus, getattr(x, "_pads", _NO_PADS), sides))
        elif func is F.conv2d:
            self._note(output, *args, **kwargs)
        return output

    def _note(
        self, output, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1
    ) -> None:
        if self._entered is None and weight is not self.weight:
            return
        size = tuple(input.shape[-2:])
        entered, self._entered = self._entered or size, None  # the first one of each call
        kernel = tuple(weight.shape[-2:])
        window = dict(kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
        axes = axes_of(size, window)
        known, after = getattr(input, "_pads", _NO_PADS)
        before = _plus((axis.before for axis in axes), known)
        room = tuple(axis.room for axis in axes)
        unpadded = _minus(_minus(size, known), after)
        self.calls.append(Call(entered, size, room, before, unpadded, tuple(output.shape[-2:])))


def _shift(old: list[Call], new: list[Call], edit: LayerEdit) -> tuple[int | None, int | None]:
    """Return where the old kernel begins in the new one, (row, column); None for its middle."""
    explained = all(a.unpadded == b.unpadded for a, b in zip(old, new, strict=False))
    if edit.changes("dilation") or not explained:
        return (None, None)
    found: list[int | None] = []
    for i, d in enumerate(edit.after["dilation"]):
        moved = {b.before[i] - a.before[i] for a, b in zip(old, new, strict=False)}
        grown = edit.after["kernel_size"][i] - edit.before["kernel_size"][i]
        possible = {d * shift for shift in range(grown + 1)}
        found.append(moved.pop() // d if len(moved) == 1 and moved <= possible else None)
    return tuple(found)


def _spans(settings: dict[str, Any]) -> Iterable[int]:
    return (d * (k - 1) for d, k in zip(settings["dilation"], settings["kernel_size"], strict=True))


def _minus(a: Iterable[int], b: Iterable[int]) -> Pair:
    return tuple(x - y for x, y in zip(a, b, strict=True))


def _plus(a: Iterable[int], b: Iterable[int]) -> Pair:
    return tuple(x + y for x, y in zip(a, b, strict=True))
