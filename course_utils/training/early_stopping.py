"""Early stopping: end a training that no longer gets better, and keep its best weights."""

from __future__ import annotations

import math
import threading

from torch import Tensor, nn

from course_utils.core import CourseError, whole_number
from course_utils.training.history import History

MONITORED = ("validation_loss", "validation_accuracy")
"""What `EarlyStopping` can watch."""


class EarlyStopping:
    """Stop a training after `patience` epochs in a row without a new best validation result.

    Pass it to `fit` twice, and then put the best weights back:

    >>> early = EarlyStopping(model, patience=5)  # doctest: +SKIP
    >>> fit(model, data, epochs=60, stop=early.stop, on_epoch=early)  # doctest: +SKIP
    >>> early.restore()  # doctest: +SKIP

    What it does with the losses 3, 1, 2, 2:

    >>> early, losses = EarlyStopping(nn.Linear(1, 1), patience=2), [3.0, 1.0, 2.0, 2.0]
    >>> for count in range(1, 5):
    ...     early(History(epoch=list(range(1, count + 1)), validation_loss=losses[:count]))
    >>> early.best_epoch, early.last_epoch
    (2, 4)

    Without `stop=early.stop` the training goes on to its last epoch, and `restore` returns to the
    same weights. An epoch that only equals the best one does not count as better. For how to choose
    the moment, see Prechelt 1998, "Early stopping - but when?".

    Args:
        model: the network that `fit` trains.
        patience: how many epochs in a row may pass without a new best result; at least 1.
        monitor: one of `MONITORED`: the loss should fall, or the accuracy rise.

    Attributes:
        stop: the event that ends the training, for the argument `stop` of `fit`.
        best_epoch: the epoch of the best result, counted from 1; None before the first epoch.
        last_epoch: the epoch after which it stopped; None while it has not.

    Raises:
        CourseError: patience below 1, or another `monitor`; when called, if there are no validation
            images, or the result is not a number.
    """

    def __init__(
        self, model: nn.Module, patience: int = 5, *, monitor: str = "validation_loss"
    ) -> None:
        if monitor not in MONITORED:
            raise CourseError(
                f"There is no {monitor!r} to watch: choose one of {', '.join(MONITORED)}."
            )
        whole_number("patience", patience, 1)
        self.model, self.patience, self.monitor = model, patience, monitor
        self.stop = threading.Event()
        self.best_epoch: int | None = None
        self.last_epoch: int | None = None
        self._best: dict[str, Tensor] = {}

    def __call__(self, history: History) -> None:
        """Look at the epoch that has just ended; for the argument `on_epoch` of `fit`."""
        if self.last_epoch is not None:
            return
        results = getattr(history, self.monitor)
        if math.isnan(results[-1]):
            raise CourseError(
                f"The {self.monitor.replace('_', ' ')} of epoch {history.epoch[-1]} is not a "
                "number: early stopping needs validation images, load the data with validation=0.1."
            )
        # The smaller the better, for both. The history also has epochs before a resumption.
        costs = [-result if self.monitor == "validation_accuracy" else result for result in results]
        best = min(range(len(costs)), key=costs.__getitem__)
        self.best_epoch = history.epoch[best]
        if best == len(costs) - 1:
            state = self.model.state_dict()
            self._best = {name: value.detach().clone() for name, value in state.items()}
        elif len(costs) - 1 - best >= self.patience:
            self.last_epoch = history.epoch[-1]
            self.stop.set()

    def restore(self) -> None:
        """Put the weights of the best epoch back into the model.

        Raises:
            CourseError: no epoch has ended yet, or the best one was before the training was
                resumed, so that its weights were not seen.
        """
        if not self._best:
            raise CourseError(
                "There are no best weights to restore: pass on_epoch=early to fit, and train at "
                "least one epoch that is the best so far."
            )
        self.model.load_state_dict(self._best)
