"""Five short trainings, four of which go wrong in a typical way, for an exercise of notebook 05_2.

The reader of the exercise should not look in here first.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from course_utils.core import private_random_numbers
from course_utils.data import Dataset
from course_utils.models import SimpleCNN
from course_utils.training import History, fit

# Pictures, learning rate, epochs, and whether the validation labels are in another order.
_TRAININGS = {
    "A": (400, 3e-3, 24, False),
    "B": (1500, 1e-5, 6, False),
    "C": (1500, 0.1, 6, False),
    "D": (1500, 1e-3, 6, True),
    "E": (3000, 1e-3, 6, False),
}


def five_trainings(data: Dataset, *, seed: int = 0) -> dict[str, History]:
    """Train `SimpleCNN` five times on a few pictures, and return the histories "A" to "E".

    It takes about ten seconds.

    Args:
        data: With at least 3,000 training and 300 validation pictures.
        seed: Of the weights, the pictures and the order.

    Raises:
        CourseError: If there are fewer pictures.
    """
    histories = {}
    for name, (pictures, rate, epochs, mixed) in _TRAININGS.items():
        validation = data.validation.few(300, seed=seed)
        if mixed:
            validation = replace(validation, labels=validation.labels.roll(1))
        few = replace(data, train=data.train.few(pictures, seed=seed), validation=validation)
        with private_random_numbers():
            torch.manual_seed(seed)
            model = SimpleCNN(data.image_shape[0], len(data.classes), data.image_shape[1:])
        settings = {"epochs": epochs, "learning_rate": rate, "seed": seed, "progress": False}
        histories[name] = fit(model, few, **settings)
    return histories
