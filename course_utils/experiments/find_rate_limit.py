"""Find from which peak on trainings of `SimpleCNN` fail, without and with a warm-up.

    python -m course_utils.experiments.find_rate_limit

writes `assets/results/rate_limit.json`; that took 4 minutes on one core.

Two epochs of 3,000 pictures of Fashion-MNIST with SGD and momentum 0.9, with a cosine that falls to
a hundredth of the peak. Each peak is trained from eight seeds, without a warm-up and with one over
0.3 of the steps. The accuracy is that on the 1,000 validation pictures, after the last epoch; 0.1
is a guess.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import torch
from tqdm.auto import tqdm

from course_utils.data import load_dataset
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.training import Precision, RatePlan, Schedule, train_with

NAME = "rate_limit"
COMMAND = command_of(__file__)
EPOCHS, PICTURES = 2, 3000
PEAKS = (0.03, 0.06, 0.12, 0.17, 0.25, 0.35, 0.5, 0.7)
WARMUPS = (0.0, 0.3)
SEEDS = tuple(range(8))


def records(train: Callable[[RatePlan, int], float]) -> Iterator[Record]:
    """Train each plan from each seed, and yield a record for each training.

    Args:
        train: (plan, seed) -> accuracy, nan if the training diverged.
    """
    for warmup, peak, seed in itertools.product(WARMUPS, PEAKS, SEEDS):
        plan = RatePlan(Schedule("cosine", warmup=warmup), peak, epochs=EPOCHS, pictures=PICTURES)
        accuracy = train(plan, seed)
        # A network whose loss is not a number guesses, too.
        reached = 0.1 if math.isnan(accuracy) else accuracy
        yield {"warmup": warmup, "peak": peak, "seed": seed, "accuracy": reached}


def main() -> None:
    """Run all trainings and write the results."""
    torch.set_num_threads(1)
    data = load_dataset("fashion-mnist")

    def train(plan: RatePlan, seed: int) -> float:
        return train_with(plan, data, seed=seed, precision=Precision(threads=1)).validation_accuracy

    total = len(WARMUPS) * len(PEAKS) * len(SEEDS)
    found = list(tqdm(records(train), total=total, desc=NAME, unit="training"))
    settings = {"epochs": EPOCHS, "pictures": PICTURES, "batch size": 64, "data": data.name}
    path = save_results(NAME, found, command=COMMAND, settings=settings)
    print(f"{len(found)} trainings in {path}")


if __name__ == "__main__":
    main()
