"""Train the network of notebook 02_2 by its recipe.

    python -m course_utils.experiments.first_cnn

writes `assets/first_cnn.pt`, which `load_pretrained("first_cnn")` reads. It takes about 12 seconds;
on the same machine the numbers are the same each time.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from course_utils.data import Augment, load_dataset
from course_utils.experiments.recipes import result_in_words, train_by_recipe
from course_utils.models import SimpleCNN, save_pretrained
from course_utils.training import one_cycle

_PEAK = 5e-3


def first_cnn_recipe() -> dict[str, Any]:
    """Return arguments of `fit` that bring `SimpleCNN` to about 90 % on the shipped Fashion-MNIST.

    - AdamW, steps of 64 pictures, 8 epochs;
    - the learning rate rises to 0.005 in the first quarter and then falls to almost 0 (Smith and
      Topin 2018, "Super-convergence"): with it, 8 epochs are enough;
    - label smoothing 0.1, and every second picture mirrored, against overfitting.

    Use it as `fit(model, data, **first_cnn_recipe())`.
    """
    return {
        "epochs": 8,
        "batch_size": 64,
        "optimizer": torch.optim.AdamW,
        "learning_rate": _PEAK,
        "scheduler": partial(one_cycle, peak=_PEAK),
        "label_smoothing": 0.1,
        "augment": Augment(flip=True),
        "seed": 0,
    }


def train_first_cnn() -> dict[str, Any]:
    """Train the network by its recipe and return the content of its file."""
    data = load_dataset("fashion-mnist")
    return train_by_recipe(SimpleCNN, data, first_cnn_recipe())


def main() -> None:
    """Train the network again and replace its file."""
    content = train_first_cnn()
    save_pretrained("first_cnn", content)
    print(f"first_cnn: {result_in_words(content)}")


if __name__ == "__main__":
    main()
