"""Train the detector of notebook 04_2 on the photographs of blood cells.

    python -m course_utils.experiments.cell_detector

writes `assets/cell_detector.pt`, which `load_cell_detector` reads. It takes 40 seconds of one core;
on the same machine the numbers are the same each time.
"""

from __future__ import annotations

from typing import Any

import torch

from course_utils.core import seeded
from course_utils.data import load_boxes
from course_utils.metrics import average_precision
from course_utils.models import Detector, save_cell_detector
from course_utils.training import Precision, fit_detector, propose_all

RECIPE = {"epochs": 3, "batch_size": 16, "learning_rate": 2e-3, "flips": True, "seed": 0}
"""Arguments of `fit_detector`."""


def train_cell_detector() -> dict[str, Any]:
    """Train the network by its recipe, in float32 with one thread; return its file's content."""
    torch.set_num_threads(1)
    data = load_boxes("bccd")
    arguments = {"classes": len(data.classes)}
    model = seeded(lambda: Detector(**arguments), RECIPE["seed"])
    fit_detector(model, data, **RECIPE, device="cpu", precision=Precision(threads=1))
    scores = average_precision([one.choose() for one in propose_all(model, data)], data.test)
    return {
        "model": model.state_dict(),
        "arguments": arguments,
        "data": data.name,
        "classes": list(data.classes),
        "average_precision": {"mean": scores.mean, **scores.classes},
        "recipe": RECIPE,
    }


def main() -> None:
    """Train the network again and replace its file."""
    content = train_cell_detector()
    save_cell_detector(content)
    print({name: round(value, 3) for name, value in content["average_precision"].items()})


if __name__ == "__main__":
    main()
