"""One click: a better network of the same kind, found within a budget.

`improve` searches in three rounds (successive halving, Jamieson and Talwalkar 2016, "Non-stochastic
best arm identification and hyperparameter optimization"). In each round fewer candidates are
trained longer; every training is a whole one, with its schedule, and starts anew, for a schedule
that is cut in the middle says little about its end:

1. the network's own layers, the same at half and at double the width (Howard et al. 2017,
   "MobileNets"), and then candidates chosen by TPE: two epochs each;
2. the best of these again, six epochs each;
3. thirty epochs, or as many as there is time for: the network's own layers, as what good training
   alone can do, and the best of the second round.

The best are, in turn, the most accurate of all and the most accurate of those that need at most
half of the given network's multiply-adds: so a network that is nearly as good and far cheaper gets
its chance, and its training is short.

Short trainings say nothing about augmentation, for they are best without any; long ones learn their
pictures by heart. So the first two rounds use the weakest augmentation of the space and the last
the strongest, or for the cheap ones, which cannot learn so much by heart, the next after the
weakest.

Each round has its share of the budget, and ends with it; only the first two trainings of the second
may take some of the last one's.
"""

from __future__ import annotations

import copy
import itertools
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
from course_utils.precision import Precision, asked_for, choose, step_seconds
from course_utils.search.budget import Budget
from course_utils.search.candidate import ARTICLE, AUGMENTATIONS, multiply_adds
from course_utils.search.improvement import Improvement, Tried, own_value
from course_utils.search.methods import make_sampler
from course_utils.search.objective import REASON, Interrupted, Objective
from course_utils.search.plan import Plan
from course_utils.search.presets import PROVEN, space_for
from course_utils.search.space import SearchSpace
from course_utils.search.studies import quiet
from course_utils.training import History

EPOCHS = {1: 2, 2: 6, 3: 30}
"""Of a candidate's training in each round."""

LEAST = 15
"""Epochs that a candidate of the last round gets at least, if there is no time for all."""

_ENDS = {"seconds": {1: 0.25, 2: 0.4, 3: 1.0}, "trials": {1: 0.7, 2: 0.9, 3: 1.0}}
_FOR_ONE = 0.65  # of the last round's time, the most for one candidate: another wants some, too
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
        self.batch = data.normalise(data.train.images[: ARTICLE["batch_size"]])
        if precision == "auto":  # tried once, for all candidates
            precision = choose(copy.deepcopy(model).train(), self.batch, between=self._check_stop)
        self.precision = asked_for(precision)
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
            precision=self.precision,
            stop=self.limit,
            on_built=self._on_built,
            on_epoch=self._on_epoch,
            on_trained=self._on_trained,
        )
        self._trained: nn.Module | None = None
        self.first_step = 0.0  # seconds of a step of the first candidate

    # The rounds

    def run_round(self, number: int) -> None:
        """Try candidates until the round's share of the budget is spent, or there are no more."""
        self.round = number
        space = self.plan.space
        if number == 1:
            only = {name: [value] for name, value in augmentation_for(space, 1).items()}
            plan = replace(self.plan, epochs=EPOCHS[1], space=SearchSpace({**space, **only}))
            sampler = make_sampler("tpe", plan.seed, _STARTUP)
            pruner = optuna.pruners.NopPruner()
            study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
            for values in first_candidates(self.found.original, plan.space):
                study.enqueue_trial(values)
            while not self._spent():
                self._try(study.ask(), plan, study)
            return
        half = self.found.start.multiply_adds / 2
        chosen = _ranked([t for t in self.found.tried if t.round == number - 1], half)
        if number == 3 and self.found.tried[0].accuracy is not None:
            chosen.insert(0, self.found.tried[0])
        done: list[dict[str, Any]] = []
        for one in chosen:
            if self._spent():
                break
            params = one.params | augmentation_for(space, number, one.multiply_adds <= half)
            if params not in done and (epochs := self._epochs_for(one)):
                done.append(params)
                self._try(FixedTrial(params), replace(self.plan, epochs=epochs))

    def _check_stop(self) -> None:
        if self.limit.is_set():
            raise Interrupted

    def _spent(self) -> bool:
        self._check_stop()
        used = self.budget.used(time.perf_counter() - self.begun, len(self.found.tried))
        return used >= self.ends[self.round]

    def _epochs_for(self, one: Tried) -> int:
        """How long the candidate can be trained in this round; 0 if there is no time for it."""
        epochs = EPOCHS[self.round]
        if self.budget.seconds is None:
            return epochs
        pace, used = one.seconds / one.epochs, time.perf_counter() - self.begun
        if self.round < 3:  # the first of all and the first cheap one may take of the last round's
            first = sum(other.round == self.round for other in self.found.tried) < 2
            end = self.ends[3 if first else self.round]
            return epochs if epochs * pace <= end * self.budget.seconds - used else 0
        here = min(_FOR_ONE * self._last_round(), self.budget.seconds - used)
        epochs = min(epochs, int(here / pace))
        return epochs if epochs >= LEAST else 0

    def _last_round(self) -> float:
        """Seconds that it lasts."""
        return (self.ends[3] - self.ends[2]) * self.budget.seconds

    # One candidate

    def _try(self, trial: BaseTrial, plan: Plan, study: optuna.Study | None = None) -> None:
        self.objective.plan, self._trained = plan, None
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
            plan.epochs,
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
        self.say(
            f"round {self.round}, candidate {number}: epoch {done} of {self.objective.plan.epochs}"
        )

    def _on_built(self, model: nn.Module) -> None:
        if self.round == 1 and self.budget.seconds is not None:
            self._check_pace(
                step_seconds(model.train(), self.batch, self.precision, between=self._check_stop)
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
        first, last = self.found.tried[0], self._last_round()
        own_pace = first.seconds / first.epochs
        steps = math.ceil(len(self.objective.data.train) / ARTICLE["batch_size"])
        pace = own_pace + steps * (step - self.first_step)
        left = min(_FOR_ONE * last, last - min(EPOCHS[3] * own_pace, _FOR_ONE * last))
        if pace > left / LEAST and step > 1.5 * self.first_step:
            raise optuna.TrialPruned(
                f"an epoch would take {pace:.1f} s, too long for {LEAST} of them in the "
                f"{left:.0f} s that the last round has for it"
            )

    def _on_trained(self, trial: BaseTrial, model: nn.Module, history: History) -> None:
        self._trained = model

    def say(self, text: str) -> None:
        """Tell how things stand."""
        self.found.now = text
        if self.on_change is not None:
            self.on_change(self.found)


def _ranked(tried: list[Tried], half: float) -> list[Tried]:
    """In turn the most accurate of all and of those with at most `half` multiply-adds."""
    complete = [one for one in tried if one.accuracy is not None]
    best = sorted(complete, key=lambda one: (-one.accuracy, one.multiply_adds))
    cheap = [one for one in best if one.multiply_adds <= half]
    in_turn = itertools.chain(*itertools.zip_longest(best, cheap))
    return list({one.number: one for one in in_turn if one is not None}.values())


def _has_learned(accuracy: float, data: Dataset) -> bool:
    """Whether an accuracy on the validation pictures is much more than a guess."""
    counts = data.validation.labels.bincount()
    guess = float(counts.max()) / len(data.validation)
    return accuracy > guess + 0.25 * (1 - guess)


def first_candidates(model: nn.Module, space: SearchSpace) -> list[dict[str, Any]]:
    """The layers as they are, at half and at double the width, and `PROVEN`: what `space` has."""
    candidates: list[dict[str, Any]] = []
    for factor in (1, 0.5, 2):
        values = dict(PROVEN)
        for layer, settings in space.layers.items():
            for setting in settings:
                own = own_value(model, layer, setting)
                scaled = int(factor * own) if setting == "out_channels" else own
                name = f"{layer}.{setting}"
                values[name] = scaled if space.contains(name, scaled) else own
        values = {
            name: value
            for name, value in values.items()
            if name in space and space.contains(name, value)
        }
        if values not in candidates:
            candidates.append(values)
    return candidates


def augmentation_for(space: SearchSpace, round_number: int, cheap: bool = False) -> dict[str, str]:
    """{"augment": name} for a candidate of this round; {} if the space has no augmentation.

    In the first two rounds that is the weakest, in the last one the strongest, or for a cheap
    candidate the next after the weakest.
    """
    if "augment" not in space:
        return {}
    names = [name for name in AUGMENTATIONS if space.contains("augment", name)]
    some = names[:1] if round_number < 3 else names[:2] if cheap else names
    return {"augment": some[-1]}
