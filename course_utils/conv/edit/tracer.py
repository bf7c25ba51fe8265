"""Run a network once and follow every channel through it, whatever its architecture.

The network's own `forward` runs on the meta device: shapes without numbers. PyTorch shows each
operation to a `TorchFunctionMode`, which writes into a `Trace`:

- a convolution or linear layer produces a new label for each of its output channels (`layers`);
- operations that only move numbers (view, permute, cat, chunk, ...) are run on the labels, too;
- operations that combine tensors number by number (add, mul, ...) couple the labels that meet;
- all that is not known fixes the labels that reach it (`operations`).

No rule knows the name of an architecture, or of a module.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from course_utils.conv.edit.layers import run_layer, set_width
from course_utils.conv.edit.operations import UNLABELLED, Operation, follow
from course_utils.conv.edit.state import private_run
from course_utils.conv.edit.trace import Trace
from course_utils.conv.example import Call
from course_utils.conv.meta import mapped, run_mixed, tensors_by_name, tensors_in
from course_utils.conv.shape_rules import POINTWISE, quick_output
from course_utils.core import CourseError, is_out_of_memory

_COUNTING = {"nonzero", "argwhere", "where", "masked_select", "unique", "unique_consecutive", "nms"}
_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


class Tracer(TorchFunctionMode):
    """Writes every operation that runs under it into a trace.

    Args:
        with_numbers: whether the network runs with numbers, on which shapes may depend.
    """

    def __init__(self, trace: Trace, with_numbers: bool = False):
        super().__init__()
        self.trace = trace
        self.with_numbers = with_numbers

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, trace = kwargs or {}, self.trace
        name = getattr(func, "__name__", "")
        if name == "__get__":
            name = getattr(func.__self__, "__name__", "")
        if name in UNLABELLED:
            return func(*args, **kwargs)
        if name.endswith("_") and not name.endswith("__"):  # in place
            name = name.rstrip("_")
        trace.operation = name
        trace.pads |= name == "pad"
        try:
            return self._followed(func, name, args, kwargs)
        except (RuntimeError, IndexError, TypeError) as error:
            if trace.before is None or is_out_of_memory(error):
                raise
            said = (str(error).strip().splitlines() or [""])[0]
            raise CourseError(
                f"With the new sizes the network's forward stops at {name!r} ({said})."
            ) from error

    def _followed(self, func, name: str, args: tuple, kwargs: dict):
        """Run a function and follow the channels through it."""
        trace = self.trace
        if name == "channel_shuffle" and trace.before is not None and trace.shuffle is not None:
            shuffle, trace.shuffle = trace.shuffle, None
            if args[0].shape[-3] == 1:  # PyTorch does not divide one channel into groups
                trace.bare_widths.append((shuffle, 1))
                return args[0]
        output = run_layer(trace, func, args, kwargs)
        if output is None:
            output = quick_output(func, args, kwargs)
            if output is not None and name in POINTWISE:
                trace.set_labels(output, trace.labels_of(args[0]), like=args[0])
            else:
                output = run_mixed(func, args, kwargs) if output is None else output
                follow(trace, Operation(func, name, args, kwargs, output))
        if self.with_numbers:
            _note_counted(name, args, kwargs, output)
        return output


def trace_model(model: nn.Module, call: Call, before: Trace | None = None) -> Trace:
    """Run a model and return its trace; `before` is the one before its widths changed.

    Parts that only training uses (the auxiliary heads of GoogLeNet, say) are found by a second
    run in training mode. Where that cannot be done with the call as it is (BatchNorm does not
    train on a single number per channel), each input is given twice.
    """
    tensors = tensors_by_name(model)
    trace = Trace(tensors, before)
    _trace_run(trace, model, call, training=False)
    used = {axis.parameter for axis in trace.axes} | set(trace.input_shapes)
    weights = (n for n, t in tensors.items() if isinstance(t, nn.Parameter) and t.ndim > 1)
    if not used.issuperset(weights):
        _trace_training(trace, model, call)
    if before is not None:
        for norm, channels in trace.bare_widths:
            set_width(norm, channels)
    trace.before = None  # or a chain of edits would keep every trace
    return trace


def _trace_training(trace: Trace, model: nn.Module, call: Call) -> None:
    before = trace.before
    if before is not None:
        if before.training_call is not None:
            trace.training_call = before.training_call
            _trace_run(trace, model, before.training_call, training=True)
        return
    so_far = trace.record()
    for once_or_twice in (call, mapped(call, lambda t: torch.cat([t, t]) if t.ndim else t)):
        try:
            _trace_run(trace, model, once_or_twice, training=True)
        except Exception:
            vars(trace).update(so_far)
            so_far = trace.record()
        else:
            trace.training_call = once_or_twice
            return


def _trace_run(trace: Trace, model: nn.Module, call: Call, training: bool) -> None:
    with private_run(model, training):
        for module in model.modules():  # these say when they begin to run
            if isinstance(module, _NORMS) and not _has_numbers(module):
                module.register_forward_pre_hook(lambda m, _: setattr(trace, "bare_norm", m))
            elif isinstance(module, nn.ChannelShuffle):
                module.register_forward_pre_hook(lambda m, _: setattr(trace, "shuffle", m))
        args, kwargs = mapped(call, Tensor.clone)
        with Tracer(trace, not all(t.is_meta for t in tensors_in(call))):
            result = model(*args, **kwargs)
        for output in tensors_in(result):
            trace.output_labels += [labels.vector for labels in trace.labels_of(output)]
            counted = getattr(output, "_counted", False) and output.ndim > 0
            trace.output_shapes.append((None, *output.shape[1:]) if counted else (*output.shape,))


def _has_numbers(module: nn.Module) -> bool:
    return any(True for _ in itertools.chain(module.parameters(), module.buffers()))


def _note_counted(name: str, args: tuple, kwargs: dict, output: Any) -> None:
    """Mark tensors whose length depends on numbers: the boxes that were found, say."""
    inputs = tensors_in((args, kwargs))
    counted = name in _COUNTING and (name != "where" or len(inputs) == 1)
    if name == "__getitem__":
        counted = any(t.dtype in (torch.bool, torch.uint8) for t in inputs[1:])
    if counted or any(getattr(t, "_counted", False) for t in inputs):
        for t in tensors_in(output):
            t._counted = True
