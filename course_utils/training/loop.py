"""The training loop of `fit`: `train` is the loop, `Training` has the details of its lines."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from course_utils.core import CourseError, evaluation_mode, seed_layers
from course_utils.data import Batches, Dataset
from course_utils.metrics import NO_GRADIENT, check_logits, evaluate
from course_utils.training.checkpoint import Checkpoint
from course_utils.training.distributed import Group
from course_utils.training.history import LOOK_EVERY, History, Recorder, Step
from course_utils.training.optimizers import SteppedScheduler
from course_utils.training.own_loss import (
    NO_GRADIENT_OF_LOSS,
    LossFunction,
    LossModel,
    loss_and_logits,
)
from course_utils.training.precision import PLAIN
from course_utils.training.probe import AdaptivePrecision
from course_utils.training.stopping import StopRequest


def train(training: Training) -> None:
    """Train until the last epoch."""
    for epoch in training.epochs_left:
        for images, labels in training.steps(epoch):
            loss = training.loss(images, labels)
            loss.backward()
            training.optimizer.step()
            training.optimizer.zero_grad()
            training.scheduler.after_step()
        loss, accuracy = training.validate()
        training.scheduler.after_epoch(loss)
        training.after_epoch(loss, accuracy)


@dataclass
class Training:
    """One call of `fit`, while it runs; of several processes each has its own (see `distributed`).

    Attributes:
        parallel: The model, or its wrapper for several processes.
        batches: The training pictures of this process.
        own_loss: In place of cross-entropy; None for cross-entropy.
        classifies: Whether the model returns logits.
        checkpoint: Written after each epoch; None for no file.
        bar: Progress bar over all steps.
    """

    model: nn.Module
    parallel: nn.Module
    device: torch.device
    group: Group
    data: Dataset
    batches: Batches
    epochs: int
    optimizer: Optimizer
    scheduler: SteppedScheduler
    own_loss: LossFunction | None
    classifies: bool
    label_smoothing: float
    l1: float
    seed: int
    precision: AdaptivePrecision
    history: History
    checkpoint: Checkpoint | None
    stop: StopRequest
    on_step: Callable[[Step], None] | None
    on_epoch: Callable[[History], None] | None
    bar: Any

    def __post_init__(self) -> None:
        self.penalised = [p for p in self.model.parameters() if p.requires_grad and p.dim() > 1]
        validation = self.data.validation
        self.own_validation = validation
        if self.group.world_size > 1:
            own = self.group.own(len(validation))
            self.own_validation = validation.subset(range(own.start, own.stop))
        # All processes look at the losses at the same steps.
        look = self.group.any(self.device.type == "cpu" or self.on_step is not None)
        look_every = 1 if look else LOOK_EVERY
        self.recorder = Recorder(self.history, self.group, self.device, look_every)

    @property
    def epochs_left(self) -> Iterable[int]:
        """The epochs still to do, counted from 0."""
        return range(len(self.history.epoch), self.epochs)

    def steps(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch; the caller makes a step with each."""
        self.recorder.begin_epoch(epoch)
        self.model.train()
        self.batches.set_epoch(epoch)
        rank = self.group.rank
        seed_layers(self.device, self.seed, epoch, *([rank] if rank else []))  # such as dropout
        for (images, labels), size in zip(self.batches, self.batches.sizes, strict=True):
            self.stop.check()
            self.recorder.begin_step(size, float(self.optimizer.param_groups[0]["lr"]))
            began = time.perf_counter()
            yield images, labels  # the caller makes its step here: that is what is timed
            self.precision.after_step(images, time.perf_counter() - began)
            if self.on_step is not None:
                total = self.epochs * len(self.batches)
                self.on_step(self.recorder.last_step(total, self.epochs))
            self.bar.update()

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return what this step makes smaller: the loss, and the L1 penalty if there is one.

        The loss and the number of right answers are recorded.
        """
        processes = self.group.world_size
        loss_of = self._cross_entropy if self.own_loss is None else self._own_loss
        loss, logits = loss_of(images, labels)
        if processes > 1:  # the sum over the ranks is the mean over the batch, however divided
            loss = loss * self.group.share(self.recorder.size)
        right = None if logits is None else logits.detach().argmax(1) == labels
        self.recorder.add(loss.detach(), right)
        if processes > 1:  # `backward` averages over the ranks
            loss = loss * processes
        if self.l1:
            loss = loss + self.l1 * torch.stack([w.abs().sum() for w in self.penalised]).sum()
        return loss

    def _cross_entropy(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        precision = self.precision.current
        with precision.autocast(self.device):
            logits = self.parallel(precision.arrange(images))
        check_logits(logits, len(images), len(self.data.classes))
        if not logits.requires_grad:
            raise CourseError(NO_GRADIENT)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)
        return loss, logits

    def _own_loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        precision = self.precision.current
        several = self.group.world_size > 1
        model = LossModel(self.model, self.parallel, self.device, precision, once=several)
        result = loss_and_logits(self.own_loss, model, images, labels, len(self.data.classes))
        if not result[0].requires_grad:
            raise CourseError(NO_GRADIENT_OF_LOSS)
        return result

    def validate(self) -> tuple[float, float]:
        """Return the loss and the accuracy on the validation pictures."""
        self.recorder.read_losses()
        self.group.share_buffers(self.model, self.device)
        return self._validation_loss_and_accuracy()

    def after_epoch(self, loss: float, accuracy: float) -> None:
        """Record the epoch, write the checkpoint and call the caller's function."""
        self.recorder.end_epoch(loss, accuracy)
        shown = f"accuracy {accuracy:.1%}" if self.classifies else f"loss {loss:.3g}"
        self.bar.set_postfix_str(f"validation {shown}" if len(self.data.validation) else "")
        if self.checkpoint is not None:
            self.checkpoint.save(self.history, self.precision.current.name)
        if self.on_epoch is not None:
            self.on_epoch(self.history)

    def _validation_loss_and_accuracy(self) -> tuple[float, float]:
        """Return both, nan without validation pictures. Each process measures its own part."""
        total = len(self.data.validation)
        if not total:
            return math.nan, math.nan
        loss = right = 0.0
        with self.stop.on_all_processes():
            if len(self.own_validation) and self.classifies:
                result = evaluate(
                    self.model,
                    self.own_validation,
                    mean=self.data.mean,
                    std=self.data.std,
                    device=self.device,
                    on_batch=self.stop.check_here,
                )
                loss, right = result.loss * self.group.share(total), result.correct
            elif len(self.own_validation):
                loss, right = self._own_validation_loss() * self.group.share(total), math.nan
        loss, right = self.group.sum([loss, right])
        return loss, right / total

    def _own_validation_loss(self) -> float:
        """Return the mean of the reader's loss on this process's pictures, in eval mode."""
        own, data = self.own_validation, self.data
        batches = Batches(own, 256, mean=data.mean, std=data.std, device=self.device)
        model = LossModel(self.model, self.model, self.device, PLAIN)
        total = torch.zeros((), device=self.device)
        with evaluation_mode(self.model), torch.no_grad():
            for images, labels in batches:
                self.stop.check_here()
                loss, _ = loss_and_logits(self.own_loss, model, images, labels, len(data.classes))
                total += loss * len(labels)
        return total.item() / len(own)
