"""How a candidate of `improve` and the network as it was given fare in equal trainings.

In a search the candidates of different rounds have had trainings of different length. Before one
says how much better a candidate is, both are trained anew for the same number of epochs: the
candidate as it asks for, the network as it was given with the article's settings.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from course_utils.core import CourseError
from course_utils.data import Dataset
from course_utils.metrics import Evaluation, Interval, evaluate, wilson_interval
from course_utils.search.candidate import Settings
from course_utils.search.records import Improvement, Tried
from course_utils.training import Precision, Step, fit


@dataclass(frozen=True)
class TrainedOne:
    """A candidate after a whole training.

    Attributes:
        one: the candidate; number 0 is the network as it was given.
        epochs: of the training.
        model: the trained network, in eval mode.
        accuracy: on the validation pictures.
        interval: Wilson's, 95 %.
        parameters: numbers that it learns.
    """

    one: Tried
    epochs: int
    model: nn.Module = field(repr=False)
    accuracy: float
    interval: Interval
    parameters: int


class SideBySide:
    """Equal trainings of candidates of one search, and of the network as it was given.

    Args:
        found: the search.
        data: with validation pictures, as for `improve`.
        precision: as for `fit`.

    Attributes:
        trained: (candidate, epochs) -> what came of it, in the order of training; candidate 0 is
            the network as it was given.
        tested: the same -> its `Evaluation` on the test pictures, once `evaluate` was asked.
    """

    def __init__(
        self, found: Improvement, data: Dataset, precision: str | Precision = "auto"
    ) -> None:
        self.found, self.data, self.precision = found, data, precision
        self.trained: dict[tuple[int, int], TrainedOne] = {}
        self.tested: dict[tuple[int, int], Evaluation] = {}

    def missing(self, one: Tried, epochs: int) -> list[Tried]:
        """Of a candidate and the network as it was given, what has not been trained so long yet."""
        return [o for o in (one, self.found.start) if (o.number, epochs) not in self.trained]

    def train(
        self,
        one: Tried,
        epochs: int,
        *,
        stop: threading.Event | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> TrainedOne | None:
        """Build a candidate and train it; `found.start` is trained with the article's settings.

        Args:
            stop, on_step: as for `fit`.

        Returns:
            None if it was stopped; that leaves nothing.

        Raises:
            CourseError: the candidate cannot be built.
            Diverged: its loss is no number any more.
        """
        model = self.found.build(one)
        history = fit(
            model,
            self.data,
            epochs=epochs,
            **Settings.of(one.params).fit_arguments(),
            precision=self.precision,
            seed=self.found.seed,
            stop=stop,
            on_step=on_step,
            progress=False,
        )
        if history.stopped:
            return None
        accuracy, total = history.validation_accuracy[-1], len(self.data.validation)
        interval = wilson_interval(round(accuracy * total), total)
        parameters = sum(p.numel() for p in model.parameters())
        row = TrainedOne(one, epochs, model.eval(), accuracy, interval, parameters)
        self.trained[one.number, epochs] = row
        return row

    def evaluate(self) -> dict[tuple[int, int], Evaluation]:
        """Measure all that was trained on the test pictures, each once.

        Raises:
            CourseError: nothing was.
        """
        if not self.trained:
            raise CourseError("Nothing has been trained yet, so the test pictures have to wait.")
        for key, row in self.trained.items():
            if key not in self.tested:
                self.tested[key] = evaluate(
                    row.model, self.data.test, mean=self.data.mean, std=self.data.std
                )
        return dict(self.tested)
