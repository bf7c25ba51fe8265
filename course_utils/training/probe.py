"""Find the fastest precision for training a model on this machine, by trying.

A processor without instructions for bfloat16 imitates them and is ten times slower. On a busy
machine *one* thread may be thirty times as fast as two, which wait for each other at every layer.
So `fastest_precision` runs a few steps with each candidate, on copies of the weights. This takes a
fraction of a second for small networks, and the result is remembered. `AdaptivePrecision` does it
for `fit`, and again when the steps suddenly become slow.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from course_utils.core import CourseError, device_of, private_random_numbers, use_threads
from course_utils.metrics import wait_for
from course_utils.training.checks import in_words
from course_utils.training.distributed import Group
from course_utils.training.history import History
from course_utils.training.own_loss import tensors_in
from course_utils.training.precision import PLAIN, Precision, as_precision
from course_utils.training.stopping import StopRequest

SMALL = 1_000_000
SMALL_GAIN = 1.5
"""On the CPU channels_last must be so many times as fast for models with fewer parameters than
`SMALL`: its kernels are less well tried for few channels, and the time is short in any case."""

ROUNDS = 20
"""Steps of each candidate that a probe times at most."""

ENOUGH_ROUNDS = 3
ENOUGH_SECONDS = 0.5
"""The probe ends after this many steps of each candidate, if it has taken this long."""

PROBE_SECONDS = 1.5
"""After this time it ends in any case; large models get fewer pictures."""

_remembered: dict[tuple, Precision] = {}


def fastest_precision(
    model: nn.Module, images: Tensor, *, between: Callable[[], None] | None = None
) -> Precision:
    """Return the fastest precision for training `model` on batches like `images`.

    Weights, running statistics, gradients and torch's random numbers do not change. Hooks of the
    model are called as in training.

    Args:
        model: On the device and in the mode (train or eval) in which it will be used.
        images: One batch, float32 (N, C, H, W), on the model's device.
        between: Called between the steps; an exception that it raises ends the probe.

    Returns:
        Measured on CPU and CUDA; on other devices plain float32. channels_last must be 5 % faster
        than what it replaces (50 % in a small model on the CPU), bfloat16 15 %, one thread 30 %.
        Candidates that fail, such as channels_last in a model that uses `x.view`, are left out,
        and channels_last where it is unsafe (`Precision.safe_for`). The choice is remembered for
        equal models and batches, except one with fewer threads: the machine may be busy for a
        moment only.
    """
    if images.device.type not in ("cpu", "cuda"):
        return replace(PLAIN, reason=f"not measured on {images.device.type}")
    parameters = tuple((n, tuple(p.shape), p.requires_grad) for n, p in model.named_parameters())
    machine = (str(images.device), torch.get_num_threads())
    safe = Precision(channels_last=True).safe_for(model, images).channels_last
    key = (*machine, tuple(images.shape), model.training, repr(model), parameters, safe)
    if key in _remembered:
        return _remembered[key]
    choice = _decide(_measure(model, images, _candidates(images.device, safe), between), model)
    if choice.threads is None:
        if len(_remembered) >= 256:
            _remembered.clear()
        _remembered[key] = choice
    return choice


def faster_precision(
    model: nn.Module, images: Tensor, current: Precision, between: Callable[[], None] | None = None
) -> Precision:
    """Return the fastest precision now that `current` has become slow; it may be the same.

    It measures again, as `fastest_precision` does, but never changes float32 to bfloat16.
    """
    forget()
    safe = Precision(channels_last=True).safe_for(model, images).channels_last
    candidates = _candidates(images.device, safe)
    allowed = [c for c in candidates if c.dtype in (torch.float32, current.dtype)]
    return _decide(_measure(model, images, allowed, between), model)


def forget() -> None:
    """Forget all measurements: the next `fastest_precision` measures again."""
    _remembered.clear()


def step_seconds(
    model: nn.Module,
    images: Tensor,
    precision: Precision = PLAIN,
    *,
    steps: int = 4,
    between: Callable[[], None] | None = None,
) -> float:
    """Return the seconds of one training step: a forward and a backward pass.

    The fastest of `steps` steps counts, because other programs only make a step slower. Weights,
    running statistics, gradients and torch's random numbers do not change.

    Args:
        model, images, between: As for `fastest_precision`.
        precision: Without its channels_last where that is unsafe (`Precision.safe_for`).
    """
    precision = precision.safe_for(model, images)
    values, trained = _arranged_copy(model, precision)
    seconds = math.inf
    for _ in range(steps):
        if between is not None:
            between()
        seconds = min(seconds, _step_seconds(model, precision, values, trained, images))
    return seconds


class SlowSteps:
    """Detects that training has become slow.

    Several threads wait for each other at every layer. As soon as another program uses the cores,
    a step may take thirty times as long. A few slow steps are normal; `PATIENCE` in a row, each
    `SLOW` times as long as in the probe, are not. The probe knows nothing of the reader's own loss,
    which may ask a large teacher: with it, the fastest step of the training counts if that was
    slower than the probe.

    >>> slow = SlowSteps(Precision(seconds={"float32": 0.01}))
    >>> [slow.seen(seconds) for seconds in (0.012, 0.9, 0.9, 0.9, 0.9)]
    [False, False, False, False, True]
    """

    SLOW = 6.0
    PATIENCE = 4

    def __init__(self, precision: Precision, own_loss: bool = False) -> None:
        self._probe = precision.seconds.get(precision.name, math.inf)
        self._fastest = math.inf if own_loss else self._probe
        self._in_a_row = 0

    def seen(self, seconds: float) -> bool:
        """Count a step that took `seconds`; return whether training has become slow."""
        self._fastest = max(self._probe, min(self._fastest, seconds))
        self._in_a_row = self._in_a_row + 1 if seconds > self.SLOW * self._fastest else 0
        return self._in_a_row >= self.PATIENCE


class AdaptivePrecision:
    """The precision of a training: chosen at its start, and again when its steps become slow.

    Attributes:
        current: The precision of the next step.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        history: History,
        stop: StopRequest,
        own_loss: bool = False,
    ) -> None:
        self.model, self.device, self.history, self.stop = model, device, history, stop
        self._threads = torch.get_num_threads()
        self._automatic, self._own_loss = False, own_loss
        self.current = PLAIN

    def start(
        self,
        precision: str | Precision,
        first_images: Callable[[], Tensor],
        group: Group,
        before: str | None = None,
    ) -> None:
        """Choose the precision, on rank 0 for all processes, and arrange the model.

        Args:
            first_images: Returns a batch for the probe.
            before: Name of the precision of a training that is resumed.
        """
        self.model.train()
        if precision == "auto":
            images = first_images()
            choice = group.of_first(
                lambda: fastest_precision(self.model, images, between=self.stop.check_here)
            )
            if before is not None:
                choice = _as_before(Precision.from_name(before), choice)
                choice = choice.safe_for(self.model, images)
        else:
            choice = as_precision(precision)
            if choice.channels_last:
                choice = choice.safe_for(self.model, first_images())
        # With several processes a step also waits for the others, so its time says nothing.
        self._automatic = precision == "auto" and group.world_size == 1
        self._use(choice)
        self.history.precision = str(choice)

    def after_step(self, images: Tensor, seconds: float) -> None:
        """Choose again if the last steps, of which this one took `seconds`, were slow."""
        if not (self._automatic and self._slow_steps.seen(seconds)):
            return
        use_threads(self._threads)
        choice = faster_precision(self.model, images, self.current, self.stop.check_here)
        if choice != self.current:
            self.history.precision += f"; from step {len(self.history.step_loss) + 1} {choice}"
        self._use(choice)

    def _use(self, precision: Precision) -> None:
        precision.arrange_model(self.model)
        use_threads(precision.threads or self._threads)
        self.current = precision
        probed = precision if self.device.type == "cpu" else PLAIN
        self._slow_steps = SlowSteps(probed, self._own_loss)


def _as_before(before: Precision, choice: Precision) -> Precision:
    """Return the precision of the interrupted training, unless it is much slower here."""
    if before.threads == torch.get_num_threads():
        before = replace(before, threads=None)
    seconds = choice.seconds
    if seconds.get(before.name, math.inf) > 1.5 * seconds.get(choice.name, 0.0):
        return choice
    return replace(before, reason="as before the interruption", seconds=seconds)


def _candidates(device: torch.device, channels_last: bool) -> list[Precision]:
    dtypes, layouts = (torch.float32, torch.bfloat16), (False, True)[: 1 + channels_last]
    every = [Precision(dtype, layout) for dtype in dtypes for layout in layouts]
    if device.type == "cpu" and torch.get_num_threads() > 1:
        every += [replace(c, threads=1) for c in every if c.channels_last or c == PLAIN]
    return every


def _decide(seconds: dict[str, float], model: nn.Module) -> Precision:
    """Choose from the seconds of a step with each candidate, by name; "float32" is one of them."""
    small = device_of(model).type == "cpu" and sum(p.numel() for p in model.parameters()) < SMALL
    best = PLAIN
    for name, spent in seconds.items():
        candidate = Precision.from_name(name)
        needed = 1.05 if candidate.dtype == best.dtype else 1.15
        if candidate.threads != best.threads:
            needed = 1.3
        if small and candidate.channels_last and not best.channels_last:
            needed = SMALL_GAIN
        if seconds[best.name] >= needed * spent:
            best = candidate
    return replace(best, reason=_reason(best, seconds), seconds=seconds)


def _reason(best: Precision, seconds: dict[str, float]) -> str:
    """Say how much faster `best` is than float32 with as many threads, and why not with more."""
    plain = replace(PLAIN, threads=best.threads)
    gain = seconds.get(plain.name, seconds[PLAIN.name]) / seconds[best.name]
    # While threads wait for each other the numbers are absurd and say nothing of the precision.
    times = f"{gain:.1f} times as fast" if gain < 5 else "many times as fast"
    reason = "nothing was faster" if best == plain else f"{times} as plain float32"
    if best.threads is not None:
        reason += ", and with more threads all was slower"
    return f"{reason} in a short probe"


def _measure(
    model: nn.Module,
    images: Tensor,
    candidates: Sequence[Precision],
    between: Callable[[], None] | None,
) -> dict[str, float]:
    """Return the seconds of a forward and backward pass with each candidate that works, by name."""
    started = time.perf_counter()
    images = _affordable(model, images, len(candidates))
    copies = {c: _arranged_copy(model, c) for c in candidates}
    times: dict[Precision, list[float]] = {c: [] for c in candidates}
    for round_number in range(ROUNDS + 1):
        for candidate, (values, trained) in list(copies.items()):
            if between is not None:
                between()
            try:
                spent = _step_seconds(model, candidate, values, trained, images)
            except RuntimeError:  # or NotImplementedError, which is one
                if candidate == PLAIN:
                    raise  # The model does not run at all; its user has to see why.
                del copies[candidate], times[candidate]
            else:
                times[candidate].append(spent)
        # The first pass also prepares the kernels: it counts only where it is the only one. The
        # lower quartile, because other programs only make a step slower; not the minimum, because
        # threads that wait have lucky moments.
        sorted_times = {c.name: sorted(taken[1:] or taken) for c, taken in times.items()}
        seconds = {name: taken[(len(taken) - 1) // 4] for name, taken in sorted_times.items()}
        limit = (2 if round_number else 5) * min(seconds.values())
        copies = {c: copy for c, copy in copies.items() if seconds[c.name] <= limit}
        spent = time.perf_counter() - started
        if spent > (ENOUGH_SECONDS if round_number >= ENOUGH_ROUNDS else PROBE_SECONDS):
            break
    return seconds


def _affordable(model: nn.Module, images: Tensor, candidates: int) -> Tensor:
    """Return as many of `images` as fit twice into `PROBE_SECONDS`, but at least 8."""
    few = images[:8]
    # With one thread, because several may be waiting for each other.
    steady = replace(PLAIN, threads=1) if images.device.type == "cpu" else PLAIN
    spent = step_seconds(model, few, steady, steps=2)
    count = int(PROBE_SECONDS / (2 * candidates) / max(spent, 1e-9) * len(few))
    return images[: max(count, len(few))]


def _arranged_copy(
    model: nn.Module, precision: Precision
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Return copies of all parameters and buffers by name, and a list of the trained ones."""
    values = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
    trained = []
    for name, parameter in model.named_parameters():
        values[name] = precision.arrange(parameter.detach().clone())
        if parameter.requires_grad:
            trained.append(values[name].requires_grad_())
    return values, trained


def _step_seconds(
    model: nn.Module,
    precision: Precision,
    values: dict[str, Tensor],
    trained: list[Tensor],
    images: Tensor,
) -> float:
    device = images.device
    with private_random_numbers(device), precision.with_threads():
        wait_for(device)
        started = time.perf_counter()
        try:
            with precision.autocast(device):
                output = torch.func.functional_call(model, values, (precision.arrange(images),))
            sizes = [t.float().square().mean() for t in tensors_in(output) if t.requires_grad]
            torch.autograd.grad(sizes, trained, allow_unused=True)
        except (ValueError, TypeError, AttributeError) as error:
            if isinstance(error, CourseError):
                raise
            raise CourseError(in_words(error)) from error
        wait_for(device)
        return time.perf_counter() - started
