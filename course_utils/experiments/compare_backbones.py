"""Compare a detector's backbones on the blood cells: a small one, and a frozen trained network.

    python -m course_utils.experiments.compare_backbones

writes `assets/results/backbones.json`; that took 5 minutes on one core.

"small" is `SmallBackbone`, trained from new weights together with the rest. "frozen Lite0" are the
first five stages of EfficientNet-Lite0 with ImageNet weights, whose maps are computed once. All
else is the same: the pyramid, the head, and three passes over the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from course_utils.core import seeded
from course_utils.data import Dataset, load_boxes
from course_utils.experiments.results import command_of, save_results
from course_utils.metrics import average_precision
from course_utils.models import Detector, Lite0Backbone, SmallBackbone, load_pretrained
from course_utils.training import Precision, fit_detector, propose_all

NAME = "backbones"
COMMAND = command_of(__file__)
SEEDS = (0, 1, 2)
EPOCHS = 3
BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "frozen Lite0": lambda: Lite0Backbone(load_pretrained("efficientnet_lite0")),
    "small": SmallBackbone,
}


def measure(data: Dataset, backbone: str, seed: int) -> dict[str, float]:
    """Train in float32 with one thread; return AP50 on the test pictures: mean, and by class."""
    model = seeded(lambda: Detector(len(data.classes), BACKBONES[backbone]()), seed)
    options = {"precision": Precision(channels_last=True, threads=1), "progress": False}
    fit_detector(model, data, epochs=EPOCHS, seed=seed, **options)
    scores = average_precision([one.choose() for one in propose_all(model, data)], data.test)
    return {"ap50": scores.mean, **scores.classes}


def compare(data: Dataset, seeds: Sequence[int] = SEEDS) -> Iterator[dict[str, Any]]:
    """Yield a record for each seed and backbone."""
    for seed in seeds:
        for backbone in BACKBONES:
            yield {"backbone": backbone, "seed": seed, **measure(data, backbone, seed)}


def main() -> None:
    """Run all trainings and write the results."""
    torch.set_num_threads(1)
    records = []
    for record in tqdm(compare(load_boxes()), total=6, desc=NAME, unit="training"):
        tqdm.write(str(record))
        records.append(record)
    path = save_results(NAME, records, command=COMMAND, settings={"epochs": EPOCHS})
    print(f"{len(records)} trainings in {path}")


if __name__ == "__main__":
    main()
