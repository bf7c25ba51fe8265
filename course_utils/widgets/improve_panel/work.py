"""The long work of the improve panel: a search, and equal trainings of its candidates."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from course_utils.data import Dataset
from course_utils.training import Precision, Step
from course_utils.widgets.improve_panel.controls import TRAINING

if TYPE_CHECKING:
    from course_utils.search import Improvement, SideBySide, Tried


@dataclass(frozen=True)
class Progress:
    """The share of the work that is done, in [0, 1], and what is done now, "" at the end."""

    share: float = 0.0
    text: str = ""


def search(
    model: nn.Module,
    data: Dataset,
    budget: str,
    *,
    varied: Sequence[str],
    precision: str | Precision,
    seed: int,
    stop: threading.Event,
    on_change: Callable[[Improvement, Progress], None],
) -> Improvement | None:
    """Search for a better network; return None if it was stopped before the first result.

    `varied` names the settings that may vary, and `on_change` is called with the result so far. The
    other arguments are those of `improve`.

    Raises:
        CourseError: a budget of 0; nothing can vary in this network; `improve` cannot search.
    """
    from course_utils.search import Budget, StoppedEarly, improve, space_for

    limit, begin = Budget.of(budget), time.perf_counter()

    def report(found: Improvement) -> None:
        share = limit.used(time.perf_counter() - begin, len(found.tried))
        on_change(found, Progress(min(1.0, share), found.now))

    layers = [name for name in varied if name != TRAINING]
    example = torch.zeros(2, *data.image_shape)
    space = space_for(model, example, layers, training=TRAINING in varied)
    options = {"precision": precision, "seed": seed, "stop": stop, "on_change": report}
    try:
        return improve(model, data, limit, space=space, **options)
    except StoppedEarly:
        return None


def train_all(
    side_by_side: SideBySide,
    candidates: Sequence[Tried],
    epochs: int,
    *,
    stop: threading.Event,
    on_progress: Callable[[Progress], None],
) -> bool:
    """Train candidates one after the other; return False if a training was stopped."""
    for number, candidate in enumerate(candidates):
        name = f"candidate {candidate.number}" if candidate.number else "the network as given"

        def on_step(step: Step, name: str = name, number: int = number) -> None:
            share = (number + step.step / step.steps) / len(candidates)
            on_progress(Progress(share, f"{name}: epoch {step.epoch} of {step.epochs}"))

        if not side_by_side.train(candidate, epochs, stop=stop, on_step=on_step):
            return False
    return True
