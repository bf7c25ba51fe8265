"""The course's table of optimizers; making optimizers and schedulers from what a reader writes.

The optimizers of the table:

- SGD with momentum: Sutskever et al. 2013, "On the importance of initialization and momentum in
  deep learning", which also describes Nesterov's variant;
- RMSprop: Tieleman & Hinton 2012, "Neural networks for machine learning", lecture 6.5;
- Adam: Kingma & Ba 2015, "Adam: a method for stochastic optimization";
- AdamW: Loshchilov & Hutter 2019, "Decoupled weight decay regularization".
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from course_utils.core import CourseError, all_finite, is_number

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
        CourseError: If nothing requires a gradient, a ready optimizer belongs to another model, the
            optimizer cannot be made, one of its settings is not finite or its learning rate is
            below 0, or it needs each batch several times (LBFGS).
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise CourseError(
            "No parameter of the model requires a gradient, so there is nothing to train: "
            "set requires_grad of some of them to True."
        )
    if any(p.is_inference() for p in trained):
        raise CourseError(
            "The model was made inside torch.inference_mode(), so it cannot be trained: make it "
            "outside."
        )
    rate = {}
    if learning_rate is not None:
        _check_rate(learning_rate)
        rate = {"lr": learning_rate}
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
        optimizer = make_optimizer(optimizer, trained, **rate)
    _check_settings(optimizer)
    if isinstance(optimizer, torch.optim.LBFGS):
        raise CourseError(
            "LBFGS needs each batch several times, which fit does not do: take SGD or AdamW."
        )
    return optimizer


def make_optimizer(factory: Any, parameters: list[Tensor], **rate: float) -> Optimizer:
    """Return `factory(parameters, **rate)`, with an error in words if it is not an optimizer."""
    try:
        made = factory(parameters, **rate)
    except CourseError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise CourseError(
            f"The optimizer cannot be made ({error}): give a class or a function that takes a list "
            "of parameters (and lr=, if you give learning_rate), such as torch.optim.SGD or "
            "partial(torch.optim.SGD, momentum=0.9)."
        ) from error
    if not isinstance(made, Optimizer):
        raise CourseError(
            f"optimizer={factory!r} returns a {type(made).__name__}, not an optimizer: give a "
            "class such as torch.optim.SGD, or a function that returns an object of it."
        )
    return made


def _check_rate(rate: Any, name: str = "learning_rate") -> None:
    known = is_number(rate) or (isinstance(rate, Tensor) and rate.numel() == 1)
    if not (known and 0 <= float(rate) < math.inf):
        raise CourseError(f"{name}={rate!r}: give a positive number, such as 0.001.")


def _check_settings(optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        _check_rate(group.get("lr", 0.0), "lr of the optimizer")
        for name, value in group.items():
            if name != "params" and not all_finite(value):
                raise CourseError(f"{name} of the optimizer={value}: give a finite number.")


def build_scheduler(
    optimizer: Optimizer, scheduler: SchedulerFactory | LRScheduler | None, count: int
) -> LRScheduler | None:
    """Return a scheduler for `optimizer` that is stepped `count` times; None for None.

    Raises:
        CourseError: If it cannot be made, is not a scheduler, or a ready one belongs to another
            optimizer.
    """
    if scheduler is not None and not isinstance(scheduler, LRScheduler):
        try:
            scheduler = scheduler(optimizer, count)
        except CourseError:
            raise
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            raise CourseError(
                f"The schedule cannot be made ({error}): give a function of the optimizer and of "
                f"the number of times that it is stepped, here {count:,}, such as "
                "scheduler=lambda optimizer, n: CosineAnnealingLR(optimizer, n)."
            ) from error
        if not isinstance(scheduler, LRScheduler):
            raise CourseError(
                f"The function of the schedule returns a {type(scheduler).__name__}, not a "
                "scheduler of torch.optim.lr_scheduler: let it return the scheduler that it makes."
            )
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
        count: Number of times that it is stepped in the whole training.
    """

    def __init__(self, scheduler: LRScheduler | None, every: str, count: int) -> None:
        self.scheduler, self.count = scheduler, count
        self.plateau = isinstance(scheduler, ReduceLROnPlateau)
        self.every = "epoch" if self.plateau else every

    def after_step(self) -> None:
        """Call this after each step of the optimizer."""
        if self.scheduler is not None and self.every == "step":
            self._step()

    def after_epoch(self, validation_loss: float) -> None:
        """Call this after each epoch."""
        if self.scheduler is not None and self.every == "epoch":
            self._step(*([validation_loss] if self.plateau else []))

    def _step(self, *loss: float) -> None:
        try:
            self.scheduler.step(*loss)
        except CourseError:
            raise
        except Exception as error:
            raise CourseError(f"The schedule fails ({_first_line(error)}): {_REMEDY}") from error

    def check(self) -> None:
        """Step a copy of the scheduler as often as the training will step it.

        Raises:
            CourseError: If the schedule ends before the training, or a learning rate is below 0 or
                nan.
        """
        # The rate after the last step is never used.
        for step, rates in enumerate(list(self.rates())[: self.count]):
            for rate in rates:
                if not rate >= 0:
                    raise CourseError(
                        f"The learning rate would be {rate:.3g} after {step:,} of {self.count:,} "
                        f"{self.every}s: correct the schedule, so that no rate is below 0."
                    )

    def rates(self) -> Iterator[list[float]]:
        """Yield the learning rate of each parameter group, at first and after each step.

        What depends on the training, as `ReduceLROnPlateau` does, or cannot be copied, yields
        only the first.

        Raises:
            CourseError: If the schedule ends before the training.
        """
        if self.scheduler is None:
            return
        optimizer = self.scheduler.optimizer
        # torch asks whether the optimizer has made a step, and changes a rate that is a tensor.
        groups = [
            {k: v.clone() if isinstance(v, Tensor) else v for k, v in group.items()}
            for group in optimizer.param_groups
        ]
        known = {"defaults": optimizer.defaults, "step": optimizer.step, "_opt_called": True}
        stand_in = SimpleNamespace(param_groups=groups, **known)
        try:
            scheduler = copy.deepcopy(self.scheduler, {id(optimizer): stand_in})
        except Exception:
            return
        for step in range(self.count + 1):
            yield [float(group["lr"]) for group in groups]
            if step == self.count or self.plateau:
                return
            try:
                scheduler.step()
            except (ValueError, ArithmeticError) as error:
                raise CourseError(
                    f"The schedule ends after {step:,} of {self.count:,} {self.every}s "
                    f"({_first_line(error)}): {_REMEDY}"
                ) from error
            except Exception:
                return  # it needs more than a copy has


_REMEDY = (
    "make it in a function of the optimizer and of the number of times that it is stepped, such as "
    "scheduler=lambda optimizer, n: OneCycleLR(optimizer, 0.01, total_steps=n)."
)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
