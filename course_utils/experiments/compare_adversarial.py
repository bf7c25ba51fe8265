"""Compare adversarial training with plain training: what it costs, and what it buys (§5.3).

    python -m course_utils.experiments.compare_adversarial

writes `assets/results/adversarial.json`; that takes about 4 minutes on one core.

The network of notebook 02_2 is trained for three epochs: as it is, and on pictures that are
attacked in each step. It is then shown 500 test pictures under attacks of several sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from tqdm.auto import tqdm

from course_utils.core import seeded
from course_utils.data import Dataset, load_dataset
from course_utils.experiments.first_cnn import first_cnn_recipe
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.metrics import attack_accuracies
from course_utils.models import SimpleCNN
from course_utils.training import AdversarialTraining, Precision, fit

NAME = "adversarial"
COMMAND = command_of(__file__)
SEEDS = (0, 1, 2)
TRAINED = (0, 8, 16)
"""Change of a pixel in the training, in grey levels of 255; 0 is plain training."""
ATTACKED = (0, 4, 8, 16, 32)
"""Change of a pixel in the test."""
PICTURES, EPOCHS, STEPS = 500, 3, 10


def compare(
    data: Dataset,
    trained: tuple[int, ...] = TRAINED,
    attacked: tuple[int, ...] = ATTACKED,
    *,
    seeds: tuple[int, ...] = SEEDS,
    epochs: int = EPOCHS,
    pictures: int = PICTURES,
) -> Iterator[list[Record]]:
    """Train each network with each seed; yield the records of one training, one for each attack.

    In a record, `trained` and `attacked` are grey levels of 255, and `accuracy` is that under PGD.
    """
    channels, *size = data.image_shape
    # Nothing is chosen by the validation images, so time is saved without them.
    data = replace(data, validation=data.validation.subset([]))
    scale = {"mean": data.mean, "std": data.std}
    for seed in seeds:
        for level in trained:
            model = seeded(lambda: SimpleCNN(channels, len(data.classes), tuple(size)), seed)
            # Label smoothing is not used with a loss of one's own, so neither without one.
            recipe = first_cnn_recipe() | {"epochs": epochs, "seed": seed, "label_smoothing": 0.0}
            if level:
                recipe["loss"] = AdversarialTraining(level / 255, **scale)
            fit(model, data, **recipe, precision=Precision(threads=1), progress=False)
            sizes = [one / 255 for one in attacked]
            test = data.test.few(pictures)
            table = attack_accuracies(model, test, sizes, **scale, attacks=["pgd"], steps=STEPS)
            run = {"trained": level, "seed": seed}
            yield [
                run | {"attacked": one, "accuracy": accuracy}
                for one, accuracy in zip(attacked, table.accuracy, strict=True)
            ]


def main() -> None:
    """Run all trainings and write the results."""
    torch.set_num_threads(1)
    data = load_dataset("fashion-mnist")
    runs = tqdm(compare(data), total=len(TRAINED) * len(SEEDS), desc=NAME, unit="training")
    records = [record for run in runs for record in run]
    settings = {"data": data.name, "epochs": EPOCHS, "test_pictures": PICTURES, "steps": STEPS}
    path = save_results(NAME, records, command=COMMAND, settings=settings)
    print(f"{len(records)} records in {path}")


if __name__ == "__main__":
    main()
