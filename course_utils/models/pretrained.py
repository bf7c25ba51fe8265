"""Networks that come trained with the course, and how they were trained.

`load_pretrained("first_cnn")` is the network of notebook 02_2, for panels and cells that want
real filters at once. `python -m course_utils.models.pretrained` trains it again, to the same
numbers on the same machine, and replaces the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_utils.core import CourseError, checkpoint, private_random_numbers
from course_utils.data import Augment
from course_utils.models.simple import SimpleCNN
from course_utils.training import one_cycle

NAMES = ("first_cnn",)
"""What `load_pretrained` knows."""

_ASSETS = Path(__file__).parents[1] / "assets"
_NEEDED = {
    "model": dict,
    "arguments": dict,
    "data": str,
    "classes": list,
    "mean": Tensor,
    "std": Tensor,
    "correct": int,
    "total": int,
    "recipe": dict,
}
_PEAK = 5e-3


def first_cnn_recipe() -> dict[str, Any]:
    """Arguments of `fit` that bring `SimpleCNN` to about 90 % on the shipped Fashion-MNIST.

    - AdamW, steps of 64 pictures, 8 epochs;
    - the learning rate rises to 0.005 within the first quarter and then falls to nearly nothing
      (Smith and Topin 2018, "Super-convergence"), which is what makes 8 epochs enough;
    - label smoothing 0.1, and every second picture mirrored, against overfitting.

    `fit(model, data, **first_cnn_recipe())`; add or change arguments as in any dictionary.
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


@dataclass(frozen=True)
class Card:
    """What is known of a trained network.

    Attributes:
        name: Of `load_pretrained`.
        data: Name of the data set, for `load_dataset`.
        classes: Names of its classes.
        mean, std: Float32 (C,), with which its pictures (scaled to [0, 1]) were normalised.
        correct, total: Test pictures that it recognised when it was trained, and test pictures.
        recipe: The arguments of `fit`, as text.
        arguments: Of the model's class.
    """

    name: str
    data: str
    classes: tuple[str, ...]
    mean: Tensor
    std: Tensor
    correct: int
    total: int
    recipe: dict[str, str] = field(repr=False)
    arguments: dict[str, Any] = field(repr=False)

    @property
    def accuracy(self) -> float:
        """Share of the test pictures that it recognised."""
        return self.correct / self.total


def load_pretrained(name: str = "first_cnn") -> SimpleCNN:
    """A trained network, in eval mode, on the CPU; every call gives a new one.

    Raises:
        CourseError: If there is none of this name, or its file is damaged.
    """
    content = _read(name)
    with private_random_numbers():
        model = SimpleCNN(**content["arguments"])
    model.load_state_dict(content["model"])
    return model.eval()


def pretrained_card(name: str = "first_cnn") -> Card:
    """What is known of a trained network: data, normalisation, accuracy, recipe.

    Raises:
        CourseError: If there is none of this name, or its file is damaged.
    """
    content = {key: value for key, value in _read(name).items() if key != "model"}
    content["classes"] = tuple(content["classes"])
    return Card(name, **content)


def train_first_cnn() -> dict[str, Any]:
    """Train the network by its recipe and give what its file holds.

    Plain float32 and one thread, for with more of them the order of the sums, and so the last
    digits, hang on the machine's cores. About 12 seconds.
    """
    from course_utils.data import load_dataset
    from course_utils.metrics import evaluate
    from course_utils.training import Precision, fit

    data = load_dataset("fashion-mnist")
    channels, *size = data.image_shape
    arguments = {
        "in_channels": channels,
        "classes": len(data.classes),
        "image_size": tuple(size),
    }
    recipe = first_cnn_recipe()
    with private_random_numbers():
        torch.manual_seed(recipe["seed"])
        model = SimpleCNN(**arguments)
    fit(model, data, **recipe, device="cpu", precision=Precision(threads=1))
    result = evaluate(model, data.test, mean=data.mean, std=data.std)
    return {
        "model": model.state_dict(),
        "arguments": arguments,
        "data": data.name,
        "classes": list(data.classes),
        "mean": data.mean,
        "std": data.std,
        "correct": result.correct,
        "total": result.total,
        "recipe": {key: _as_text(value) for key, value in recipe.items()},
    }


def _as_text(value: object) -> str:
    if isinstance(value, partial):
        arguments = ", ".join(f"{key}={v!r}" for key, v in value.keywords.items())
        return f"{value.func.__name__}({arguments})"
    return value.__name__ if isinstance(value, type) else repr(value)


def _path(name: str) -> Path:
    if name not in NAMES:
        raise CourseError(
            f"There is no trained network {name!r}: take {' or '.join(map(repr, NAMES))}."
        )
    return _ASSETS / f"{name}.pt"


def _read(name: str) -> dict[str, Any]:
    remedy = (
        "install the course again, or make it anew with python -m course_utils.models.pretrained"
    )
    return checkpoint.load(_path(name), _NEEDED, remedy=remedy)


def main() -> None:
    """Train every network of this module anew and replace its file."""
    content = train_first_cnn()
    checkpoint.save(_path("first_cnn"), content)
    share = content["correct"] / content["total"]
    print(f"first_cnn: {share:.1%} of {content['total']:,} test pictures")


if __name__ == "__main__":
    main()
