"""Train a classifier with `fit`.

>>> from course_utils.data import load_dataset
>>> from course_utils.models import SimpleCNN
>>> model = SimpleCNN()
>>> history = fit(model, load_dataset("fashion-mnist"), epochs=3)  # doctest: +SKIP
>>> print(history.summary())  # doctest: +SKIP
3 epochs: training loss 0.46, accuracy 84.0%; validation loss 0.43, accuracy 85.3%
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from course_utils.core import (
    CourseError,
    is_out_of_memory,
    memory_in_words,
    pick_device,
    private_random_numbers,
    seed_layers,
    use_threads,
)
from course_utils.data import Augment, Batches, Dataset
from course_utils.metrics import check_model_fits
from course_utils.training.checkpoint import Checkpoint
from course_utils.training.checks import Callback, check_settings, in_words
from course_utils.training.distributed import has_batch_norm, joined, own_device
from course_utils.training.history import History, Step
from course_utils.training.loop import Training, train
from course_utils.training.optimizers import (
    OptimizerFactory,
    SchedulerFactory,
    SteppedScheduler,
    build_optimizer,
    build_scheduler,
)
from course_utils.training.own_loss import LossFunction, name_of
from course_utils.training.precision import PLAIN, Precision
from course_utils.training.probe import AdaptivePrecision
from course_utils.training.stopping import Stopped, StopRequest


@memory_in_words("make batch_size smaller, or the network or its pictures")
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
    loss: LossFunction | None = None,
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
    """Train `model`, in place, to classify the pictures of `data`. The loop is `train` in loop.py.

    Each epoch shows every training picture once, in a new order, and then measures the model on the
    validation pictures. Afterwards the model is in eval mode, on its own device, its weights in the
    usual memory layout; torch's global random numbers do not change.

    Order, augmentation and dropout depend on (seed, epoch) only, so one seed leads to the same
    numbers on the same machine with the same `precision`. `seed` does not set the model's first
    weights: call `torch.manual_seed` before you build the model.

    Several processes: the same script, unchanged, trains on two GPUs or two processors if it is
    started by `python -m torch.distributed.run --nproc_per_node 2 train.py`.
    Each process takes its part of each batch of `batch_size` pictures, and the result is the same
    as with one process, within rounding. Two things differ: dropout draws other masks, and on the
    CPU BatchNorm normalises over the part of each process (a warning says so; on CUDA it becomes
    SyncBatchNorm during the training). All start with the weights of rank 0 and end with the same
    weights and history. Only rank 0 shows the progress bar and reads and writes the checkpoint.
    Callbacks run in every process, and a `stop` in any of them stops all. An exception in a
    callback must be raised in all, or end the program, as it does if nothing catches it. With
    `precision="auto"`, rank 0 chooses for all. The model must compute the same graph in each step;
    parameters that it does not use do not change.

    Args:
        model: Takes float32 (N, C, H, W), returns logits (N, classes).
        data: Its `train` and `validation` pictures are used, never `test`.
        epochs: Passes over the training pictures.
        batch_size: Pictures in each step. If the model has BatchNorm, which may not normalise a
            single picture, a last batch with fewer than two pictures for each process is left out,
            and with several processes every other batch needs at least two for each.
        optimizer: A class or function that takes a list of parameters (those that require a
            gradient) and returns an optimizer, such as `torch.optim.SGD` or
            `partial(torch.optim.AdamW, weight_decay=0.05)`; or a ready optimizer. Default: AdamW
            (Loshchilov and Hutter 2019, "Decoupled weight decay regularization").
        learning_rate: Passed to the optimizer as `lr`. Default: 1e-3 for the default optimizer,
            otherwise the optimizer's own.
        scheduler: A function that takes the optimizer and the number of scheduler steps and returns
            a scheduler: `lambda optimizer, n: OneCycleLR(optimizer, 0.01, n)`; or a ready one for a
            ready optimizer. `ReduceLROnPlateau` is given the validation loss after each epoch.
        scheduler_every: "step" or "epoch".
        loss: What to make smaller in place of the cross-entropy. A function that takes the model,
            pictures float32 (N, C, H, W) and labels int64 (N,), and returns one number, the mean
            over these pictures: `lambda model, images, labels: F.mse_loss(model(images), images)`.
            The model that it takes stands for yours, in train mode; a call of it computes in the
            `precision` and returns float32. If yours returns logits (N, classes), the accuracy is
            recorded as always, and the validation is that of cross-entropy, so that you can compare
            losses; otherwise the validation is your loss in eval mode. Your loss may have random
            numbers of torch, which depend on (seed, epoch). With several processes it must call the
            model once in each step. If some classes have few pictures: `WeightedCrossEntropy`.
        label_smoothing: Share of the label that is spread over all classes (Szegedy et al. 2016,
            "Rethinking the Inception architecture for computer vision").
        l1: Factor of the sum of the weights' absolute values in the loss; biases and the parameters
            of normalisation layers are left out.
        augment: Random changes of the training pictures.
        device: "auto" takes a CUDA GPU if there is one, otherwise the CPU.
        precision: "auto" tries for a moment what is fastest here (see
            `course_utils.training.probe`), and again if the steps suddenly become slow; "float32"
            computes plainly; "bfloat16" always uses autocast, and channels_last where that is safe
            (`Precision.safe_for`).
        seed: Of order, augmentation and dropout.
        checkpoint: File that is written after each epoch. Its folder is checked before the first.
        resume: Continue after the last epoch in `checkpoint`, if the file exists; the numbers are
            those of a training without interruption. So all that decides them must be the same:
            the pictures and labels, the model's layers and first weights, the optimizer and the
            scheduler with their settings, and the arguments above from `batch_size` to `seed`. A
            `loss` is known by its name, its code and what its `repr` shows; that what it uses
            besides, such as a teacher, is the same is up to you. Only
            these may change: `device`, `precision="auto"` (which takes that of the file), the
            number of processes, `stop`, the callbacks, `progress`, and, if there is no scheduler,
            `epochs`. A model may also be the interrupted one itself, or have the weights of the
            file.
        stop: When it is set, training ends before the next step.
        on_step: Called after each step.
        on_epoch: Called with the history after each epoch. Both callbacks run in the thread of
            `fit`; an exception in them ends the training, and `fit` raises it.
        progress: Show a progress bar.

    Raises:
        Diverged: If the loss is nan or infinite.
        OutOfMemory: If there is not enough memory.
        CourseError: If model, data and settings do not fit together, no gradient reaches the
            parameters, the schedule ends before the training, the checkpoint is damaged, belongs to
            another training or cannot be written, or there are more processes than pictures in a
            batch (with BatchNorm, than half of them) or than GPUs. Errors of torch become such
            errors, too; those of the callbacks and of `loss` do not.
    """
    from tqdm.auto import tqdm

    check_settings(
        model,
        data,
        epochs=epochs,
        batch_size=batch_size,
        scheduler_every=scheduler_every,
        loss=loss,
        label_smoothing=label_smoothing,
        l1=l1,
        augment=augment,
        seed=seed,
        checkpoint=checkpoint,
        stop=stop,
        on_step=on_step,
        on_epoch=on_epoch,
    )
    target = pick_device(own_device(device))
    named = {} if loss is None else {"loss": name_of(loss)}
    own = [function and Callback(function) for function in (loss, on_step, on_epoch)]
    loss, on_step, on_epoch = own
    with (
        joined(target) as group,
        borrowed(model, target),
        private_random_numbers(target),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        group.check_batch_size(batch_size, model)
        seed_layers(target, seed)
        classifies = check_model_fits(model, data, target, any_output=loss is not None)
        rest = len(data.train) % batch_size
        too_small = len(data.train) > rest > 0 and rest < group.fewest_pictures(model)
        batches = Batches(
            data.train,
            batch_size,
            mean=data.mean,
            std=data.std,
            shuffle=True,
            augment=augment,
            seed=seed,
            device=target,
            drop_last=too_small and has_batch_norm(model),
            rank=group.rank,
            world_size=group.world_size,
        )
        steps = epochs * len(batches)
        optimizer = build_optimizer(model, optimizer, learning_rate)
        count = steps if scheduler_every == "step" else epochs
        scheduler = build_scheduler(optimizer, scheduler, count)
        stepped = SteppedScheduler(scheduler, scheduler_every, count)
        if stepped.plateau and not len(data.validation):
            raise CourseError(
                "ReduceLROnPlateau watches the validation loss, but there are no validation "
                "pictures: load the data with validation=0.1, or take another schedule."
            )
        history, before, file = History(), None, None
        if checkpoint is not None:
            settings = {
                "batch_size": batch_size,
                "label_smoothing": float(label_smoothing),
                "l1": float(l1),
                "augment": repr(augment),
                "seed": seed,
                **named,
            }
            parts = (group, model, data, optimizer, stepped, epochs, precision, settings)
            file = Checkpoint(Path(checkpoint), *parts)
            if resume and file.exists():
                history, before = file.load()
            else:
                file.begin()
        if not history.epoch:
            stepped.check()
        stop_request = StopRequest(stop, group)
        adaptive = AdaptivePrecision(
            model, target, history, stop_request, own_loss=loss is not None
        )
        shown = {"total": steps, "desc": "training", "unit": "step"}
        hidden = not progress or group.rank > 0
        with tqdm(**shown, initial=len(history.step_loss), disable=hidden) as bar:
            try:
                adaptive.start(precision, lambda: next(iter(batches))[0], group, before)
                with group.parallel(model, target) as parallel:
                    training = Training(
                        model=model,
                        parallel=parallel,
                        device=target,
                        group=group,
                        data=data,
                        batches=batches,
                        epochs=epochs,
                        optimizer=optimizer,
                        scheduler=stepped,
                        own_loss=loss,
                        classifies=classifies,
                        label_smoothing=label_smoothing,
                        l1=l1,
                        seed=seed,
                        precision=adaptive,
                        history=history,
                        checkpoint=file,
                        stop=stop_request,
                        on_step=on_step,
                        on_epoch=on_epoch,
                        bar=bar,
                    )
                    train(training)
            except (RuntimeError, ValueError, TypeError, AttributeError) as error:
                ours = isinstance(error, CourseError)
                if ours or is_out_of_memory(error) or any(c and c.error is error for c in own):
                    raise
                raise CourseError(in_words(error)) from error
            except Stopped:
                group.share_buffers(model, target)
                history.stopped = f"stopped after step {len(history.step_loss):,} of {steps:,}"
    return history


@contextlib.contextmanager
def borrowed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Move `model` to `device` for a block, and back afterwards.

    Afterwards it is in eval mode, without gradients and in the usual memory layout, and the number
    of threads is as before.
    """
    first = next(model.parameters(), None)
    home = first.device if first is not None else device
    threads = torch.get_num_threads()
    model.to(device)
    try:
        yield
    finally:
        use_threads(threads)
        model.zero_grad()  # to None: gradients may have the channels last in memory
        PLAIN.arrange_model(model)
        model.to(home)
        model.eval()
