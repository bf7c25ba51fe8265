"""In which number format and memory layout, and with how many threads, a model trains fastest here.

Switches that cost one line each and may double the speed of a convolutional network:

- *channels_last* keeps the channels of a pixel side by side in memory (N, H, W, C), as the fast
  convolutions of most processors want them;
- *bfloat16 autocast* computes convolutions and linear layers with 8 instead of 24 significant
  bits (Kalamkar et al. 2019, "A study of BFLOAT16 for deep learning training"); the weights stay
  float32.

A processor without instructions for bfloat16 imitates them and is ten times slower. And on a busy
machine *one* thread may be thirty times as fast as two, which wait for each other at every layer.
Nobody can know without trying: `choose` runs a few steps each way, on copies of the weights, and
takes the fastest. This takes a fraction of a second for small networks and is remembered.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from course_utils.core import CourseError, private_random_numbers

PRECISIONS = ("auto", "float32", "bfloat16")
"""What `precision=` of `fit` takes by name."""

ROUNDS = 20
"""Steps of each kind that `choose` times at most."""

ENOUGH_ROUNDS = 3
ENOUGH_SECONDS = 0.5
"""With so many steps of each kind timed, and after so long, the probe ends."""

PROBE_SECONDS = 1.5
"""After so long it ends in any case; large models get fewer pictures."""

_NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


@dataclass(frozen=True)
class Precision:
    """Number format, memory layout and threads of a training.

    Attributes:
        dtype: `torch.float32`, or `torch.bfloat16` for autocast to it.
        channels_last: Whether 4-d weights and pictures lie in memory with the channels last.
        threads: Threads on the CPU; None leaves `torch.get_num_threads()` as it is.
        reason: Why, in words; differs from machine to machine, so print it nowhere by default.
        seconds: Time of one forward and backward pass each way, from the probe; empty without one.
    """

    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    threads: int | None = None
    reason: str = field(default="as asked for", compare=False)
    seconds: dict[str, float] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Such as "float32" or "bfloat16, channels_last, 1 thread"."""
        layout = ", channels_last" if self.channels_last else ""
        threads = f", {self.threads} thread{'s' * (self.threads != 1)}" if self.threads else ""
        return _NAMES[self.dtype] + layout + threads

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"

    @contextlib.contextmanager
    def with_threads(self) -> Iterator[None]:
        """Use this number of threads inside the block."""
        before = torch.get_num_threads()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            if self.threads is not None:
                torch.set_num_threads(before)

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[None]:
        """Context in which a forward pass computes in this number format."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(device.type, self.dtype)

    def arrange(self, tensor: Tensor) -> Tensor:
        """A batch or weight in this memory layout; its numbers stay, and all but 4-d ones as is."""
        if tensor.dim() != 4:
            return tensor
        # .to, not .contiguous: that one takes a grey picture for channels_last already and leaves
        # its strides alone, and the convolution then goes the slow way.
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return tensor.to(memory_format=layout)

    def arrange_model(self, model: nn.Module) -> None:
        """Bring the weights of `model` into this layout, in place; optimizers keep hold of them."""
        for parameter in model.parameters():
            parameter.data = self.arrange(parameter.data)


PLAIN = Precision()
"""float32, channels first, threads as they are."""


def named(name: str) -> Precision:
    """The `Precision` whose `name` this is, such as "float32, channels_last, 2 threads".

    Raises:
        CourseError: If there is none of this name.
    """
    first, *others = name.split(", ")
    dtype = {text: dtype for dtype, text in _NAMES.items()}.get(first)
    layout = others[:1] == ["channels_last"]
    count = (others[layout].removesuffix("s").removesuffix(" thread")) if others[layout:] else ""
    if dtype is not None:
        precision = Precision(dtype, layout, int(count) if count.isdecimal() else None)
        if precision.name == name:
            return precision
    names = ", ".join(repr(p) for p in PRECISIONS)
    raise CourseError(f"precision={name!r} is not known: take one of {names}.")


def asked_for(precision: str | Precision) -> Precision:
    """What a reader means: a `Precision`, a name of one, or "bfloat16" with the layout it needs."""
    if precision == "bfloat16":
        return Precision(torch.bfloat16, channels_last=True)
    return precision if isinstance(precision, Precision) else named(precision)


_remembered: dict[tuple, Precision] = {}


def choose(
    model: nn.Module, images: Tensor, *, between: Callable[[], None] | None = None
) -> Precision:
    """The fastest precision to train `model` with on batches like `images`.

    Weights, running statistics, gradients and torch's random numbers are as before afterwards;
    hooks of the model are called as in training.

    Args:
        model: On the device and in the mode (train or eval) in which it will be used.
        images: One batch, float32 (N, C, H, W), on the model's device.
        between: Called between the steps of the probe; what it raises ends the probe.

    Returns:
        Measured on CPU and CUDA. On other devices plain float32, unmeasured. channels_last must be
        5 % faster than what it replaces, bfloat16 15 %, one thread 30 %; what fails, such as
        channels_last in a model that uses `x.view`, is left out. The choice is remembered for equal
        models and batches, except that of fewer threads: it may be right only for a busy moment.
    """
    if images.device.type not in ("cpu", "cuda"):
        return replace(PLAIN, reason=f"not measured on {images.device.type}")
    key = _signature(model, images)
    if key in _remembered:
        return _remembered[key]
    choice = _decide(_measure(model, images, _candidates(images.device), between))
    if choice.threads is None:
        if len(_remembered) >= 256:
            _remembered.clear()
        _remembered[key] = choice
    return choice


def fall_back(
    model: nn.Module,
    images: Tensor,
    current: Precision,
    *,
    between: Callable[[], None] | None = None,
) -> Precision:
    """What is fastest now that `current` has become slow; perhaps still the same.

    Measures anew, as `choose` does, but a training in float32 is not changed to bfloat16.
    """
    forget()
    allowed = [c for c in _candidates(images.device) if c.dtype in (torch.float32, current.dtype)]
    return _decide(_measure(model, images, allowed, between))


def forget() -> None:
    """Forget what was measured: the next `choose` measures again."""
    _remembered.clear()


def _candidates(device: torch.device) -> list[Precision]:
    every = [Precision(d, layout) for d in _NAMES for layout in (False, True)]
    if device.type == "cpu" and torch.get_num_threads() > 1:
        every += [replace(c, threads=1) for c in every if c.channels_last or c == PLAIN]
    return every


def _signature(model: nn.Module, images: Tensor) -> tuple:
    parameters = tuple((n, tuple(p.shape), p.requires_grad) for n, p in model.named_parameters())
    device = (str(images.device), torch.get_num_threads())
    return (*device, tuple(images.shape), model.training, repr(model), parameters)


def _decide(seconds: dict[str, float]) -> Precision:
    """Pick from the time of one step with each candidate, by name, plain float32 among them."""
    best = PLAIN
    for name, spent in seconds.items():
        candidate = named(name)
        needed = 1.05 if candidate.dtype == best.dtype else 1.15
        if candidate.threads != best.threads:
            needed = 1.3
        if seconds[best.name] >= needed * spent:
            best = candidate
    return replace(best, reason=_reason(best, seconds), seconds=seconds)


def _reason(best: Precision, seconds: dict[str, float]) -> str:
    """Why `best` was taken: its gain over float32 with as many threads, and why not with more."""
    plain = replace(PLAIN, threads=best.threads)
    gain = seconds.get(plain.name, seconds[PLAIN.name]) / seconds[best.name]
    # While threads wait for each other the numbers are absurd; they say nothing of the precision.
    times = f"{gain:.1f} times as fast" if gain < 5 else "many times as fast"
    reason = "nothing was faster" if best == plain else f"{times} as plain float32"
    if best.threads is not None:
        reason += ", and with more threads all was slower"
    return f"{reason} in a short probe"


def _measure(
    model: nn.Module,
    images: Tensor,
    candidates: Sequence[Precision],
    between: Callable[[], None] | None = None,
) -> dict[str, float]:
    """Seconds of a forward and backward pass with each candidate that works."""
    started = time.perf_counter()
    images = _affordable(model, images, len(candidates))
    running = {c: _arranged_copy(model, c) for c in candidates}
    # The first pass also pays for preparing the kernels: it counts only where it is the only one.
    first: dict[str, float] = {}
    later: dict[str, list[float]] = {}
    for round_number in range(ROUNDS + 1):
        for candidate, (values, trained) in list(running.items()):
            if between is not None:
                between()
            try:
                spent = _step_seconds(model, candidate, values, trained, images)
            except RuntimeError:  # NotImplementedError is one, too
                if candidate == PLAIN:
                    raise  # The model does not run at all; its user has to see why.
                del running[candidate]
                first.pop(candidate.name, None)
                later.pop(candidate.name, None)
                continue
            if round_number:
                later.setdefault(candidate.name, []).append(spent)
            else:
                first[candidate.name] = spent
        seconds = first | {name: _typical(times) for name, times in later.items()}
        limit = (2 if round_number else 5) * min(seconds.values())
        for candidate in [c for c in running if seconds[c.name] > limit]:
            del running[candidate]
        spent = time.perf_counter() - started
        if spent > (ENOUGH_SECONDS if round_number >= ENOUGH_ROUNDS else PROBE_SECONDS):
            break
    return seconds


def _typical(times: Sequence[float]) -> float:
    """The quarter that is fastest took at most so long: other programs only ever add to a time.

    Not the very fastest, for waiting threads have lucky moments.
    """
    return sorted(times)[(len(times) - 1) // 4]


def _affordable(model: nn.Module, images: Tensor, candidates: int) -> Tensor:
    """So many of `images` that two rounds stay within `PROBE_SECONDS`, but at least 8."""
    few = images[:8]
    # With one thread, as others may be stuck.
    steady = replace(PLAIN, threads=1) if images.device.type == "cpu" else PLAIN
    values, trained = _arranged_copy(model, steady)
    spent = min(_step_seconds(model, steady, values, trained, few) for _ in range(2))
    count = int(PROBE_SECONDS / (2 * candidates) / max(spent, 1e-9) * len(few))
    return images[: max(count, len(few))]


def _arranged_copy(
    model: nn.Module, precision: Precision
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Copies of all parameters and buffers, and a list of those that are trained."""
    values: dict[str, Tensor] = {}
    trained = []
    for name, parameter in model.named_parameters():
        values[name] = precision.arrange(parameter.detach().clone())
        if parameter.requires_grad:
            trained.append(values[name].requires_grad_())
    for name, buffer in model.named_buffers():
        values[name] = buffer.detach().clone()
    return values, trained


def step_seconds(
    model: nn.Module,
    images: Tensor,
    precision: Precision = PLAIN,
    *,
    steps: int = 4,
    between: Callable[[], None] | None = None,
) -> float:
    """How long one step of training takes: a forward and a backward pass.

    Of so many steps the fastest counts, for other programs only ever add to a time. Weights,
    running statistics, gradients and torch's random numbers are as before afterwards.

    Args:
        model, images, between: As for `choose`.
    """
    values, trained = _arranged_copy(model, precision)
    seconds = math.inf
    for _ in range(steps):
        if between is not None:
            between()
        seconds = min(seconds, _step_seconds(model, precision, values, trained, images))
    return seconds


def _step_seconds(
    model: nn.Module,
    precision: Precision,
    values: dict[str, Tensor],
    trained: list[Tensor],
    images: Tensor,
) -> float:
    device = images.device
    with private_random_numbers(device), precision.with_threads():
        _wait(device)
        started = time.perf_counter()
        with precision.autocast(device):
            logits = torch.func.functional_call(model, values, (precision.arrange(images),))
        torch.autograd.grad(logits.float().square().mean(), trained, allow_unused=True)
        _wait(device)
        return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Watch:
    """Notices when the chosen precision has become slow while training runs.

    Several threads wait for each other at every layer. As soon as any other program wants the
    cores a step may take thirty times as long. A few slow steps happen to everybody; `PATIENCE` in
    a row, each `COLLAPSE` times as long as in the probe, do not.

    >>> watch = Watch(Precision(threads=None, seconds={"float32": 0.01}))
    >>> [watch.collapsed(seconds) for seconds in (0.012, 0.9, 0.9, 0.9, 0.9)]
    [False, False, False, False, True]
    """

    COLLAPSE = 6.0
    PATIENCE = 4

    def __init__(self, precision: Precision) -> None:
        self._limit = self.COLLAPSE * precision.seconds.get(precision.name, float("inf"))
        self._slow = 0

    def collapsed(self, seconds: float) -> bool:
        """Tell it the time of one more step; True when it is time to look for something else."""
        self._slow = self._slow + 1 if seconds > self._limit else 0
        return self._slow >= self.PATIENCE
