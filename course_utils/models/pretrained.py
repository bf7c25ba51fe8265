"""Trained networks that are part of the course.

`load_pretrained("first_cnn")` returns the network of notebook 02_2, for panels and cells that need
trained kernels at once. `python -m course_utils.experiments.first_cnn` trains it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from course_utils.core import (
    CourseError,
    load_checkpoint,
    load_weights,
    private_random_numbers,
    save_checkpoint,
)
from course_utils.models.simple import SimpleCNN

NAMES = ("first_cnn",)
"""Names that `load_pretrained` knows."""

_ASSETS = Path(__file__).parents[1] / "assets"
_NEEDED = {
    **dict.fromkeys(("model", "arguments", "recipe"), dict),
    **{"data": str, "classes": list, "mean": Tensor, "std": Tensor, "correct": int, "total": int},
}


@dataclass(frozen=True)
class Card:
    """Facts about a trained network.

    Attributes:
        name: Its name, for `load_pretrained`.
        data: Name of the data set, for `load_dataset`.
        classes: Names of the classes.
        mean, std: Float32 (C,), to normalise its pictures (scaled to [0, 1]).
        correct, total: Number of test pictures that it classified correctly, and of all.
        recipe: The arguments of `fit`, as text.
        arguments: Arguments of the model's class.
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
        """Share of the test pictures that it classified correctly."""
        return self.correct / self.total


def load_pretrained(name: str = "first_cnn") -> SimpleCNN:
    """Return a trained network, in eval mode, on the CPU; each call makes a new one.

    Raises:
        CourseError: If the course has no network of this name, or its file is damaged.
    """
    content = _read(name)
    try:
        with private_random_numbers():
            model = SimpleCNN(**content["arguments"])
    except TypeError as error:
        raise CourseError(
            f"{_path(name)} is of another kind of network: {_remedy(name)}."
        ) from error
    load_weights(model, content["model"], _path(name), f"To correct this, {_remedy(name)}.")
    return model.eval()


def pretrained_card(name: str = "first_cnn") -> Card:
    """Return facts about a trained network: data, normalisation, accuracy, recipe.

    Raises:
        CourseError: If the course has no network of this name, or its file is damaged.
    """
    read = _read(name)
    content = {key: read[key] for key in _NEEDED if key != "model"}
    return Card(name, **content | {"classes": tuple(read["classes"])})


def save_pretrained(name: str, content: dict[str, Any]) -> None:
    """Write the file that `load_pretrained` and `pretrained_card` read, in place of the old one.

    Raises:
        CourseError: If the course has no network of this name, or the file cannot be written.
    """
    save_checkpoint(_path(name), content)


def _path(name: str) -> Path:
    if name not in NAMES:
        names = " or ".join(map(repr, NAMES))
        raise CourseError(f"There is no trained network {name!r}: take {names}.")
    return _ASSETS / f"{name}.pt"


def _read(name: str) -> dict[str, Any]:
    return load_checkpoint(_path(name), _NEEDED, remedy=_remedy(name))


def _remedy(name: str) -> str:
    return (
        "install the course again, or train the network again with "
        f"python -m course_utils.experiments.{name}"
    )
