"""One click: a better network of the same kind, found within a budget.

`improve` searches in three rounds (successive halving, Jamieson and Talwalkar 2016, "Non-stochastic
best arm identification and hyperparameter optimization"). In each round fewer candidates are
trained three times as long; every training is a whole one, with its schedule, and starts anew, for
a schedule that is cut in the middle says little about its end:

1. candidates chosen by TPE, two epochs each;
2. the best of these again, six epochs each;
3. the best of the second round again, eighteen epochs each.

The best are those of the front of accuracy and multiply-adds, the most accurate first, and then the
others: so a network that is nearly as good and far cheaper gets its chance, and its training is
short. Each round has its share of the budget, and ends with it.
"""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
import torch
from optuna.trial import BaseTrial, FixedTrial, TrialState
from torch import nn

from course_utils.compatibility import check_model_fits
from course_utils.data import Dataset
from course_utils.devices import one_thread
from course_utils.errors import CourseError
from course_utils.metrics import evaluate
from course_utils.precision import Precision, choose
from course_utils.search.budget import Budget
from course_utils.search.candidate import ARTICLE, multiply_adds
from course_utils.search.improvement import Improvement, Tried, front_of, own_value
from course_utils.search.methods import make_sampler
from course_utils.search.objective import REASON, Interrupted, Objective
from course_utils.search.plan import Plan
from course_utils.search.presets import PROVEN, space_for
from course_utils.search.space import SearchSpace
from course_utils.search.studies import quiet
from course_utils.training import History

EPOCHS = {1: 2, 2: 6, 3: 18}
"""Of a candidate's training in each round."""

_ENDS = {"seconds": {1: 0.3, 2: 0.5, 3: 1.0}, "trials": {1: 0.7, 2: 0.9, 3: 1.0}}
_STARTUP = 24  # `make_sampler` makes a third of it random


def improve(
    model: nn.Module,
    data: Dataset,
    budget: float | str | Budget = 120,
    *,
    space: SearchSpace | None = None,
    weights: str = "auto",
    precision: str | Precision = "auto",
    seed: int = 0,
    stop: threading.Event | None = None,
    on_change: Callable[[Improvement], None] | None = None,
) -> Improvement:
    """Search for a better network of the same kind, starting from `model`, within a budget.

    Args:
        model: takes the pictures of `data`; it is left as it is.
        data: candidates learn from its training pictures and are compared on its validation
            pictures; the test pictures are never looked at.
        budget: seconds, or a text such as "2 min" or "24 trials".
        space: what may vary; by default the layers' channels, kernel sizes and depths, and the
            training, see `space_for`.
        weights: "keep" what the network has learned, "fresh" to begin anew, or "auto": keep it if
            it is right on a quarter more of the pictures than a guess would be.
        precision: as for `fit`; "auto" tries once, with the network as it is given.
        seed: of everything that is drawn. With a budget in trials and precision="float32" the same
            seed gives the same candidates and numbers.
        stop: when it is set, the search ends at once, with the best so far.
        on_change: called with what has been found so far after each epoch and each candidate, in
            the thread of `improve`.

    Raises:
        CourseError: no budget, a network that does not fit the pictures, no validation pictures,
            or a space with layers that the network has not.
    """
    limit = Budget.of(budget)
    with quiet(), one_thread():  # more threads gain little here, and lose much on a busy machine
        try:
            search = _Search(model, data, limit, space, weights, precision, seed, stop, on_change)
        except Interrupted:
            raise CourseError(
                "The search ended before anything was known of the network itself: give it more "
                "time."
            ) from None
        try:
            for number in EPOCHS:
                search.run_round(number)
        except Interrupted:
            search.found.stopped = stop is not None and stop.is_set()
    search.say("")
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
        space: SearchSpace | None,
        weights: str,
        precision: str | Precision,
        seed: int,
        stop: threading.Event | None,
        on_change: Callable[[Improvement], None] | None,
    ) -> None:
        self.begun, self.limit = time.perf_counter(), _Limit(stop, budget.seconds)
        if not len(data.validation):
            raise CourseError(
                "Candidates are compared on validation pictures, and there are none: load the data "
                "with validation=0.1."
            )
        example = torch.zeros(2, *data.image_shape)
        check_model_fits(model, data)
        known = evaluate(
            model, data.validation, mean=data.mean, std=data.std, on_batch=self._check_stop
        )
        if precision == "auto":  # tried once, for all candidates
            batch = data.normalise(data.train.images[: ARTICLE["batch_size"]])
            precision = choose(copy.deepcopy(model).train(), batch, between=self._check_stop)
        if weights == "auto":
            weights = "keep" if _has_learned(known.accuracy, data) else "fresh"
        self.plan = Plan(
            space_for(model, example) if space is None else space, weights=weights, seed=seed
        )
        self.budget, self.on_change = budget, on_change
        self.ends = _ENDS["trials" if budget.seconds is None else "seconds"]
        start = Tried(0, 0, 0, {}, known.accuracy, multiply_adds(model, example))
        same = copy.deepcopy(model).eval()
        self.found = Improvement(model, data.image_shape, weights, seed, start, start, same)
        self.objective = Objective(
            self.plan,
            model,
            data,
            precision=precision,
            stop=self.limit,
            on_epoch=self._on_epoch,
            on_trained=self._on_trained,
        )
        self._trained: nn.Module | None = None
        self.first_pace = 0.0  # seconds of the first candidate's first epoch

    # The rounds

    def run_round(self, number: int) -> None:
        """Try candidates until the round's share of the budget is spent, or there are no more."""
        self.round = number
        if number == 1:
            sampler = make_sampler("tpe", self.plan.seed, _STARTUP)
            pruner = optuna.pruners.NopPruner()
            study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
            # The network's own layers come first, with a training that usually is good.
            study.enqueue_trial(_first_values(self.found.original, self.plan.space))
            while not self._spent():
                self._try(study.ask(), EPOCHS[1], study)
            return
        for one in _ranked([t for t in self.found.tried if t.round == number - 1]):
            if self._spent():
                break
            if self._fits(one, EPOCHS[number]):
                self._try(FixedTrial(dict(one.params)), EPOCHS[number])

    def _check_stop(self) -> None:
        if self.limit.is_set():
            raise Interrupted

    def _spent(self) -> bool:
        self._check_stop()
        used = self.budget.used(time.perf_counter() - self.begun, len(self.found.tried))
        return used >= self.ends[self.round]

    def _fits(self, one: Tried, epochs: int) -> bool:
        """Whether a longer training of a candidate would end within the budget."""
        if self.budget.seconds is None:
            return True
        expected = one.seconds * epochs / one.epochs
        return time.perf_counter() - self.begun + expected <= self.budget.seconds

    # One candidate

    def _try(self, trial: BaseTrial, epochs: int, study: optuna.Study | None = None) -> None:
        self.objective.plan = replace(self.plan, epochs=epochs)
        self.epochs, self._trained = epochs, None
        number = len(self.found.tried) + 1
        self.say(f"round {self.round}, candidate {number}")
        begun = time.perf_counter()
        value, state = None, TrialState.COMPLETE
        try:
            value = self.objective(trial)
        except Interrupted:
            raise
        except optuna.TrialPruned:
            state = TrialState.PRUNED
        except Exception:  # its reason is kept with it, and the next may well work
            state = TrialState.FAIL
        if study is not None:
            study.tell(trial, value, state=state)
        now = time.perf_counter()
        one = Tried(
            number,
            self.round,
            epochs,
            dict(trial.params),
            value,
            trial.user_attrs.get("multiply_adds"),
            trial.user_attrs.get(REASON, ""),
            now - begun,
            now - self.begun,
        )
        if value is not None and value > self.found.best.accuracy:
            self.found.network, self.found.best = self._trained.eval(), one
        self.found.tried.append(one)
        self.say(f"round {self.round}, candidate {number} done")

    def _on_epoch(self, history: History) -> None:
        number = len(self.found.tried) + 1
        done = history.epoch[-1]
        if self.round == 1:
            self._check_pace(history.seconds[0])
        self.say(f"round {self.round}, candidate {number}: epoch {done} of {self.epochs}")

    def _check_pace(self, pace: float) -> None:
        """Give up a candidate that the last round would have no time for, but never the first.

        Neither one that is not much slower than the network as it was given.
        """
        if not self.found.tried:
            self.first_pace = pace
        elif self.budget.seconds is not None:
            last = (self.ends[3] - self.ends[2]) * self.budget.seconds
            if pace > max(last / EPOCHS[3], 1.5 * self.first_pace):
                raise optuna.TrialPruned(
                    f"an epoch takes {pace:.1f} s, too long for {EPOCHS[3]} of them in the "
                    f"{last:.0f} s of the last round"
                )

    def _on_trained(self, trial: BaseTrial, model: nn.Module, history: History) -> None:
        self._trained = model

    def say(self, text: str) -> None:
        """Tell how things stand."""
        self.found.now = text
        if self.on_change is not None:
            self.on_change(self.found)


def _ranked(tried: list[Tried]) -> list[Tried]:
    """The front of accuracy and cost, the most accurate first; then the others likewise."""
    front = front_of(tried)
    rest = [one for one in tried if one.accuracy is not None and one not in front]
    return front[::-1] + sorted(rest, key=lambda one: -one.accuracy)


def _has_learned(accuracy: float, data: Dataset) -> bool:
    """Whether an accuracy on the validation pictures is much more than a guess."""
    counts = data.validation.labels.bincount()
    guess = float(counts.max()) / len(data.validation)
    return accuracy > guess + 0.25 * (1 - guess)


def _first_values(model: nn.Module, space: SearchSpace) -> dict[str, Any]:
    """The layers' own values and `PROVEN`, as far as the space has them."""
    own = {
        f"{layer}.{setting}": own_value(model, layer, setting)
        for layer, settings in space.layers.items()
        for setting in settings
    }
    return {
        name: value
        for name, value in (PROVEN | own).items()
        if name in space and space.contains(name, value)
    }
