"""The course's table of optimizers; making optimizers and schedulers from what a reader writes.

The optimizers of the table:

- SGD with momentum: Sutskever et al. 2013, "On the importance of initialization and momentum in
  deep learning", which also describes Nesterov's variant;
- RMSprop: Tieleman & Hinton 2012, "Neural networks for machine learning", lecture 6.5;
- Adam: Kingma & Ba 2015, "Adam: a method for stochastic optimization";
- AdamW: Loshchilov & Hutter 2019, "Decoupled weight decay regularization".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from course_utils.core import CourseError

OptimizerFactory = Callable[..., Optimizer]
"""Takes parameters, and perhaps lr=; returns an optimizer: `torch.optim.SGD`, a `partial`, ..."""

SchedulerFactory = Callable[[Optimizer, int], LRScheduler]
"""Takes an optimizer and the number of scheduler steps; returns a scheduler."""

OPTIMIZERS: dict[str, OptimizerFactory] = {
    "SGD": torch.optim.SGD,
    "SGD + momentum": partial(torch.optim.SGD, momentum=0.9),
    "SGD + Nesterov momentum": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "RMSprop": torch.optim.RMSprop,
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
}
"""The optimizers of the course by name; other settings are torch's defaults."""

COMPARED_OPTIMIZERS = ("SGD + momentum", "RMSprop", "Adam", "AdamW")
"""Names of the optimizers that notebook 03_1 compares and that a search may choose."""


def optimizer_code(name: str, *, prefix: str = "", **options: Any) -> str:
    """Return Python code that makes the entry `name` of `OPTIMIZERS`, with further `options`.

    Args:
        prefix: Written before the name of the class, such as "torch.optim.".

    >>> optimizer_code("SGD + momentum", weight_decay=0.1)
    'partial(SGD, momentum=0.9, weight_decay=0.1)'
    """
    kind = OPTIMIZERS[name]
    if isinstance(kind, partial):
        kind, options = kind.func, kind.keywords | options
    arguments = [f"{prefix}{kind.__name__}", *(f"{key}={v!r}" for key, v in options.items())]
    return f"partial({', '.join(arguments)})" if options else arguments[0]


def build_optimizer(
    model: nn.Module,
    optimizer: OptimizerFactory | Optimizer | None = None,
    learning_rate: float | None = None,
) -> Optimizer:
    """Return an optimizer of the parameters of `model` that require a gradient.

    Args:
        model: On the device where it will be trained.
        optimizer: A class or function that takes a list of parameters and returns an optimizer; a
            ready optimizer, which is returned; or None for AdamW with a rate of 1e-3.
        learning_rate: Passed on as `lr` if it is given.

    Raises:
        CourseError: If nothing requires a gradient, a ready optimizer belongs to another model, or
            the optimizer needs each batch several times (LBFGS).
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise CourseError(
            "No parameter of the model requires a gradient, so there is nothing to train: "
            "set requires_grad of some of them to True."
        )
    rate = {} if learning_rate is None else {"lr": learning_rate}
    if isinstance(optimizer, Optimizer):
        if rate:
            raise CourseError(
                "A ready optimizer has its learning rate already: leave out learning_rate, or "
                "give the optimizer's class."
            )
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if not held & {id(p) for p in trained}:
            raise CourseError(
                "The optimizer holds no parameter of this model: make it of model.parameters(), "
                "after the last change of the model's layers."
            )
        # This moves its state to the device of the parameters.
        optimizer.load_state_dict(optimizer.state_dict())
    elif optimizer is None:
        optimizer = torch.optim.AdamW(trained, **({"lr": 1e-3} | rate))
    else:
        optimizer = optimizer(trained, **rate)
    if isinstance(optimizer, torch.optim.LBFGS):
        raise CourseError(
            "LBFGS needs each batch several times, which fit does not do: take SGD or AdamW."
        )
    return optimizer


def build_scheduler(
    optimizer: Optimizer, scheduler: SchedulerFactory | LRScheduler | None, count: int
) -> LRScheduler | None:
    """Return a scheduler for `optimizer` that is stepped `count` times; None for None.

    Raises:
        CourseError: If it cannot be made, or a ready one belongs to another optimizer.
    """
    if scheduler is not None and not isinstance(scheduler, LRScheduler):
        try:
            scheduler = scheduler(optimizer, count)
        except CourseError:
            raise
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise CourseError(
                f"The schedule cannot be made ({error}): give a function of the optimizer and of "
                f"the number of times that it is stepped, here {count:,}, such as "
                "scheduler=lambda optimizer, n: CosineAnnealingLR(optimizer, n)."
            ) from error
    if scheduler is not None and scheduler.optimizer is not optimizer:
        raise CourseError(
            "The schedule belongs to another optimizer: give fit both, ready made, or a function "
            "that makes the schedule."
        )
    return scheduler


class SteppedScheduler:
    """A scheduler that is stepped after each step or after each epoch; or none.

    Args:
        scheduler: `ReduceLROnPlateau` is stepped after each epoch, with the validation loss.
        every: "step" or "epoch".
    """

    def __init__(self, scheduler: LRScheduler | None, every: str) -> None:
        self.scheduler = scheduler
        self.plateau = isinstance(scheduler, ReduceLROnPlateau)
        self.every = "epoch" if self.plateau else every

    def after_step(self) -> None:
        """Call this after each step of the optimizer."""
        if self.scheduler is not None and self.every == "step":
            self.scheduler.step()

    def after_epoch(self, validation_loss: float) -> None:
        """Call this after each epoch."""
        if self.scheduler is not None and self.every == "epoch":
            self.scheduler.step(*([validation_loss] if self.plateau else []))
