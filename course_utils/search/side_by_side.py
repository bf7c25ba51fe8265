"""A candidate of `improve` and the given network, compared after trainings of equal length.

In a search, candidates of different rounds are trained for different numbers of epochs. For a fair
comparison both networks are trained again for the same number of epochs: the candidate with its own
settings, the given network with the article's.
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
    """A candidate after a training.

    Attributes:
        one: the candidate; number 0 is the given network.
        epochs: of the training.
        model: the trained network, in eval mode.
        accuracy: on the validation pictures.
        interval: Wilson's, 95 %.
        parameters: how many the network has.
    """

    one: Tried
    epochs: int
    model: nn.Module = field(repr=False)
    accuracy: float
    interval: Interval
    parameters: int


class SideBySide:
    """Trainings of equal length, of candidates of one search and of the given network.

    Args:
        data: with validation pictures, as for `improve`.

    Attributes:
        trained: (candidate's number, epochs) -> the result, in the order of training.
        tested: (candidate's number, epochs) -> `Evaluation` on the test pictures; filled by
            `evaluate`.
    """

    def __init__(
        self, found: Improvement, data: Dataset, precision: str | Precision = "auto"
    ) -> None:
        self.found, self.data, self.precision = found, data, precision
        self.trained: dict[tuple[int, int], TrainedOne] = {}
        self.tested: dict[tuple[int, int], Evaluation] = {}

    def missing(self, one: Tried, epochs: int) -> list[Tried]:
        """Return which of the candidate and the given network lack a training of this length."""
        return [o for o in (one, self.found.start) if (o.number, epochs) not in self.trained]

    def train(
        self,
        one: Tried,
        epochs: int,
        *,
        stop: threading.Event | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> TrainedOne | None:
        """Build and train a candidate; `found.start` is trained with the article's settings.

        Returns:
            The result, which is also kept in `trained`; None if the training was stopped.

        Raises:
            CourseError: the candidate cannot be built.
            Diverged: its loss is no longer a number.
        """
        model = self.found.build(one)
        options = {"precision": self.precision, "seed": self.found.seed, "progress": False}
        options |= Settings.of(one.params).fit_arguments()
        history = fit(model, self.data, epochs=epochs, stop=stop, on_step=on_step, **options)
        if history.stopped:
            return None
        accuracy, total = history.validation_accuracy[-1], len(self.data.validation)
        interval = wilson_interval(round(accuracy * total), total)
        parameters = sum(p.numel() for p in model.parameters())
        row = TrainedOne(one, epochs, model.eval(), accuracy, interval, parameters)
        self.trained[one.number, epochs] = row
        return row

    def evaluate(self) -> dict[tuple[int, int], Evaluation]:
        """Measure each trained network once on the test pictures.

        Raises:
            CourseError: nothing has been trained.
        """
        if not self.trained:
            raise CourseError("Nothing has been trained yet: train a candidate first.")
        data = self.data
        for key, row in self.trained.items():
            if key not in self.tested:
                self.tested[key] = evaluate(row.model, data.test, mean=data.mean, std=data.std)
        return dict(self.tested)
