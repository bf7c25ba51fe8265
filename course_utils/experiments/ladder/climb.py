"""Train and judge one rung of the ladder; after any interruption it goes on where it was."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from course_utils.conv import layer_table
from course_utils.core import (
    CourseError,
    OutOfMemory,
    load_checkpoint,
    load_weights,
    pick_device,
    save_checkpoint,
)
from course_utils.data import Dataset
from course_utils.experiments.ladder.rungs import (
    Plan,
    Rung,
    build,
    prepared,
    rung_data,
    rung_named,
    rungs_of,
)
from course_utils.metrics import AveragedViews, Evaluation, evaluate
from course_utils.training import (
    PLAIN,
    AveragedWeights,
    BestEpoch,
    Distillation,
    History,
    Precision,
    Step,
    fit,
)


@dataclass(frozen=True)
class Machine:
    """Where and how a ladder is trained.

    Attributes:
        device: "cpu" or "cuda".
        precision: Number format and layout. On a GPU half precision (bfloat16) with channels_last.
    """

    device: str = "cpu"
    precision: Precision = PLAIN

    @classmethod
    def chosen(cls, device: str = "auto", precision: str = "auto", threads: int = 1) -> Machine:
        """Return a machine by names, as the command line has them.

        Args:
            device: "auto" takes a CUDA GPU if there is one.
            precision: "float32", "bfloat16", or "auto" for bfloat16 on a GPU and float32 otherwise.
            threads: On the CPU. With one, the numbers do not depend on the number of cores.

        Raises:
            CourseError: If this machine has no such device, or there is no such precision.
        """
        target = pick_device(device)
        if precision not in ("auto", "float32", "bfloat16"):
            raise CourseError(f"precision={precision!r}: take 'auto', 'float32' or 'bfloat16'.")
        half = precision == "bfloat16" or (precision == "auto" and target.type == "cuda")
        dtype = torch.bfloat16 if half else torch.float32
        kept = threads if target.type == "cpu" else None
        return cls(target.type, Precision(dtype, channels_last=half, threads=kept))

    @property
    def name(self) -> str:
        """The processor or GPU in a few words."""
        if self.device == "cuda":
            return torch.cuda.get_device_name()
        return f"{processor()}, {torch.backends.cpu.get_cpu_capability()}"


def processor() -> str:
    """Return the kind of processor, such as "AMD EPYC"."""
    with contextlib.suppress(OSError, IndexError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x for x in lines if x.startswith("model name")).partition(": ")[2].strip()
    return platform.machine() or "unknown processor"


@dataclass(frozen=True)
class Climbed:
    """One rung after its training.

    Attributes:
        network: With its best weights, in eval mode, on the CPU; with views it is `AveragedViews`.
        data: As the rung used them.
        test: How it did on the test pictures.
        epochs: Trained epochs; 0 if the rung uses other weights.
        best_epoch: The epoch whose weights it has.
        seconds: Of its training, over all interruptions: on the CPU those of the processor.
    """

    rung: Rung
    network: nn.Module
    data: Dataset
    test: Evaluation
    epochs: int
    best_epoch: int
    seconds: float

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.network.parameters())

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds for one test picture, with all its views."""
        with torch.no_grad():
            rows = layer_table(self.network, torch.zeros(1, *self.data.image_shape))
        return sum(row.multiply_adds or 0 for row in rows)


def climb(
    rung: Rung,
    plan: Plan,
    seed: int,
    folder: Path,
    machine: Machine = Machine(),
    *,
    data: Dataset | None = None,
    stop: threading.Event | None = None,
    on_step: Callable[[Step], None] | None = None,
    progress: bool = False,
) -> Climbed | None:
    """Train a rung and measure it on the test pictures; None if it was stopped.

    The training writes to `folder` after each epoch. Called again with the same folder, it goes on
    there, and its result is that of a training without interruption.

    Args:
        rung: Of `rungs_of(plan)`.
        folder: Of this ladder, on this machine: one file for each rung and seed.
        data: In place of `rung_data(rung, plan)`.
        stop, on_step, progress: As for `fit`.

    Raises:
        CourseError: If the data are not there, the rung needs the weights of another one that has
            not been trained, or any error of `fit`.
    """
    data = rung_data(rung, plan) if data is None else prepared(data, rung)
    if rung.weights_of:
        network, state = trained(rung_named(rung.weights_of, rungs_of(plan)), data, seed, folder)
        state = state | {"seconds": 0.0, "epochs": 0}
    else:
        with _memory_of(rung):
            found = _train(rung, plan, data, seed, folder, machine, stop, on_step, progress)
        if found is None:
            return None
        network, state = found
    shown = network
    if rung.mirror or rung.shift:
        shown = AveragedViews(network, rung.mirror, rung.shift)
    device = torch.device(machine.device)
    with machine.precision.with_threads(), _memory_of(rung):
        shown.to(device)
        size = min(256, 4 * rung.fit["batch_size"])
        test = evaluate(shown, data.test, mean=data.mean, std=data.std, batch_size=size)
        shown.to("cpu").eval()
    found = (state[name] for name in ("epochs", "best_epoch", "seconds"))
    return Climbed(rung, shown, data, test, *found)


def trained(rung: Rung, data: Dataset, seed: int, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network of a rung with the weights that `climb` left in `folder`, and its state.

    Raises:
        CourseError: If this rung has not been trained there with this seed.
    """
    file = weights_file(rung, seed, folder)
    if not os.path.exists(file):
        raise CourseError(
            f"This needs the network of the rung {rung.name!r} with seed {seed}, which has not "
            "been trained here: train that rung first."
        )
    needed = {"model": dict, "epochs": int, "best_epoch": int, "seconds": float}
    remedy = "delete it, and this rung is trained again"
    state = load_checkpoint(file, needed, remedy=remedy)
    network = plain(build(rung, data, seed))
    load_weights(network, state["model"], file, "Delete it, and this rung is trained again.")
    return network.requires_grad_(True).eval(), state


def weights_file(rung: Rung, seed: int, folder: Path) -> Path:
    """Return the file of a rung's trained weights."""
    return Path(folder) / f"{rung.name.replace(' ', '_')}_{seed}.pt"


def plain(network: nn.Module) -> nn.Module:
    """Return the network that answers: of `AveragedWeights` the averaged one."""
    return network.average if isinstance(network, AveragedWeights) else network


def _train(
    rung: Rung,
    plan: Plan,
    data: Dataset,
    seed: int,
    folder: Path,
    machine: Machine,
    stop: threading.Event | None,
    on_step: Callable[[Step], None] | None,
    progress: bool,
) -> tuple[nn.Module, dict[str, Any]] | None:
    done = weights_file(rung, seed, folder)
    if done.exists():
        return trained(rung, data, seed, folder)
    settings = dict(rung.fit)
    if rung.teacher:
        teacher, _ = trained(rung_named(rung.teacher, rungs_of(plan)), data, seed, folder)
        settings["loss"] = Distillation(teacher, **rung.lesson)
    model = build(rung, data, seed)
    checkpoint, kept = done.with_suffix(".checkpoint"), done.with_suffix(".best")
    memory = _Memory(BestEpoch(model), kept, machine.device)
    memory.restore(checkpoint)
    history = fit(
        model,
        data,
        **settings,
        seed=seed,
        device=machine.device,
        precision=machine.precision,
        checkpoint=checkpoint,
        resume=True,
        stop=stop,
        on_step=on_step,
        on_epoch=memory,
        progress=progress,
    )
    if history.stopped:
        return None
    memory.best.restore()
    network = plain(model).requires_grad_(True).eval()
    state = {
        "epochs": len(history.epoch),
        "best_epoch": memory.best.epoch,
        "seconds": memory.seconds,
    }
    save_checkpoint(done, {"model": network.state_dict(), **state})
    for file in (checkpoint, kept):
        file.unlink(missing_ok=True)
    return network, state


class _Memory:
    """The best epoch and the seconds so far, which the checkpoint of `fit` does not have.

    Its own file is written after that of `fit`, so it may be one epoch behind when the program is
    killed; `restore` makes up for that.
    """

    def __init__(self, best: BestEpoch, file: Path, device: str) -> None:
        self.best, self.file = best, file
        # On the CPU other programs do not count.
        self._clock = time.process_time if device == "cpu" else time.monotonic
        self.seconds, self._began = 0.0, self._clock()

    def __call__(self, history: History) -> None:
        self.best(history)
        self._save()

    def _save(self) -> None:
        now = self._clock()
        self.seconds += now - self._began
        self._began = now
        save_checkpoint(self.file, {"best": self.best.state_dict(), "seconds": self.seconds})

    def restore(self, checkpoint: Path) -> None:
        """Go on from the files of an interrupted training, if there are any."""
        if not checkpoint.exists():
            self.file.unlink(missing_ok=True)
            return
        kept = load_checkpoint(checkpoint, {"model": dict, "history": dict})
        history = History(**kept["history"])
        if self.file.exists():
            state = load_checkpoint(self.file, {"best": dict, "seconds": float})
            self.best.load_state_dict(state["best"])
            self.seconds = state["seconds"]
        if self.best.seen < len(history.epoch):
            self.best.compare(history, kept["model"])


@contextlib.contextmanager
def _memory_of(rung: Rung) -> Any:
    """Say which rung needs more memory than there is, and what to do."""
    try:
        yield
    except OutOfMemory as error:
        size = rung.fit["batch_size"]
        raise OutOfMemory(
            f"The rung {rung.name!r} needs more memory than this device has with steps of {size} "
            f"pictures: start again with --batch-size {max(1, size // 2)}. That is another recipe, "
            "so give another --results folder, too."
        ) from error
