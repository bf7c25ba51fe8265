"""Training a classifier: `fit` and what comes of it.

>>> from course_utils.data import load_dataset
>>> from course_utils.models import SimpleCNN
>>> model = SimpleCNN()
>>> history = fit(model, load_dataset("fashion-mnist"), epochs=3)  # doctest: +SKIP
>>> print(history.summary())  # doctest: +SKIP
3 epochs: training loss 0.46, accuracy 84.0%; validation loss 0.43, accuracy 85.3%
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from course_utils.core import (
    CourseError,
    pick_device,
    private_random_numbers,
    seed_layers,
    use_threads,
)
from course_utils.data import Augment, Dataset
from course_utils.metrics import check_model_fits
from course_utils.training.distributed import has_batch_norm, joined, own_device
from course_utils.training.history import History, Step
from course_utils.training.loop import Stopped, Training
from course_utils.training.optimizers import OptimizerFactory, SchedulerFactory
from course_utils.training.precision import PLAIN, Precision


def fit(
    model: nn.Module,
    data: Dataset,
    *,
    epochs: int = 8,
    batch_size: int = 64,
    optimizer: OptimizerFactory | Optimizer | None = None,
    learning_rate: float | None = None,
    scheduler: SchedulerFactory | LRScheduler | None = None,
    scheduler_every: str = "step",
    label_smoothing: float = 0.0,
    l1: float = 0.0,
    augment: Augment | None = None,
    device: torch.device | str = "auto",
    precision: str | Precision = "auto",
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    stop: threading.Event | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_epoch: Callable[[History], None] | None = None,
    progress: bool = True,
) -> History:
    """Train `model`, in place, to tell the classes of `data` apart.

    Each epoch shows every training picture once, in a new order, and then measures the model on the
    validation pictures. Afterwards the model is in eval mode, on the device on which it was, its
    weights in the usual memory layout; torch's global random numbers are as before.

    Order, augmentation and dropout are functions of (seed, epoch), so one seed gives the same
    numbers on the same machine with the same `precision`. The weights that the model starts with
    are the caller's: call `torch.manual_seed` before building it.

    Several processes: the same script, unchanged, trains on two GPUs or two processors when it is
    started by `python -m torch.distributed.run --nproc_per_node 2 train.py`:

    >>> model = SimpleCNN()  # doctest: +SKIP
    >>> history = fit(model, load_dataset("fashion-mnist"), batch_size=64)  # doctest: +SKIP

    `batch_size` is still that of the whole batch, of which each process takes its part, and the
    result is that of one process, within rounding. Two things differ: dropout draws other masks,
    and on the CPU BatchNorm normalises over the part of each process (a warning says so; on CUDA it
    becomes SyncBatchNorm meanwhile). All start with the weights of rank 0 and end with the same
    weights and history; rank 0 alone shows the bar and reads and writes the checkpoint; callbacks
    run in every process, and a `stop` in any of them stops all. An exception in a callback must
    come in all, or end the program, as it does if nobody catches it. `precision="auto"` tries on
    rank 0, once. The model must compute the same graph in each step; parameters it leaves unused
    stay as they are.

    Args:
        model: Takes float32 (N, C, H, W), gives logits (N, classes).
        data: Its `train` and `validation` pictures are used, never `test`.
        epochs: Passes over the training pictures.
        batch_size: Pictures in each step. A last batch of a single picture (with several processes,
            of fewer than two for each) is left out if the model has BatchNorm, which cannot
            normalise it; several processes need two for each of them in every other batch.
        optimizer: A class or function that makes one of a list of parameters (those that require a
            gradient), such as `torch.optim.SGD` or `partial(torch.optim.AdamW, weight_decay=0.05)`;
            or a ready one. Default: AdamW (Loshchilov and Hutter 2019, "Decoupled weight decay
            regularization").
        learning_rate: Passed to the optimizer as `lr`. Default: 1e-3 for the default optimizer,
            else the optimizer's own.
        scheduler: A function that makes a schedule of the optimizer and of the number of times
            that it will be stepped: `lambda optimizer, n: OneCycleLR(optimizer, 0.01, n)`; or a
            ready one for a ready optimizer. `ReduceLROnPlateau` is given the validation loss after
            each epoch.
        scheduler_every: "step" or "epoch".
        label_smoothing: Share of the label that is spread over all classes (Szegedy et al. 2016,
            "Rethinking the Inception architecture for computer vision").
        l1: Factor of the sum of the weights' magnitudes in what is minimised; biases and the
            parameters of normalisation layers are left out.
        augment: Random changes of the training pictures.
        device: "auto" takes a CUDA GPU if there is one and else the CPU.
        precision: "auto" tries for a moment what is fastest here (see
            `course_utils.training.precision`), and again if the steps suddenly become slow;
            "float32" computes plainly; "bfloat16" uses autocast and channels_last wherever it runs.
        seed: Of order, augmentation and dropout.
        checkpoint: File that is written after each epoch.
        resume: Go on after the last epoch in `checkpoint`, if the file exists, to the very numbers
            of a training without interruption. The other arguments must be as they were; more
            epochs are allowed if there is no schedule.
        stop: When it is set, training ends before the next step.
        on_step: Called after each step.
        on_epoch: Called with the history so far after each epoch. Both callbacks run in the thread
            of `fit`; an exception in them ends the training and comes out of `fit`.
        progress: Show a progress bar.

    Raises:
        Diverged: If the loss is nan or infinite.
        CourseError: If model, data and settings do not go together, the checkpoint is damaged or
            belongs to another training, or there are more processes than pictures in a batch (with
            BatchNorm, than half of them) or than GPUs.
    """
    _check_settings(epochs, batch_size, scheduler_every, label_smoothing, l1)
    target = pick_device(own_device(device))
    with joined(target) as group, borrowed(model, target), private_random_numbers(target):
        if batch_size < group.world_size:
            raise CourseError(
                f"batch_size={batch_size} is shared by {group.world_size} processes: give at least "
                f"{group.world_size}, or start fewer."
            )
        if group.world_size > 1 and has_batch_norm(model) and batch_size < 2 * group.world_size:
            raise CourseError(
                f"batch_size={batch_size} is shared by {group.world_size} processes, and BatchNorm "
                f"needs two pictures in each: give at least {2 * group.world_size}, or start fewer."
            )
        seed_layers(target, seed)
        check_model_fits(model, data, target)
        training = Training(
            model,
            data,
            target,
            group,
            epochs=epochs,
            batch_size=batch_size,
            label_smoothing=label_smoothing,
            l1=l1,
            augment=augment,
            seed=seed,
            stop=stop,
            on_step=on_step,
        )
        training.set_optimizer(optimizer, learning_rate, scheduler, scheduler_every)
        before = None
        if checkpoint is not None and resume and group.of_first(Path(checkpoint).exists):
            before = training.load(checkpoint)
        with _bar(progress and group.rank == 0, training) as bar:
            try:
                training.set_precision(precision, before)
                with group.parallel(model, target) as training.parallel:
                    for epoch in range(len(training.history.epoch), epochs):
                        training.run_epoch(epoch, bar)
                        if checkpoint is not None:
                            training.save(checkpoint)
                        if on_epoch is not None:
                            on_epoch(training.history)
            except Stopped:
                group.share_buffers(model, target)
                done = len(training.history.step_loss)
                training.history.stopped = f"stopped after step {done:,} of {training.steps:,}"
    return training.history


@contextlib.contextmanager
def borrowed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Move `model` to `device`; afterwards back to where it was, in eval mode and the usual layout.

    The number of threads is afterwards as it was, too.
    """
    first = next(model.parameters(), None)
    home = first.device if first is not None else device
    threads = torch.get_num_threads()
    model.to(device)
    try:
        yield
    finally:
        use_threads(threads)
        model.zero_grad()  # to None: gradients may lie in memory with the channels last
        PLAIN.arrange_model(model)
        model.to(home)
        model.eval()


@contextlib.contextmanager
def _bar(show: bool, training: Training) -> Iterator[Any]:
    """A progress bar over all steps, or something that takes the same calls and shows nothing."""
    from tqdm.auto import tqdm

    done = len(training.history.step_loss)
    bar = tqdm(total=training.steps, initial=done, desc="training", unit="step", disable=not show)
    with bar:
        yield bar


def _check_settings(
    epochs: int, batch_size: int, scheduler_every: str, label_smoothing: float, l1: float
) -> None:
    problems: Iterable[tuple[bool, str]] = (
        (epochs < 1, f"epochs={epochs}: give at least 1."),
        (batch_size < 1, f"batch_size={batch_size}: give at least 1."),
        (
            scheduler_every not in ("step", "epoch"),
            f"scheduler_every={scheduler_every!r}: give 'step' or 'epoch'.",
        ),
        (
            not 0 <= label_smoothing < 1,
            f"label_smoothing={label_smoothing}: give a share from 0 to below 1; 0.1 is usual.",
        ),
        (not 0 <= l1 < math.inf, f"l1={l1}: give a number from 0 up; 1e-5 is little, 1e-3 much."),
    )
    for wrong, text in problems:
        if wrong:
            raise CourseError(text)
