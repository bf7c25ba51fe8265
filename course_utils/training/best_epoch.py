"""Keep the weights of the best epoch, chosen on the validation pictures."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from course_utils.training.history import History


class BestEpoch:
    """Remember the weights of the epoch with the highest validation accuracy.

    >>> from course_utils.data import load_dataset
    >>> from course_utils.models import SimpleCNN
    >>> from course_utils.training import fit
    >>> model = SimpleCNN()
    >>> best = BestEpoch(model)
    >>> fit(model, load_dataset("fashion-mnist"), on_epoch=best)  # doctest: +SKIP
    >>> best.restore()  # doctest: +SKIP

    Of equal epochs the first one counts. Without validation pictures it is the last epoch.

    Attributes:
        epoch: The best epoch, from 1; 0 before the first one.
        accuracy: Its validation accuracy.
        seen: How many epochs were compared.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.epoch = self.seen = 0
        self.accuracy = -math.inf
        self._weights: dict[str, Any] | None = None

    def __call__(self, history: History) -> None:
        """Compare the last epoch; for `fit(on_epoch=...)`."""
        self.compare(history, self.model.state_dict())

    def compare(self, history: History, weights: Mapping[str, Any]) -> None:
        """Compare the last epoch of `history`, after which the weights were `weights`."""
        self.seen = history.epoch[-1]
        accuracy = history.validation_accuracy[-1]
        if accuracy > self.accuracy or math.isnan(accuracy):
            self.epoch, self.accuracy = self.seen, accuracy
            self._weights = copy.deepcopy(dict(weights))

    def restore(self) -> None:
        """Load the weights of the best epoch into the model."""
        if self._weights is not None:
            self.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Return what a file keeps of it."""
        return {
            "epoch": self.epoch,
            "seen": self.seen,
            "accuracy": self.accuracy,
            "weights": self._weights or {},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.epoch, self.seen, self.accuracy = (state[k] for k in ("epoch", "seen", "accuracy"))
        self._weights = dict(state["weights"]) or None
