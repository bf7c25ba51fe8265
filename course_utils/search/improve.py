"""`improve`: a better network of the same kind, found within a budget.

The search has three rounds (successive halving, Jamieson and Talwalkar 2016, "Non-stochastic best
arm identification and hyperparameter optimization"). From round to round fewer candidates are
trained, and for longer:

1. two epochs: the network's own layers, the same layers narrower, wider and deeper, and then
   candidates chosen by TPE;
2. six epochs: the best of the first round;
3. thirty epochs: the best of the second round, its best cheap one, and the network's own layers,
   which show what good training alone can do; as many of them as the budget allows.

Every training begins from the start, with its whole schedule: half a schedule says little about its
result. For the same reason there are more epochs if the pictures are so few that two epochs would
have fewer than eight steps.

The best are, in turn, the most accurate of all and the most accurate of those that need at most
half of the given network's multiply-adds. So a network that is nearly as accurate and much cheaper
has a chance, and its training is short.

Short trainings are best without augmentation, while long ones overfit without it. So the first two
rounds use the weakest augmentation of the space, and the last round the strongest. Cheap candidates
overfit less; they get the second weakest.

`rounds` divides the budget, `selection` chooses the candidates and the winner.
"""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import optuna
import torch
from optuna.trial import BaseTrial, FixedTrial, TrialState
from torch import nn

from course_utils.core import CourseError, device_of, error_line, one_thread, pick_device
from course_utils.data import Dataset
from course_utils.metrics import check_kinds, check_model_fits, evaluate
from course_utils.search import selection
from course_utils.search.budget import Budget
from course_utils.search.candidate import ARTICLE, multiply_adds
from course_utils.search.methods import make_sampler
from course_utils.search.objective import REASON, Interrupted, Objective, check_validation
from course_utils.search.plan import Plan
from course_utils.search.presets import space_for
from course_utils.search.records import Improvement, Tried
from course_utils.search.rounds import Rounds
from course_utils.search.space import SearchSpace, Values
from course_utils.search.study import quiet
from course_utils.training import (
    History,
    Precision,
    as_precision,
    build_optimizer,
    fastest_precision,
    step_seconds,
)

BUDGET = 12
"""Candidates of a search: nine in the first round, two in the second, and one that is trained long.

On an ordinary processor these take a few minutes for the course's first network.
"""

MAX_FRUITLESS = 50
"""The first round ends after so many impossible or already known candidates in a row."""

_TPE_TRIALS = 24
"""For `make_sampler`, which makes the first third of them random."""


class StoppedEarly(CourseError):
    """The search was stopped before the given network was measured."""


def improve(
    model: nn.Module,
    data: Dataset,
    budget: int | str | Budget = BUDGET,
    *,
    space: Mapping[str, Values] | None = None,
    weights: str = "auto",
    precision: str | Precision = "float32",
    seed: int = 0,
    stop: threading.Event | None = None,
    on_change: Callable[[Improvement], None] | None = None,
) -> Improvement:
    """Search for a better network of the same kind, starting from `model`, within a budget.

    Args:
        model: takes the pictures of `data`; the search works on copies of it.
        data: candidates learn from its training pictures and are compared on its validation
            pictures; the test pictures are never used.
        budget: a number of candidates, or a text: "12 candidates", "2 min", or "12 candidates, 2
            min" for a limit in seconds besides. With seconds alone the rounds are planned by time,
            so a faster machine tries more candidates and trains the last one for longer.
        space: what may vary; by default the layers' channels, kernel sizes and depths, and the
            training, see `space_for`.
        weights: "keep" what the network has learned, "fresh" to draw new weights (frozen layers
            keep theirs), or "auto": keep them if the network is much better than a guess, see
            `selection.has_learned`.
        precision: as for `fit`; "auto" measures once, with the given network, which is the
            fastest: that may differ from machine to machine, and from run to run.
        seed: of all random numbers. With a budget in candidates and precision="float32" the same
            seed leads to the same search, however fast the machine is: the same candidates and
            numbers, except that another processor may round differently.
        stop: when it is set, the search ends at once, with the best network so far.
        on_change: called with what has been found so far after each epoch and each candidate, in
            the thread of `improve`. An exception in it ends the search and is raised by `improve`.

    Raises:
        StoppedEarly: `stop` was set before the given network was measured.
        CourseError: the budget is wrong, or too short to measure the given network; the network
            does not fit the pictures or has nothing to train; there are no validation
            pictures; the space names a layer that the network does not have.
    """
    limit = Budget.of(budget)
    with one_thread():  # more threads gain little here, and slow down on a busy machine
        try:
            search = _Search(model, data, limit, space, weights, precision, seed, stop, on_change)
        except Interrupted:
            before = "before the network itself was measured"
            if stop is not None and stop.is_set():
                raise StoppedEarly(f"The search was stopped {before}.") from None
            raise CourseError(
                f"The {limit.seconds:g} s were over {before}: give it more time."
            ) from None
        search.run()
    return search.found


class _Limit:
    """An event that is set when the reader stops the search, or when its seconds are over."""

    def __init__(self, stop: threading.Event | None, seconds: float | None) -> None:
        self.stop = stop
        self.end = math.inf if seconds is None else time.perf_counter() + seconds

    def is_set(self) -> bool:
        return time.perf_counter() >= self.end or self.was_stopped()

    def was_stopped(self) -> bool:
        return self.stop is not None and self.stop.is_set()

    def check(self) -> None:
        if self.is_set():
            raise Interrupted


class _Search:
    """One call of `improve`, with what has been found so far."""

    def __init__(
        self, model, data, budget: Budget, space, weights, precision, seed, stop, on_change
    ) -> None:
        """Measure the given network; the arguments are those of `improve`."""
        self.begun, self.limit = time.perf_counter(), _Limit(stop, budget.seconds)
        self.round = 1
        self.on_change = on_change
        self._callback_error: Exception | None = None
        self._trained: nn.Module | None = None
        self._first_step = 0.0  # seconds of a training step of the first candidate

        check_kinds(model, data)
        check_validation(data)
        self.given_device, self.device = device_of(model), pick_device()
        model = copy.deepcopy(model).cpu()  # the caller may train its own one meanwhile
        check_model_fits(model, data)
        build_optimizer(model)  # raises an error if nothing can be trained

        example = torch.zeros(2, *data.image_shape)
        on_device = copy.deepcopy(model).to(self.device)
        result = evaluate(
            on_device, data.validation, mean=data.mean, std=data.std, on_batch=self.limit.check
        )
        batch = data.normalise(data.train.images[: ARTICLE["batch_size"]])
        self.batch = batch.to(self.device)
        if precision == "auto":  # measured once, for all candidates
            precision = fastest_precision(on_device.train(), self.batch, between=self.limit.check)
        self.precision = as_precision(precision)
        if weights == "auto":
            weights = "keep" if selection.has_learned(result.accuracy, data) else "fresh"
        space = space_for(model, example) if space is None else space
        self.plan = Plan(SearchSpace(space), weights=weights, seed=seed)
        batch_size = self.plan.space.largest("batch_size", ARTICLE["batch_size"])
        self.rounds = Rounds.of(budget, len(data.train), batch_size)

        start = Tried(0, 0, 0, {}, result.accuracy, multiply_adds(model, example))
        best = copy.deepcopy(model).to(self.given_device).eval()
        self.found = Improvement(model, data.image_shape, weights, seed, start, start, best)
        self.objective = Objective(
            self.plan,
            model,
            data,
            precision=self.precision,
            stop=self.limit,
            on_built=self._on_built,
            on_epoch=self._on_epoch,
            on_trained=self._on_trained,
        )

    def run(self) -> None:
        try:
            self._first_round()
            self._later_round(2)
            self._later_round(3)
        except Interrupted:
            self.found.stopped = self.limit.was_stopped()
        self._report("")

    def _first_round(self) -> None:
        """Try candidates until the round's share of the budget is spent; at least one."""
        augmentation = selection.augmentation_for(self.plan.space, 1)
        space = SearchSpace({**self.plan.space, **{name: [v] for name, v in augmentation.items()}})
        plan = replace(self.plan, epochs=self.rounds.usual_epochs(1), space=space)
        with quiet():
            study = optuna.create_study(
                direction="maximize",
                sampler=make_sampler("tpe", plan.seed, _TPE_TRIALS),
                pruner=optuna.pruners.NopPruner(),
            )
            for values in selection.first_candidates(self.found.original, self.plan.space):
                study.enqueue_trial(values)
        fruitless = 0
        while fruitless < MAX_FRUITLESS and not (self.found.tried and self._round_is_over()):
            with quiet():
                trial = study.ask()
                params = space.suggest(trial)
            known = next((one for one in self.found.tried if one.params == params), None)
            one = known or self._try(trial, plan)
            fruitless = fruitless + 1 if known or one.accuracy is None else 0
            state = TrialState.PRUNED if one.accuracy is None else TrialState.COMPLETE
            study.tell(trial, one.accuracy, state=state)

    def _later_round(self, number: int) -> None:
        """Train the best of the round before, until this round's share of the budget is spent."""
        self.round = number
        cheap_cost = self.found.start.multiply_adds / 2
        before = [one for one in self.found.tried if one.round == number - 1]
        chosen = selection.ranked(before, cheap_cost)
        own_layers = self.found.tried[0]
        if number == 3 and own_layers.accuracy is not None:
            chosen.insert(2, own_layers)
        done: list[dict[str, Any]] = []
        for place, one in enumerate(chosen):
            if self._round_is_over():
                break
            cheap = one.multiply_adds <= cheap_cost
            params = one.params | selection.augmentation_for(self.plan.space, number, cheap)
            if params in done:
                continue
            second = chosen[1] if place == 0 and len(chosen) > 1 else None
            epochs = self.rounds.epochs(
                number, one, self._seconds(), before=len(done), second=second
            )
            if epochs:
                done.append(params)
                self._try(FixedTrial(params), replace(self.plan, epochs=epochs))

    def _round_is_over(self) -> bool:
        self.limit.check()
        return self.rounds.is_over(self.round, self._seconds(), len(self.found.tried))

    def _seconds(self) -> float:
        return time.perf_counter() - self.begun

    def _try(self, trial: BaseTrial, plan: Plan) -> Tried:
        self.objective.plan, self._trained = plan, None
        number = len(self.found.tried) + 1
        self._report(f"round {self.round}, candidate {number}")
        begun, accuracy, reason = self._seconds(), None, ""
        try:
            accuracy = self.objective(trial)
        except Interrupted:
            raise
        except Exception as error:  # the next candidate may work
            if self._callback_error is not None:
                raise self._callback_error from None
            reason = trial.user_attrs.get(REASON) or error_line(error)
        end = self._seconds()
        cost, spent = trial.user_attrs.get("multiply_adds"), end - begun
        params = dict(trial.params)
        one = Tried(
            number, self.round, plan.epochs, params, accuracy, cost, reason, seconds=spent, at=end
        )
        self.found.tried.append(one)
        # A new candidate changes the winner only to itself: so one trained network is kept.
        pictures = len(self.objective.data.validation)
        if selection.winner(self.found.tried, self.found.start, pictures) is one:
            network = self._trained.to(self.given_device).eval()
            self.found.network, self.found.best = network, one
        self._report(f"round {self.round}, candidate {number} done")
        return one

    def _on_built(self, model: nn.Module) -> None:
        """Measure a training step, and prune a candidate of the first round that is too slow."""
        if self.round > 1 or not self.rounds.by_time:
            return
        on_device = copy.deepcopy(model).to(self.device).train()
        step = step_seconds(on_device, self.batch, self.precision, between=self.limit.check)
        if self.found.tried:
            steps = math.ceil(len(self.objective.data.train) / ARTICLE["batch_size"])
            self.rounds.check_pace(self.found.tried[0], self._first_step, step, steps)
        else:
            self._first_step = step

    def _on_epoch(self, history: History) -> None:
        epoch = f"epoch {history.epoch[-1]} of {self.objective.plan.epochs}"
        self._report(f"round {self.round}, candidate {len(self.found.tried) + 1}: {epoch}")

    def _on_trained(self, _trial: BaseTrial, model: nn.Module, _history: History) -> None:
        self._trained = model

    def _report(self, now: str) -> None:
        self.found.now = now
        if self.on_change is not None:
            try:
                self.on_change(self.found)
            except Exception as error:
                self._callback_error = error
                raise
