"""The three rounds of `improve`: how long candidates are trained, and how the budget is divided."""

from __future__ import annotations

import math
from dataclasses import dataclass

import optuna

from course_utils.search.budget import Budget
from course_utils.search.records import Tried

EPOCHS = {1: 2, 2: 6, 3: 30}
"""Epochs of a candidate's training in each round; more if the pictures are few."""

MIN_STEPS = 8
"""The fewest steps of a training. OneCycle needs 7, because it rises over 0.3 of them."""

MIN_LAST_EPOCHS = 20
"""The fewest epochs in the last round; a shorter training gains nothing by augmentation."""

_SPENT_AT_END = {"seconds": {1: 0.25, 2: 0.4, 3: 1.0}, "trials": {1: 0.7, 2: 0.9, 3: 1.0}}
"""Share of the budget that is spent when each round ends."""

_TIME_MARGIN = 1.2
"""Factor on an expected time: augmentation takes time too, and speed varies."""

_SLOWER = 1.5
"""A candidate whose step takes at most this many times as long as the first one's is kept."""


@dataclass(frozen=True)
class Rounds:
    """The rounds of a search with this budget.

    Attributes:
        factor: all trainings have this many times their usual epochs.
    """

    budget: Budget
    factor: int = 1

    @classmethod
    def of(cls, budget: Budget, pictures: int, batch_size: int) -> Rounds:
        """Return the rounds for so many pictures: each training has at least `MIN_STEPS` steps."""
        steps = max(
            1, math.ceil((pictures - 1) / batch_size)
        )  # a last batch of one may be left out
        return cls(budget, math.ceil(MIN_STEPS / (EPOCHS[1] * steps)))

    def usual_epochs(self, number: int) -> int:
        """Return the epochs of a training in this round, if there is time."""
        return self.factor * EPOCHS[number]

    @property
    def by_time(self) -> bool:
        """True if seconds divide the rounds; with a number of candidates they are only a limit."""
        return self.budget.trials is None

    @property
    def min_last_epochs(self) -> int:
        """The fewest epochs of a training in the last round."""
        return self.factor * MIN_LAST_EPOCHS

    def is_over(self, number: int, seconds: float, trials: int) -> bool:
        """Return whether the round's share of the budget is spent."""
        unit = "seconds" if self.by_time else "trials"
        return self.budget.used(seconds, trials) >= _SPENT_AT_END[unit][number]

    def epochs(
        self, number: int, one: Tried, seconds: float, before: int = 0, second: Tried | None = None
    ) -> int:
        """Return the epochs of a candidate in round 2 or 3; 0 if there is no time for it.

        Args:
            one: the candidate, as an earlier round has trained it.
            seconds: that the search has taken so far.
            before: candidates that the round has trained already.
            second: the next candidate; the last round leaves it time if it needs little.
        """
        if not self.by_time:
            return self.usual_epochs(number)
        if number == 3:
            return self._last_epochs(one, self.budget.seconds - seconds, second)
        # The first two candidates, of which one is usually cheap, may use the last round's time.
        left = self._end(3 if before < 2 else number) - seconds
        epochs = self.usual_epochs(number)
        return epochs if epochs * one.seconds_per_epoch <= left else 0

    def _last_epochs(self, one: Tried, left: float, second: Tried | None) -> int:
        if second is not None:
            needed = _TIME_MARGIN * self.min_last_epochs * second.seconds_per_epoch
            if needed < left / 4:
                left -= needed
        epochs = min(self.usual_epochs(3), int(left / one.seconds_per_epoch))
        return epochs if epochs >= self.min_last_epochs else 0

    def check_pace(self, first: Tried, first_step: float, step: float, steps: int) -> None:
        """Prune a candidate that is too slow for the last round, if seconds divide the rounds.

        A candidate that is not much slower than the first one, which has the network's own layers,
        is kept in any case.

        Args:
            first_step, step: seconds of a training step of the first candidate and of this one.
            steps: in an epoch.

        Raises:
            optuna.TrialPruned: the last round has no time for `min_last_epochs` of its epochs.
        """
        if not self.by_time:
            return
        last_round = self._end(3) - self._end(2)
        epoch = first.seconds_per_epoch + steps * (step - first_step)
        if self.min_last_epochs * epoch > last_round and step > _SLOWER * first_step:
            raise optuna.TrialPruned(
                f"an epoch would take {epoch:.1f} s, too long for {self.min_last_epochs} of them "
                f"in the {last_round:.0f} s of the last round"
            )

    def _end(self, number: int) -> float:  # in seconds
        return _SPENT_AT_END["seconds"][number] * self.budget.seconds
