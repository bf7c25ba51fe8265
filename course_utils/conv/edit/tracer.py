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

import contextlib
import warnings

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from course_utils.conv.edit.layers import run_layer
from course_utils.conv.edit.operations import POINTWISE, UNLABELLED, Operation, follow
from course_utils.conv.edit.trace import Trace
from course_utils.conv.meta import tensors_in
from course_utils.core import kept_modes

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


class Tracer(TorchFunctionMode):
    """Writes every operation that runs under it into a trace."""

    def __init__(self, trace: Trace):
        super().__init__()
        self.trace = trace

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
        output = run_layer(trace, func, args, kwargs)
        if output is None and name in POINTWISE and isinstance(args[0], Tensor) and args[0].is_meta:
            # PyTorch takes ten times as long on the meta device, for the same shape.
            in_place = func.__name__.endswith("_") or kwargs.get("inplace", False)
            output = args[0] if in_place else torch.empty_like(args[0])
            trace.set_labels(output, trace.labels_of(args[0]), like=args[0])
        elif output is None:
            output = func(*args, **kwargs)
            follow(trace, Operation(func, name, args, kwargs, output))
        return output


def trace_model(model: nn.Module, inputs: tuple, before: Trace | None = None) -> Trace:
    """Run a model and return its trace; `before` is the one before its widths changed.

    Parts that only training uses (the auxiliary heads of GoogLeNet, say) are found by a second
    run in training mode.
    """
    trace = Trace(dict(model.named_parameters()) | dict(model.named_buffers()), before)
    tracer = Tracer(trace)
    must_train = before is not None and before.ran_training
    bare = [m for m in model.modules() if isinstance(m, _NORMS) and not m.state_dict()]
    with contextlib.ExitStack() as stack:
        stack.enter_context(kept_modes(model))
        for module in bare:  # normalisations without parameters say when they begin to run
            hook = module.register_forward_pre_hook(lambda m, _: setattr(trace, "bare_norm", m))
            stack.callback(hook.remove)
        for training in (False, True):
            model.train(training)
            copies = tree_map(lambda t: t.clone() if isinstance(t, Tensor) else t, inputs)
            try:
                with torch.no_grad(), warnings.catch_warnings(), tracer:
                    warnings.simplefilter("ignore")  # they come again when the model is used
                    result = model(*copies)
            except Exception:
                if not training or must_train:
                    raise
                break
            trace.ran_training = training
            for output in tensors_in(result):
                trace.output_labels += [x.reshape(-1) for x in trace.labels_of(output)]
                trace.output_shapes.append(tuple(output.shape))
            used = {axis.parameter for axis in trace.axes} | set(trace.input_shapes)
            if all(name in used for name, p in model.named_parameters() if p.ndim > 1):
                break
    trace.before = None  # or a chain of edits would keep every trace
    return trace
