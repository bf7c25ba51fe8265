"""The temperature panel: what a teacher tells its student about one photograph."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.core import CourseError, evaluation_mode
from course_utils.data import PHOTOGRAPHS, load_photograph
from course_utils.models import Card, card_of, load_pretrained
from course_utils.plots import figure as f
from course_utils.training import soften
from course_utils.widgets.controls import steps_slider
from course_utils.widgets.panel import Panel, choice

_WIDTH, _HEIGHT, _SHOWN = 700, 300, 8
TEMPERATURES = (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 20)


@dataclass(frozen=True)
class Softened:
    """The probabilities of a teacher at a temperature.

    Attributes:
        photograph: uint8 (3, height, width).
        probabilities: The largest ones by class, in the order of the logits.
        others: Number of the other classes, and their probability together.
        alike: Number of equally probable classes that would be as uncertain: e to the power of the
            entropy.
    """

    photograph: Tensor
    temperature: float
    probabilities: dict[str, float]
    others: tuple[int, float]
    alike: float


def softened(
    photograph: Tensor, logits: Tensor, classes: tuple[str, ...], temperature: float
) -> Softened:
    """Return what the panel shows of one photograph.

    Args:
        logits: (classes,), of the teacher.
    """
    shares = soften(logits.double(), temperature)
    first = logits.argsort(descending=True)[:_SHOWN].tolist()
    largest = {classes[k]: shares[k].item() for k in first}
    rest = max(0.0, 1 - sum(largest.values()))
    entropy = -torch.xlogy(shares, shares).sum()
    counts = len(classes) - len(first), rest
    return Softened(photograph, temperature, largest, counts, entropy.exp().item())


def draw(result: Softened) -> bytes:
    """Draw the photograph, and beside it a bar for each class, as a PNG."""
    figure = f.Figure(_WIDTH, _HEIGHT)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.7))
    left.imshow(result.photograph.permute(1, 2, 0).numpy())
    left.set_axis_off()
    count, rest = result.others
    values = result.probabilities | ({f"{count} other classes": rest} if count else {})
    f.style(right, f"Probability at T = {result.temperature:g}", percent="x", grid="x")
    f.name_rows(right, [name if len(name) < 25 else f"{name[:23]}…" for name in values])
    colours = [f.BLUE] * len(result.probabilities) + [f.RULE]
    right.barh(range(len(values)), values.values(), color=colours[: len(values)], height=0.62)
    for row, value in enumerate(values.values()):
        f.write_beside(right, f"{value:.1%}", (value, row), 5)
    right.set_xlim(0, 1.12)
    right.set_xticks((0, 0.25, 0.5, 0.75, 1))
    return figure.to_png(compress_level=1)


class TemperaturePanel(Panel):
    """Temperature panel: photograph × temperature -> the teacher's probabilities.

    Args:
        teacher: A trained network. Default: EfficientNet-Lite0.
        card: Its classes and pictures; None for that of a network of `load_pretrained`.
        settings: First values of the controls `photograph` and `temperature`.

    Raises:
        CourseError: If there is no card, or a control cannot have such a value.
    """

    def __init__(
        self, teacher: nn.Module | None = None, *, card: Card | None = None, **settings: Any
    ):
        teacher = load_pretrained("efficientnet_lite0") if teacher is None else teacher
        card = card_of(teacher) if card is None else card
        if card is None:
            raise CourseError(
                "Of this network no classes are known: give card=..., such as pretrained_card(...)."
            )
        self._card = card

        @functools.cache
        def logits(name: str) -> Tensor:
            picture = card.preprocess(load_photograph(name))
            with torch.no_grad(), evaluation_mode(teacher):
                return teacher(picture[None])[0]

        self._logits = logits
        controls = {
            "photograph": choice("photograph", list(PHOTOGRAPHS)),
            "temperature": steps_slider("temperature", TEMPERATURES, 1),
        }
        super().__init__(controls, title="Temperature panel", width=_WIDTH, initial=settings)

    def compute(self, *, photograph: str, temperature: float) -> Softened:
        logits = self._logits(photograph)
        return softened(load_photograph(photograph), logits, self._card.classes, temperature)

    def picture(self, result: Softened) -> bytes:
        return draw(result)

    def describe(self, result: Softened) -> str:
        name, share = next(iter(result.probabilities.items()))
        return (
            f"T = {result.temperature:g}: {name} {share:.0%}. As uncertain as a choice among "
            f"{result.alike:.0f} equally probable classes."
        )

    def code(self, result: Softened) -> str:
        return f"soften(logits, temperature={result.temperature:g})"


def temperature_panel(teacher: nn.Module | None = None, **keywords: Any) -> TemperaturePanel:
    """Open the temperature panel; the arguments are those of `TemperaturePanel`."""
    return TemperaturePanel(teacher, **keywords)
