"""The detector of blood cells that the course has trained.

`python -m course_utils.experiments.cell_detector` trains it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_utils.core import load_checkpoint, load_weights, save_checkpoint, seeded
from course_utils.models.detector import Detector

_ASSETS = Path(__file__).parents[1] / "assets"
_FILE = "cell_detector.pt"
_NEEDED = {
    **dict.fromkeys(("model", "arguments", "recipe", "average_precision"), dict),
    "data": str,
    "classes": list,
}
_REMEDY = (
    "install the course again, or train the network again with "
    "python -m course_utils.experiments.cell_detector"
)


@dataclass(frozen=True)
class CellCard:
    """Facts about the detector of blood cells.

    Attributes:
        data: Name of its data set, for `load_boxes`.
        classes: Names of its classes.
        recipe: The arguments of `fit_detector`.
        average_precision: AP50 on the test pictures: "mean", and of each class.
    """

    data: str
    classes: tuple[str, ...]
    recipe: dict[str, Any]
    average_precision: dict[str, float]


def load_cell_detector() -> Detector:
    """Return a trained `Detector` for the pictures of `load_boxes("bccd")`, in eval mode.

    Raises:
        CourseError: If its file is damaged.
    """
    content = _read()
    model = seeded(lambda: Detector(**content["arguments"]), 0)
    load_weights(model, content["model"], _ASSETS / _FILE, f"To correct this, {_REMEDY}.")
    return model.eval()


def cell_detector_card() -> CellCard:
    """Return facts about the network of `load_cell_detector`.

    Raises:
        CourseError: If its file is damaged.
    """
    content = _read()
    return CellCard(
        content["data"],
        tuple(content["classes"]),
        content["recipe"],
        content["average_precision"],
    )


def save_cell_detector(content: dict[str, Any]) -> None:
    """Write the file that `load_cell_detector` reads, in place of the old one.

    Raises:
        CourseError: If the file cannot be written.
    """
    save_checkpoint(_ASSETS / _FILE, content)


def _read() -> dict[str, Any]:
    return load_checkpoint(_ASSETS / _FILE, _NEEDED, remedy=_REMEDY)
