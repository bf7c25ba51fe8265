"""Number format, memory layout and threads with which a model trains.

Two switches take one line each and may double the speed of a convolutional network:

- *channels_last* keeps the channels of a pixel next to each other in memory (N, H, W, C), as the
  fast convolutions of most processors need them. On the CPU some networks must not train with it,
  because the process would die: see `Precision.safe_for`;
- *bfloat16 autocast* computes convolutions and linear layers with 8 instead of 24 significant
  bits (Kalamkar et al. 2019, "A study of BFLOAT16 for deep learning training"); the weights stay
  float32.

Which of them is fastest depends on the machine: see `course_utils.training.probe`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from course_utils.core import (
    CourseError,
    UnsafeCalls,
    plain_layout,
    private_random_numbers,
    unsafe_with_channels_last,
    use_threads,
)

PRECISIONS = ("auto", "float32", "bfloat16")
"""Names that `precision=` of `fit` takes."""

_NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


@dataclass(frozen=True)
class Precision:
    """Number format, memory layout and threads of a training.

    Attributes:
        dtype: `torch.float32`, or `torch.bfloat16` for autocast to it.
        channels_last: Whether weights and pictures with 4 axes have the channels last in memory.
        threads: Threads on the CPU; None does not change `torch.get_num_threads()`.
        reason: Why it was chosen; differs between machines, so do not print it by default.
        seconds: Time of one forward and backward pass with each candidate of the probe, by name;
            empty without a probe.
    """

    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    threads: int | None = None
    reason: str = field(default="as asked for", compare=False)
    seconds: dict[str, float] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_name(cls, name: str) -> Precision:
        """Return the precision with this `name`, such as "float32, channels_last, 2 threads".

        Raises:
            CourseError: If there is none of this name.
        """
        first, *others = name.split(", ")
        dtype = {text: dtype for dtype, text in _NAMES.items()}.get(first)
        layout = others[:1] == ["channels_last"]
        count = others[layout].removesuffix("s").removesuffix(" thread") if others[layout:] else ""
        if dtype is not None:
            precision = cls(dtype, layout, int(count) if count.isdecimal() else None)
            if precision.name == name:
                return precision
        known = ", ".join(map(repr, PRECISIONS))
        raise CourseError(f"precision={name!r} is not known: take one of {known}.")

    @property
    def name(self) -> str:
        """Its name, such as "float32" or "bfloat16, channels_last, 1 thread"."""
        layout = ", channels_last" if self.channels_last else ""
        threads = f", {self.threads} thread{'s' * (self.threads != 1)}" if self.threads else ""
        return _NAMES[self.dtype] + layout + threads

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"

    @contextlib.contextmanager
    def with_threads(self) -> Iterator[None]:
        """Use this number of threads inside the block."""
        before = torch.get_num_threads()
        use_threads(self.threads or before)
        try:
            yield
        finally:
            use_threads(before)

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[None]:
        """Return a context in which a forward pass computes in this number format."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(device.type, self.dtype)

    def safe_for(self, model: nn.Module, images: Tensor) -> Precision:
        """Return this precision, without channels_last if training would end the process with it.

        That is so on the CPU for networks with a 1×1 convolution that has a stride over 1 and fewer
        than 16 input channels (`course_utils.core.layout` says why). The network runs once on the
        `images`, forward only, if this precision has channels_last: its `forward` may call such a
        convolution itself.
        """
        if not self.channels_last or images.device.type != "cpu":
            return self
        if layer := unsafe_with_channels_last(model):
            problem = f"channels_last is unsafe with {layer}"
        else:
            problem = self._problem_of_calls(model, images)
        return replace(self, channels_last=False, reason=problem) if problem else self

    def _problem_of_calls(self, model: nn.Module, images: Tensor) -> str:
        """Run the model once; say why its calls forbid channels_last, "" if they do not."""
        values = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
        values |= {name: self.arrange(p.detach()) for name, p in model.named_parameters()}
        with private_random_numbers(images.device), self.with_threads(), torch.no_grad():
            try:
                with self.autocast(images.device), UnsafeCalls() as calls:
                    torch.func.functional_call(model, values, (self.arrange(images),))
            except RuntimeError:  # such as an `x.view`
                return "it does not run with channels_last"
        return "channels_last is unsafe with a convolution in its forward" if calls.found else ""

    def arrange(self, tensor: Tensor) -> Tensor:
        """Return a batch or weight in this memory layout; without 4 axes it stays unchanged."""
        if self.channels_last and tensor.dim() == 4:
            return tensor.to(memory_format=torch.channels_last)
        return plain_layout(tensor)

    def arrange_model(self, model: nn.Module) -> None:
        """Bring the weights of `model` into this layout, in place; optimizers keep them."""
        for parameter in model.parameters():
            parameter.data = self.arrange(parameter.data)


PLAIN = Precision()
"""float32, channels first, number of threads unchanged."""


def as_precision(precision: str | Precision) -> Precision:
    """Return the `Precision` that a reader means: a ready one, or one by its name.

    "bfloat16" alone includes channels_last, which it needs to be fast.

    Raises:
        CourseError: If there is none of this name.
    """
    if precision == "bfloat16":
        return Precision(torch.bfloat16, channels_last=True)
    return precision if isinstance(precision, Precision) else Precision.from_name(str(precision))
