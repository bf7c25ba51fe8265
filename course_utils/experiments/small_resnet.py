"""Train the residual network of chapter 4 by its recipe.

    python -m course_utils.experiments.small_resnet

writes `assets/small_resnet.pt`, which `load_pretrained("small_resnet")` reads. It takes about four
minutes; on the same machine the numbers are the same each time.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from course_utils.data import Augment, load_dataset
from course_utils.experiments.recipes import result_in_words, train_by_recipe
from course_utils.models import SmallResNet, save_pretrained
from course_utils.training import one_cycle

_PEAK = 1e-2


def small_resnet_recipe() -> dict[str, Any]:
    """Return arguments of `fit` with which `SmallResNet` passes 91 % on the shipped Fashion-MNIST.

    - AdamW with weight decay 0.05, steps of 64 pictures, 30 epochs;
    - the learning rate rises to 0.01 in the first quarter and then falls to almost 0 (Smith and
      Topin 2018, "Super-convergence");
    - label smoothing 0.1, and against overfitting every second picture is mirrored, and each is
      moved by up to one pixel.

    Use it as `fit(model, data, **small_resnet_recipe())`.
    """
    return {
        "epochs": 30,
        "batch_size": 64,
        "optimizer": partial(torch.optim.AdamW, weight_decay=0.05),
        "learning_rate": _PEAK,
        "scheduler": partial(one_cycle, peak=_PEAK),
        "label_smoothing": 0.1,
        "augment": Augment(flip=True, pad_crop=1),
        "seed": 0,
    }


def train_small_resnet() -> dict[str, Any]:
    """Train the network by its recipe and return the content of its file."""
    return train_by_recipe(SmallResNet, load_dataset("fashion-mnist"), small_resnet_recipe())


def main() -> None:
    """Train the network again and replace its file."""
    content = train_small_resnet()
    save_pretrained("small_resnet", content)
    print(f"small_resnet: {result_in_words(content)}")


if __name__ == "__main__":
    main()
