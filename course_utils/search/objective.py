"""The value of one candidate: build it, train it, measure it on the validation pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import optuna
import torch
from torch import nn

from course_utils.core import CourseError
from course_utils.data import Dataset
from course_utils.search.candidate import Settings, build, multiply_adds
from course_utils.search.plan import Plan
from course_utils.training import Diverged, History, Precision, fit

REASON = "reason"
"""The trial's attribute that says in words why it has no result."""


class Interrupted(Exception):
    """The search was stopped while a candidate was being trained."""


class Objective:
    """The function that a study optimizes: call it with a trial.

    A candidate that cannot be built, or whose loss is no longer a number, is pruned. The reason
    becomes an attribute of its trial.

    Args:
        model: the network to start from; None for the one that the plan names.
        data: pictures; None for those that the plan names. The test pictures are never used.
        precision: as for `fit`; "float32" returns the same numbers in every run on a machine.
        stop: when it is set, the training ends and the trial is interrupted.
        on_built: called with the network before its training; an exception in it ends the trial.
        on_epoch: called with the history after each epoch.
        on_trained: called with the trial, the trained network and its history.

    Attributes:
        epochs: epochs trained so far, over all trials.

    Raises:
        CourseError: the space names a layer that the network does not have, or there are no
            validation pictures.
    """

    def __init__(
        self,
        plan: Plan,
        model: nn.Module | None = None,
        data: Dataset | None = None,
        *,
        precision: str | Precision = "float32",
        stop: threading.Event | None = None,
        on_built: Callable[[nn.Module], None] | None = None,
        on_epoch: Callable[[History], None] | None = None,
        on_trained: Callable[[optuna.trial.BaseTrial, nn.Module, History], None] | None = None,
    ) -> None:
        self.plan = plan
        self.model = plan.load_network() if model is None else model
        self.data = plan.load_data() if data is None else plan.limit_pictures(data)
        self.precision, self.stop = precision, stop
        self.on_built, self.on_epoch, self.on_trained = on_built, on_epoch, on_trained
        self.example = torch.zeros(2, *self.data.image_shape)
        self.epochs = 0
        plan.space.check_layers(self.model)
        check_validation(self.data)

    def __call__(self, trial: optuna.trial.BaseTrial) -> float | tuple[float, float]:
        plan, params = self.plan, self.plan.space.suggest(trial)
        try:
            model = build(self.model, params, self.example, weights=plan.weights, seed=plan.seed)
            cost = multiply_adds(model, self.example)
            trial.set_user_attr("multiply_adds", cost)
            if self.on_built is not None:
                self.on_built(model)
            history = self._train(trial, model, params)
        except (CourseError, Diverged, optuna.TrialPruned) as error:
            trial.set_user_attr(REASON, str(error))
            raise optuna.TrialPruned(str(error)) from error
        if self.on_trained is not None:
            self.on_trained(trial, model, history)
        accuracy = history.validation_accuracy[-1]
        return accuracy if len(plan.objectives) == 1 else (accuracy, float(cost))

    def _train(
        self, trial: optuna.trial.BaseTrial, model: nn.Module, params: dict[str, Any]
    ) -> History:
        def on_epoch(history: History) -> None:
            self.epochs += 1
            if self.on_epoch is not None:
                self.on_epoch(history)
            if len(self.plan.objectives) == 1:
                trial.report(history.validation_accuracy[-1], history.epoch[-1])
                if history.epoch[-1] < self.plan.epochs and trial.should_prune():
                    raise optuna.TrialPruned(f"behind the others after epoch {history.epoch[-1]}")

        history = fit(
            model,
            self.data,
            epochs=self.plan.epochs,
            **Settings.of(params).fit_arguments(),
            precision=self.precision,
            seed=self.plan.seed,
            stop=self.stop,
            on_epoch=on_epoch,
            progress=False,
        )
        if history.stopped:
            raise Interrupted
        return history


def check_validation(data: Dataset) -> None:
    """Raise a `CourseError` if there are no pictures to compare candidates on."""
    if not len(data.validation):
        raise CourseError(
            "Candidates are compared on validation pictures, and there are none: load the data "
            "with validation=0.1."
        )
