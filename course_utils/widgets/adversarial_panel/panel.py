"""The adversarial panel: attack a picture of the course's data, live."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from torch import nn

from course_utils.core import CourseError, check_network, whole_number
from course_utils.data import Dataset, load_dataset
from course_utils.metrics import ATTACKS
from course_utils.models import load_pretrained
from course_utils.widgets.adversarial_panel.attacked import (
    LEVELS,
    NAMES,
    Attacked,
    accuracy_curve,
    attack_one,
)
from course_utils.widgets.adversarial_panel.picture import WIDTH, describe, draw
from course_utils.widgets.controls import code_toggle, steps_slider
from course_utils.widgets.panel import Panel, choice, choice_slider, int_slider

OFFERED = ("first_cnn", "small_resnet")
STEPS = (1, 2, 5, 10, 20)
MOST = 100
"""Number of test pictures to choose from, and to measure the accuracy on."""


class AdversarialPanel(Panel):
    """Change every pixel of a picture by at most ε, and see what the network takes it for.

    The upper row shows the picture before, the change (much stronger than it is), and the picture
    after. Below are the probabilities of the classes, and the accuracy on all pictures of the panel
    for several ε. PGD has a curve once it has been chosen. The network does not change.

    Args:
        models: One network, or several by name. Default: those of notebooks 02_2 and 04_1.
        data: Default: Fashion-MNIST; up to 100 test pictures are used, the same number of each
            class if possible.
        settings: First values of the controls: `network`, `picture`, `attack` ("noise", "fgsm" or
            "pgd"), `level` (ε in grey levels of 255) and `steps` (of PGD).

    Raises:
        CourseError: If there is no network or no test picture, or a control cannot have a value.
    """

    def __init__(
        self,
        models: nn.Module | Mapping[str, nn.Module] | None = None,
        data: Dataset | None = None,
        **settings: Any,
    ):
        self.data = load_dataset("fashion-mnist") if data is None else data
        self._own = models is not None
        if models is None:
            models = {name: load_pretrained(name) for name in OFFERED}
        self._models = dict(models) if isinstance(models, Mapping) else {"model": models}
        if not self._models:
            raise CourseError("There is no network to attack: give at least one.")
        for model in self._models.values():
            check_network(model)
        if not len(self.data.test):
            raise CourseError("There is no test picture to attack: give data with at least one.")
        self.pictures = self.data.test.few(min(MOST, len(self.data.test)))
        self._scale = {"mean": self.data.mean, "std": self.data.std}

        @functools.cache
        def curve(network: str, kind: str, steps: int) -> list[float]:
            model = self._models[network]
            return accuracy_curve(model, self.pictures, kind, steps, self._scale)

        self._curve = curve
        self._seen: dict[str, int] = {}  # steps of the last PGD of each network
        controls = {
            "network": choice("network", list(self._models)),
            "picture": int_slider("picture", 0, 0, len(self.pictures) - 1),
            "attack": choice("attack", [(NAMES[kind], kind) for kind in ATTACKS], "fgsm"),
            "level": choice_slider("ε", [(f"{one}/255", one) for one in LEVELS], 8),
            "steps": steps_slider("steps (PGD)", STEPS, 10),
        }
        super().__init__(controls, title="Adversarial panel", width=WIDTH, initial=settings)
        left = self.children[1].children[0]
        left.children += (code_toggle(self._code),)

    def compute(
        self, *, network: str, picture: int, attack: str, level: int, steps: int
    ) -> Attacked:
        whole_number("picture", picture, 0, len(self.pictures) - 1)
        model, label = self._models[network], int(self.pictures.labels[picture])
        image = self.pictures.images[picture]
        looks = attack_one(model, image, label, attack, level, steps, self._scale)
        if attack == "pgd":
            self._seen[network] = steps
        curves = {kind: self._curve(network, kind, 1) for kind in ("noise", "fgsm")}
        if network in self._seen:
            curves["pgd"] = self._curve(network, "pgd", self._seen[network])
        names, count = self.data.classes, len(self.pictures)
        return Attacked(network, attack, level, steps, names, label, *looks, curves, count)

    def picture(self, result: Attacked) -> bytes:
        return draw(result)

    def describe(self, result: Attacked) -> str:
        return describe(result)

    def describe_unmeasured(self, result: Attacked) -> str:
        return describe(result, measured=False)

    def code(self, result: Attacked) -> str:
        lines = ["from course_utils.metrics import attack, probabilities", ""]
        if not self._own:
            lines[:0] = ["from course_utils.data import load_dataset"]
            lines[2:2] = ["from course_utils.models import load_pretrained"]
            lines += ['data = load_dataset("fashion-mnist")']
            lines += [f'model = load_pretrained("{result.network}")']
        else:
            lines += ["# model, data: the network and the data that you gave the panel"]
        number, steps = self.settings["picture"], ""
        if result.attack == "pgd":
            steps = f", steps={result.steps}"
        lines += [
            f"few = data.test.few({len(self.pictures)})",
            f"one = few.subset([{number}])",
            'scale = {"mean": data.mean, "std": data.std}',
            f"settings = dict(epsilon={result.level} / 255{steps}, **scale)",
            f'changed = attack("{result.attack}", model, one.images, one.labels, **settings)',
            "shares = probabilities(model, changed, **scale)",
        ]
        return "\n".join(lines) + "\n"


def adversarial_panel(
    models: nn.Module | Mapping[str, nn.Module] | None = None,
    data: Dataset | None = None,
    **settings: Any,
) -> AdversarialPanel:
    """Open the adversarial panel; the arguments are those of `AdversarialPanel`."""
    return AdversarialPanel(models, data, **settings)
