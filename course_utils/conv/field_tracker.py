"""The receptive field of each tensor that a model computes: through branches, sums and slices.

`layer_table` shows it every single operation; no hook on a layer can see those between layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from course_utils.conv.meta import tensors_in
from course_utils.conv.receptive_field import ReceptiveField, windows_of

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


class FieldTracker:
    """Keeps a receptive field for each tensor that is computed.

    A tensor without an entry is a constant, which sees nothing. One with the entry None sees the
    whole picture, or is not understood; the same holds for all that is computed from it.
    """

    def __init__(self):
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

    def knows(self, tensors: list[Tensor]) -> bool:
        """Check whether some of the tensors were computed from the inputs."""
        return any(tensor in self._fields for tensor in tensors)

    def follow(self, func: Any, args: tuple, tensors: list[Tensor], output: Any) -> None:
        """Note what one operation has computed from its arguments, among them `tensors`."""
        sources = [t for t in tensors if t in self._fields]
        if not sources:
            return
        field = self._behind(func, args, sources, output)
        for tensor in tensors_in(output):
            self._fields[tensor] = field
            base = tensor._base  # of a view; None otherwise
            written = any(tensor is t for t in tensors)
            if base is not None and written and self._fields.get(base, ...) != field:
                self._fields[base] = None  # a part of it now sees something else

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
            case "_native_batch_norm_legit_no_training":  # the same in inference mode
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
