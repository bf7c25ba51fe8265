"""The loop inside `fit`: a training under way, with all that changes while it runs."""

from __future__ import annotations

import math
import operator
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from course_utils.core import (
    CourseError,
    load_checkpoint,
    plain_state,
    save_checkpoint,
    seed_layers,
    use_threads,
)
from course_utils.data import Augment, Batches, Dataset
from course_utils.metrics import evaluate
from course_utils.training.distributed import Group, has_batch_norm
from course_utils.training.history import Diverged, History, Step
from course_utils.training.optimizers import (
    OptimizerFactory,
    SchedulerFactory,
    build_optimizer,
    build_scheduler,
)
from course_utils.training.precision import (
    PLAIN,
    Precision,
    Watch,
    asked_for,
    choose,
    fall_back,
    named,
)

LOOK_EVERY = 16
"""Steps between two looks at the losses where a look makes the device wait."""


class Stopped(Exception):
    """The `stop` event is set."""


class Training:
    """One call of `fit`: all that changes while it runs."""

    def __init__(
        self,
        model: nn.Module,
        data: Dataset,
        device: torch.device,
        group: Group,
        *,
        epochs: int,
        batch_size: int,
        label_smoothing: float,
        l1: float,
        augment: Augment | None,
        seed: int,
        stop: threading.Event | None,
        on_step: Callable[[Step], None] | None,
    ) -> None:
        self.model, self.data, self.device, self.group = model, data, device, group
        self.parallel = model  # or what wraps it for several processes
        self.epochs, self.label_smoothing, self.seed = epochs, label_smoothing, seed
        self.stop, self.on_step = stop, on_step
        self.l1 = l1
        self.weights = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
        normalises = has_batch_norm(model)
        rest = len(data.train) % batch_size  # each rank needs two pictures to normalise
        self.batches = Batches(
            data.train,
            batch_size,
            mean=data.mean,
            std=data.std,
            shuffle=True,
            augment=augment,
            seed=seed,
            device=device,
            drop_last=normalises and len(data.train) > rest > 0 and rest < 2 * group.world_size,
            rank=group.rank,
            world_size=group.world_size,
        )
        self.validation = data.validation
        if group.world_size > 1:
            own = group.own(len(data.validation))
            self.validation = data.validation.subset(range(own.start, own.stop))
        self.history = History()
        self.precision = PLAIN
        self.watch = Watch(PLAIN)
        self.threads = torch.get_num_threads()
        # All ranks look at the same steps and ask for `stop` at the same steps, or at none.
        look = group.any(device.type == "cpu" or on_step is not None)
        self.look_every = 1 if look else LOOK_EVERY
        self.may_stop = group.any(stop is not None)
        self.unseen: list[Tensor] = []  # losses that still are on the device
        self.settings = {
            "pictures": len(data.train),
            "batch_size": batch_size,
            "label_smoothing": float(label_smoothing),
            "l1": float(l1),
            "augment": repr(augment),
            "seed": seed,
        }

    @property
    def steps(self) -> int:
        return self.epochs * len(self.batches)

    def set_optimizer(
        self,
        optimizer: OptimizerFactory | Optimizer | None,
        learning_rate: float | None,
        scheduler: SchedulerFactory | LRScheduler | None,
        scheduler_every: str,
    ) -> None:
        self.optimizer = build_optimizer(self.model, optimizer, learning_rate)
        self.settings["optimizer"] = type(self.optimizer).__name__
        count = self.steps if scheduler_every == "step" else self.epochs
        self.scheduler = build_scheduler(self.optimizer, scheduler, count)
        self.plateau = isinstance(self.scheduler, ReduceLROnPlateau)
        if self.plateau and not len(self.data.validation):
            raise CourseError(
                "ReduceLROnPlateau watches the validation loss, but there are no validation "
                "pictures: load the data with validation=0.1, or take another schedule."
            )
        every = "epoch" if self.plateau else scheduler_every
        self.schedules = {"step": None, "epoch": None} | {every: self.scheduler}
        self.settings["scheduler"] = type(self.scheduler).__name__
        if self.scheduler is not None:
            self.settings |= {"epochs": self.epochs, "scheduler_every": every}

    def set_precision(self, precision: str | Precision, before: str | None) -> None:
        """Take over what is asked for; `before` is what a resumed training had."""
        automatic = precision == "auto"
        # A step of several processes also waits for the others, which says nothing of precision.
        self.automatic = automatic and self.group.world_size == 1
        self.model.train()
        if not automatic:
            choice = asked_for(precision)
        else:
            images, _ = next(iter(self.batches))
            choice = self.group.of_first(
                lambda: choose(self.model, images, between=self._stop_here)
            )
            if before is not None:
                choice = _as_before(named(before), choice)
        self._adopt(choice)
        self.history.precision = str(choice)

    def _adopt(self, precision: Precision) -> None:
        precision.arrange_model(self.model)
        use_threads(precision.threads or self.threads)
        self.precision = precision
        self.watch = Watch(precision if self.device.type == "cpu" else PLAIN)

    def check_stop(self) -> None:
        """Raise on every rank if any is asked to stop."""
        if self.may_stop and self.group.any(self.stop is not None and self.stop.is_set()):
            raise Stopped

    def _stop_here(self) -> None:
        """Raise on this rank alone: for what the ranks do not do in step."""
        if self.stop is not None and self.stop.is_set():
            raise Stopped

    def run_epoch(self, epoch: int, bar: Any) -> None:
        """Train for one epoch (counted from 0), validate, and record it."""
        started = time.perf_counter()
        self.model.train()
        self.batches.set_epoch(epoch)
        rank = self.group.rank
        seed_layers(self.device, self.seed, epoch, *([rank] if rank else []))  # masks of its own
        first = len(self.history.step_loss)
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        sizes: list[int] = []
        rate = math.nan
        for (images, labels), size in zip(self.batches, self.batches.sizes, strict=True):
            self.check_stop()
            begun = time.perf_counter()
            rate = float(self.optimizer.param_groups[0]["lr"])
            right += self._step(images, labels, size, rate, epoch)
            sizes.append(size)
            if self.automatic and self.watch.collapsed(time.perf_counter() - begun):
                self._change_precision(images)
            if self.on_step is not None:
                done = len(self.history.step_loss)
                loss = self.history.step_loss[-1]
                self.on_step(Step(done, self.steps, epoch + 1, self.epochs, loss, rate))
            bar.update()
        self._look(epoch)
        losses = self.history.step_loss[first:]
        shown = sum(sizes)
        self.group.share_buffers(self.model, self.device)
        loss, accuracy = self._validate()
        if (schedule := self.schedules["epoch"]) is not None:
            schedule.step(*([loss] if self.plateau else []))
        h = self.history
        h.train_loss.append(sum(map(operator.mul, losses, sizes)) / shown)
        h.train_accuracy.append(self.group.sum([right.item()])[0] / shown)
        h.validation_loss.append(loss)
        h.validation_accuracy.append(accuracy)
        h.learning_rate.append(rate)
        h.seconds.append(time.perf_counter() - started)
        h.epoch.append(epoch + 1)  # last: whoever reads from another thread counts these
        bar.set_postfix_str(f"validation accuracy {accuracy:.1%}")

    def _step(self, images: Tensor, labels: Tensor, size: int, rate: float, epoch: int) -> Tensor:
        """One step of the optimizer; gives how many pictures were right before it.

        `size` counts the batch of all ranks, of which `images` are the part of this one.
        """
        with self.precision.autocast(self.device):
            logits = self.parallel(self.precision.arrange(images))
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)
        if self.group.world_size > 1:
            # The sum over the ranks is then the mean over the whole batch, however it is cut.
            loss = loss * self.group.share(size)
        self.unseen.append(loss.detach())
        if len(self.unseen) >= self.look_every:
            self._look(epoch)
        self.history.step_learning_rate.append(rate)
        if self.group.world_size > 1:
            loss = loss * self.group.world_size  # as the gradients are averaged
        if self.l1:
            loss = loss + self.l1 * torch.stack([w.abs().sum() for w in self.weights]).sum()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if (schedule := self.schedules["step"]) is not None:
            schedule.step()
        counted = self.group.own(size)
        return (logits.detach().argmax(1) == labels)[: counted.stop - counted.start].sum()

    def _look(self, epoch: int) -> None:
        """Bring the losses over from the device and see whether they are numbers."""
        for value in self.group.sum(torch.stack(self.unseen).tolist()) if self.unseen else ():
            if not math.isfinite(value):
                raise Diverged(value, len(self.history.step_loss) + 1, epoch + 1, self.history)
            self.history.step_loss.append(value)
        self.unseen.clear()

    def _validate(self) -> tuple[float, float]:
        """Loss and accuracy on the validation pictures, of which each rank measures its part.

        nan if there are none.
        """
        total = len(self.data.validation)
        if not total:
            return math.nan, math.nan
        loss = right = stopped = 0
        if len(self.validation):
            try:
                result = evaluate(
                    self.model,
                    self.validation,
                    mean=self.data.mean,
                    std=self.data.std,
                    device=self.device,
                    on_batch=self._stop_here,
                )
                loss, right = result.loss * self.group.share(total), result.correct
            except Stopped:
                stopped = 1
        loss, right, stopped = self.group.sum([loss, right, stopped])
        if stopped:
            raise Stopped
        return loss, right / total

    def _change_precision(self, images: Tensor) -> None:
        """The steps have become slow: look again what is fastest, and go on with that."""
        use_threads(self.threads)
        choice = fall_back(self.model, images, self.precision, between=self._stop_here)
        if choice != self.precision:
            self.history.precision += f"; from step {len(self.history.step_loss) + 1} {choice}"
        self._adopt(choice)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint; with several ranks it is rank 0 that does, and all wait for it."""
        scheduler = self.scheduler.state_dict() if self.scheduler is not None else {}
        content = {
            "model": self.model.state_dict(),
            "optimizer": plain_state(self.optimizer.state_dict()),
            "scheduler": plain_state(scheduler),
            "history": self.history.as_dict(),
            "settings": self.settings,
            "precision": self.precision.name,
        }
        self.group.of_first(lambda: save_checkpoint(path, content))

    def load(self, path: str | os.PathLike[str]) -> str:
        """Take over what `save` wrote; gives the name of its precision."""
        needed = dict.fromkeys(("model", "optimizer", "scheduler", "history", "settings"), dict)
        state = self.group.of_first(lambda: load_checkpoint(path, {**needed, "precision": str}))
        theirs = state["settings"]
        for name in [*theirs, *self.settings]:
            if theirs.get(name) != self.settings.get(name):
                raise CourseError(
                    f"{path} is of a training with {name}={theirs.get(name)}, now it is "
                    f"{self.settings.get(name)}: use the old settings, or resume=False to train "
                    "anew."
                )
        shapes = {name: value.shape for name, value in state["model"].items()}
        if shapes != {name: value.shape for name, value in self.model.state_dict().items()}:
            raise CourseError(
                f"{path} is of another model: its layers have other names or sizes. Build the "
                "model as it was, or use resume=False to train anew."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.history = History(**state["history"])
        return state["precision"]


def _as_before(before: Precision, choice: Precision) -> Precision:
    """The precision of the interrupted training, unless it is much slower on this machine."""
    if before.threads == torch.get_num_threads():
        before = replace(before, threads=None)
    seconds = choice.seconds
    if seconds.get(before.name, math.inf) > 1.5 * seconds.get(choice.name, 0.0):
        return choice
    return replace(before, reason="as before the interruption", seconds=seconds)
