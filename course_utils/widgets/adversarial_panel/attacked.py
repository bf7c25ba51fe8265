"""One picture before and after an attack, and the accuracy under attacks of every size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_utils.core import whole_number
from course_utils.data import ImageSet, load_photograph
from course_utils.metrics import (
    AttackLoss,
    ClassProbability,
    attack,
    attack_accuracies,
    away_from,
    pgd,
    probabilities,
    sign_noise,
    towards,
)
from course_utils.models import Card

LEVELS = (0, 1, 2, 4, 8, 12, 16, 24, 32)
"""Largest changes of a pixel, in grey levels of 255."""
CURVE = (0, 4, 8, 16, 32)
"""Those at which the accuracy is measured."""
NAMES = {"noise": "noise", "fgsm": "FGSM", "pgd": "PGD"}


@dataclass(frozen=True, eq=False)
class Look:
    """A picture, and what a network says of it.

    Attributes:
        title: What was done with it.
        picture: Float32 (C, H, W), from 0 to 1.
        shares: Probabilities of all classes, (classes,).
    """

    title: str
    picture: Tensor
    shares: Tensor

    def first(self, classes: tuple[str, ...]) -> ClassProbability:
        """Return the most probable class."""
        k = int(self.shares.argmax())
        return ClassProbability(classes[k], self.shares[k].item(), k)


@dataclass(frozen=True, eq=False)
class Attacked:
    """An attack on one picture, as the panel shows it.

    Attributes:
        network, attack, level, steps: The settings; `level` is ε in grey levels of 255.
        classes: Names of the classes.
        label: True class of the picture.
        before, after: The picture without and with the change.
        curves: Of each attack: accuracies at the sizes of `CURVE`.
        counted: Number of pictures behind each accuracy.
    """

    network: str
    attack: str
    level: int
    steps: int
    classes: tuple[str, ...]
    label: int
    before: Look
    after: Look
    curves: dict[str, list[float]]
    counted: int


def attack_one(
    model: nn.Module, picture: Tensor, label: int, kind: str, level: int, steps: int, scale: dict
) -> tuple[Look, Look]:
    """Return one picture, uint8 (C, H, W), before and after an attack.

    Args:
        scale: mean and std of the network's pictures.
    """
    images, labels = picture[None], torch.tensor([label])
    changed = attack(kind, model, images, labels, epsilon=level / 255, steps=steps, **scale)
    looks = []
    for title, one in (("before", images.float() / 255), ("after", changed)):
        looks.append(Look(title, one[0].cpu(), probabilities(model, one, **scale)[0].cpu()))
    return looks[0], looks[1]


def accuracy_curve(
    model: nn.Module, pictures: ImageSet, kind: str, steps: int, scale: dict
) -> list[float]:
    """Return the accuracy under an attack at each size of `CURVE`."""
    sizes = [level / 255 for level in CURVE]
    settings = {"attacks": [kind], "steps": steps, **scale}
    return attack_accuracies(model, pictures, sizes, **settings).accuracy.tolist()


@dataclass(frozen=True, eq=False)
class Misled:
    """An attack on a photograph, as the panel of targeted attacks shows it.

    Attributes:
        photograph, target, level, steps: The settings.
        classes: Names of the classes.
        watched: Class that the attack aims at; None if it leads away.
        looks: The photograph as it is, with noise, and attacked; without the last one before the
            attack.
        path: Probability of the watched class after each step; of the first class if there is none.
    """

    photograph: str
    target: str
    level: int
    steps: int
    classes: tuple[str, ...]
    watched: int | None
    looks: tuple[Look, ...]
    path: tuple[float, ...] = ()


class PhotographAttack:
    """Attacks photographs for a network with a card; it remembers what it has computed.

    Args:
        model: The network.
        card: Of the network.

    Attributes:
        likely: Number of probable classes that an attack without a target leads away from.
    """

    def __init__(self, model: nn.Module, card: Card) -> None:
        self.model, self.card = model, card
        self.likely = min(5, len(card.classes) - 1)
        self._scale = {"mean": card.mean, "std": card.std}
        self._found: dict[tuple, tuple[Look, tuple[float, ...]]] = {}
        self._plain: dict[str, Look] = {}
        self._noisy: dict[tuple[str, int], Look] = {}

    def glance(self, photograph: str, target: str, level: int, steps: int) -> Misled:
        """Return what is known without an attack: the photograph, noise, and a stored result."""
        plain = self._look(photograph)
        key = photograph, level
        if key not in self._noisy:
            noisy = sign_noise(plain.picture[None], level / 255)
            self._noisy[key] = self._seen("with noise", noisy)
        looks, path = [plain, self._noisy[key]], ()
        if (known := self._found.get((photograph, target, level, steps))) is not None:
            looks.append(known[0])
            path = known[1]
        watched = None if target not in self.card.classes else self.card.classes.index(target)
        return Misled(
            photograph, target, level, steps, self.card.classes, watched, tuple(looks), path
        )

    def run(
        self,
        photograph: str,
        target: str,
        level: int,
        steps: int,
        on_step: Callable[[int], bool] = lambda step: False,
    ) -> bool:
        """Attack, and remember the result; `on_step` is called before each step.

        Returns:
            Whether it is complete; not if `on_step` returned True.
        """
        plain = self._look(photograph)
        whole_number("steps", steps, 1)
        rise, watched = self._loss(target, plain)
        pixels = plain.picture[None]
        path: list[float] = []
        stopped = False

        def watch(logits: Tensor) -> Tensor:
            nonlocal stopped
            path.append(logits.detach().softmax(1)[0, watched].item())
            stopped = stopped or on_step(len(path))
            if stopped:
                raise _Stopped
            return rise(logits)

        try:
            settings = {"epsilon": level / 255, "steps": steps, "loss": watch, "seed": None}
            changed = pgd(self.model, pixels, **settings, **self._scale)
        except _Stopped:
            return False
        look = self._seen("attacked", changed)
        path.append(look.shares[watched].item())
        self._found[photograph, target, level, steps] = look, tuple(path)
        return True

    def _loss(self, target: str, plain: Look) -> tuple[AttackLoss, int]:
        """Return the loss of an attack, and the class to watch."""
        if target in self.card.classes:
            k = self.card.classes.index(target)
            return towards(k), k
        likely = plain.shares.topk(self.likely).indices.tolist()
        return away_from(likely), likely[0]

    def _look(self, photograph: str) -> Look:
        if photograph not in self._plain:
            pixels = self.card.pixels(load_photograph(photograph))
            self._plain[photograph] = self._seen("as it is", pixels[None])
        return self._plain[photograph]

    def _seen(self, title: str, pixels: Tensor) -> Look:
        return Look(title, pixels[0], probabilities(self.model, pixels, **self._scale)[0])


class _Stopped(Exception):
    """The reader pressed Stop."""
