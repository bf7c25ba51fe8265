"""One click: a better network of the same kind, found within a budget.

`improve` searches in three rounds (successive halving, Jamieson and Talwalkar 2016, "Non-stochastic
best arm identification and hyperparameter optimization"). In each round fewer candidates are
trained longer; every training is a whole one, with its schedule, and starts anew, for a schedule
that is cut in the middle says little about its end:

1. the network's own layers, the same narrower, wider and deeper, and then candidates chosen by TPE:
   two epochs each;
2. the best of these again, six epochs each;
3. thirty epochs, or as many as there is time for: the best of the second round, its best cheap
   one, and the network's own layers, as what good training alone can do.

The best are, in turn, the most accurate of all and the most accurate of those that need at most
half of the given network's multiply-adds: so a network that is nearly as good and far cheaper gets
its chance, and its training is short.

Short trainings say nothing about augmentation, for they are best without any; long ones learn their
pictures by heart. So the first two rounds use the weakest augmentation of the space and the last
the strongest, or for the cheap ones, which cannot learn so much by heart, the next after the
weakest.

Each round has its share of the budget, and ends with it; only the first two trainings of the second
may take some of the last one's. What is taken in the end says `choice.winner`.
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

from course_utils.core import CourseError, device_of, one_thread, pick_device
from course_utils.data import Dataset
from course_utils.metrics import check_model_fits, evaluate
from course_utils.search.budget import Budget
from course_utils.search.candidate import ARTICLE, multiply_adds
from course_utils.search.choice import (
    augmentation_for,
    first_candidates,
    has_learned,
    ranked,
    winner,
)
from course_utils.search.methods import make_sampler
from course_utils.search.objective import REASON, Interrupted, Objective
from course_utils.search.plan import Plan
from course_utils.search.presets import space_for
from course_utils.search.records import Improvement, Tried
from course_utils.search.space import SearchSpace, Values
from course_utils.search.study import quiet
from course_utils.training import (
    History,
    Precision,
    asked_for,
    build_optimizer,
    choose,
    step_seconds,
)

EPOCHS = {1: 2, 2: 6, 3: 30}
"""Of a candidate's training in each round."""

LEAST = 20
"""Epochs that a candidate of the last round gets at least, if there is no time for all: fewer are
too few to gain by augmentation."""

IN_VAIN = 50
"""After so many candidates in a row that are impossible or known already, the first round ends."""

_ENDS = {"seconds": {1: 0.25, 2: 0.4, 3: 1.0}, "trials": {1: 0.7, 2: 0.9, 3: 1.0}}
_MARGIN = 1.2  # augmentation takes time, and not every second is like the other
_STARTUP = 24  # `make_sampler` makes a third of it random


class StoppedEarly(CourseError):
    """The search was stopped before anything was known of the network itself."""


def improve(
    model: nn.Module,
    data: Dataset,
    budget: float | str | Budget = 120,
    *,
    space: Mapping[str, Values] | None = None,
    weights: str = "auto",
    precision: str | Precision = "auto",
    seed: int = 0,
    stop: threading.Event | None = None,
    on_change: Callable[[Improvement], None] | None = None,
) -> Improvement:
    """Search for a better network of the same kind, starting from `model`, within a budget.

    Args:
        model: takes the pictures of `data`; the search works on copies of it.
        data: candidates learn from its training pictures and are compared on its validation
            pictures; the test pictures are never looked at.
        budget: seconds, or a text such as "2 min" or "24 trials".
        space: what may vary; by default the layers' channels, kernel sizes and depths, and the
            training, see `space_for`.
        weights: "keep" what the network has learned, "fresh" to begin anew (frozen layers stay as
            they are), or "auto": keep it if it is right on a quarter more of the pictures than a
            guess would be.
        precision: as for `fit`; "auto" tries once, with the network as it is given.
        seed: of everything that is drawn. With a budget in trials and precision="float32" the same
            seed gives the same candidates and numbers.
        stop: when it is set, the search ends at once, with the best so far.
        on_change: called with what has been found so far after each epoch and each candidate, in
            the thread of `improve`. An exception in it ends the search and comes out of `improve`.

    Raises:
        StoppedEarly: stopped before anything was known of the network itself.
        CourseError: no budget, or too little to measure the network itself; a network that does not
            fit the pictures or has nothing to train, no validation pictures, or a space with layers
            that the network has not.
    """
    limit = Budget.of(budget)
    with one_thread():  # more threads gain little here, and lose much on a busy machine
        try:
            search = _Search(model, data, limit, space, weights, precision, seed, stop, on_change)
        except Interrupted:
            if stop is not None and stop.is_set():
                raise StoppedEarly(
                    "The search was stopped before anything was known of the network itself."
                ) from None
            raise CourseError(
                f"The {limit} were over before anything was known of the network itself: give the "
                "search more time."
            ) from None
        search.run()
    return search.found


class _Limit:
    """Set when the reader stops the search, and when its seconds are over."""

    def __init__(self, stop: threading.Event | None, seconds: float | None) -> None:
        self.stop = stop
        self.end = math.inf if seconds is None else time.perf_counter() + seconds

    def is_set(self) -> bool:
        return time.perf_counter() >= self.end or (self.stop is not None and self.stop.is_set())


class _Search:
    """One call of `improve`, with what has been found so far."""

    def __init__(
        self,
        model: nn.Module,
        data: Dataset,
        budget: Budget,
        space: Mapping[str, Values] | None,
        weights: str,
        precision: str | Precision,
        seed: int,
        stop: threading.Event | None,
        on_change: Callable[[Improvement], None] | None,
    ) -> None:
        self.begun, self.limit = time.perf_counter(), _Limit(stop, budget.seconds)
        self.budget, self.on_change = budget, on_change
        if not len(data.validation):
            raise CourseError(
                "Candidates are compared on validation pictures, and there are none: load the data "
                "with validation=0.1."
            )
        self.home, self.device = device_of(model), pick_device()
        model = copy.deepcopy(model).cpu()  # its owner may train the other one meanwhile
        check_model_fits(model, data)
        build_optimizer(model)  # says so if nothing can be trained
        example = torch.zeros(2, *data.image_shape)
        probe = copy.deepcopy(model).to(self.device)
        known = evaluate(
            probe, data.validation, mean=data.mean, std=data.std, on_batch=self._check_stop
        )
        batch = data.normalise(data.train.images[: ARTICLE["batch_size"]])
        self.batch = batch.to(self.device)
        if precision == "auto":  # tried once, for all candidates
            precision = choose(probe.train(), self.batch, between=self._check_stop)
        self.precision = asked_for(precision)
        if weights == "auto":
            weights = "keep" if has_learned(known.accuracy, data) else "fresh"
        space = space_for(model, example) if space is None else space
        self.plan = Plan.of(space, weights=weights, seed=seed)
        self.ends = _ENDS["trials" if budget.seconds is None else "seconds"]
        start = Tried(0, 0, 0, {}, known.accuracy, multiply_adds(model, example))
        same = copy.deepcopy(model).to(self.home).eval()
        self.found = Improvement(model, data.image_shape, weights, seed, start, start, same)
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
        self.round = 1
        self._trained: nn.Module | None = None
        self._not_ours: Exception | None = None  # raised by `on_change`
        self.first_step = 0.0  # seconds of a step of the first candidate

    # The rounds

    def run(self) -> None:
        """All rounds, or as many as there is time for."""
        try:
            self._explore()
            for self.round in (2, 3):
                self._go_on()
        except Interrupted:
            stop = self.limit.stop
            self.found.stopped = stop is not None and stop.is_set()
        self.say("")

    def _explore(self) -> None:
        """Try candidates until the first round's share of the budget is spent; one in any case."""
        only = {name: [value] for name, value in augmentation_for(self.plan.space, 1).items()}
        plan = replace(self.plan, epochs=EPOCHS[1], space=SearchSpace({**self.plan.space, **only}))
        with quiet():
            study = optuna.create_study(
                direction="maximize",
                sampler=make_sampler("tpe", plan.seed, _STARTUP),
                pruner=optuna.pruners.NopPruner(),
            )
            for values in first_candidates(self.found.original, self.plan.space):
                study.enqueue_trial(values)
        in_vain = 0
        while in_vain < IN_VAIN and not (self.found.tried and self._spent()):
            with quiet():
                trial = study.ask()
                params = plan.space.suggest(trial)
            same = [one for one in self.found.tried if one.params == params]
            one = same[0] if same else self._try(trial, plan)
            in_vain = in_vain + 1 if same or one.accuracy is None else 0
            state = TrialState.PRUNED if one.accuracy is None else TrialState.COMPLETE
            study.tell(trial, one.accuracy, state=state)

    def _go_on(self) -> None:
        """Try the best of the round before until this round's share is spent, or all have been."""
        half = self.found.start.multiply_adds / 2
        chosen = ranked([t for t in self.found.tried if t.round == self.round - 1], half)
        if self.round == 3 and self.found.tried[0].accuracy is not None:
            chosen.insert(2, self.found.tried[0])
        done: list[dict[str, Any]] = []
        for place, one in enumerate(chosen):
            if self._spent():
                break
            cheap = one.multiply_adds <= half
            params = one.params | augmentation_for(self.plan.space, self.round, cheap)
            after = chosen[1] if place == 0 and len(chosen) > 1 else None
            if params not in done and (epochs := self._epochs_for(one, after)):
                done.append(params)
                self._try(FixedTrial(params), replace(self.plan, epochs=epochs))

    def _check_stop(self) -> None:
        if self.limit.is_set():
            raise Interrupted

    def _spent(self) -> bool:
        self._check_stop()
        used = self.budget.used(time.perf_counter() - self.begun, len(self.found.tried))
        return used >= self.ends[self.round]

    def _epochs_for(self, one: Tried, after: Tried | None = None) -> int:
        """How long the candidate can be trained in this round; 0 if there is no time for it.

        Args:
            after: who comes next; if it needs little, the last round leaves it that.
        """
        epochs = EPOCHS[self.round]
        if self.budget.seconds is None:
            return epochs
        pace, used = one.seconds / one.epochs, time.perf_counter() - self.begun
        if self.round < 3:  # the first two, as a rule one is cheap, may take of the last round's
            first = sum(other.round == self.round for other in self.found.tried) < 2
            end = self.ends[3 if first else self.round]
            return epochs if epochs * pace <= end * self.budget.seconds - used else 0
        left = self.budget.seconds - used
        if (
            after is not None
            and (needed := _MARGIN * LEAST * after.seconds / after.epochs) < left / 4
        ):
            left -= needed
        epochs = min(epochs, int(left / pace))
        return epochs if epochs >= LEAST else 0

    # One candidate

    def _try(self, trial: BaseTrial, plan: Plan) -> Tried:
        self.objective.plan, self._trained = plan, None
        number = len(self.found.tried) + 1
        self.say(f"round {self.round}, candidate {number}")
        begun, value = time.perf_counter(), None
        try:
            value = self.objective(trial)
        except Interrupted:
            raise
        except Exception:  # its reason is kept with it, and the next may well work
            if self._not_ours is not None:
                raise self._not_ours from None
        now = time.perf_counter()
        one = Tried(
            number,
            self.round,
            plan.epochs,
            dict(trial.params),
            value,
            trial.user_attrs.get("multiply_adds"),
            trial.user_attrs.get(REASON, ""),
            now - begun,
            now - self.begun,
        )
        tried = [*self.found.tried, one]
        # Of two rounds and accuracies the new one wins, or who has won before: see `winner`.
        if winner(tried, self.found.start, len(self.objective.data.validation)) is one:
            self.found.network, self.found.best = self._trained.to(self.home).eval(), one
        self.found.tried.append(one)
        self.say(f"round {self.round}, candidate {number} done")
        return one

    def _on_epoch(self, history: History) -> None:
        number = len(self.found.tried) + 1
        done = history.epoch[-1]
        self.say(
            f"round {self.round}, candidate {number}: epoch {done} of {self.objective.plan.epochs}"
        )

    def _on_built(self, model: nn.Module) -> None:
        if self.round == 1 and self.budget.seconds is not None:
            probe = copy.deepcopy(model).to(self.device).train()
            self._check_pace(
                step_seconds(probe, self.batch, self.precision, between=self._check_stop)
            )

    def _check_pace(self, step: float) -> None:
        """Give up a candidate that the last round would have no time for, but never the first.

        Neither one that is not much slower than the network as it was given, which goes first.

        Args:
            step: seconds of one step of its training.
        """
        if not self.found.tried:
            self.first_step = step
            return
        first, last = self.found.tried[0], (self.ends[3] - self.ends[2]) * self.budget.seconds
        steps = math.ceil(len(self.objective.data.train) / ARTICLE["batch_size"])
        pace = first.seconds / first.epochs + steps * (step - self.first_step)
        if pace > last / LEAST and step > 1.5 * self.first_step:
            raise optuna.TrialPruned(
                f"an epoch would take {pace:.1f} s, too long for {LEAST} of them in the "
                f"{last:.0f} s of the last round"
            )

    def _on_trained(self, trial: BaseTrial, model: nn.Module, history: History) -> None:
        self._trained = model

    def say(self, text: str) -> None:
        """Tell how things stand."""
        self.found.now = text
        if self.on_change is not None:
            try:
                self.on_change(self.found)
            except Exception as error:
                self._not_ours = error
                raise
