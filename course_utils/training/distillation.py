"""Distillation: a small network, the student, learns the answers of a large one, the teacher.

Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network". The student's loss is

    mix · T² · KL(teacher's probabilities at T ‖ student's at T) + (1 − mix) · cross-entropy

where the probabilities at temperature T are softmax(logits / T). T² keeps the gradient of the first
term about as large as at T = 1, because that of the divergence falls with 1 / T².

>>> from course_utils.data import load_dataset
>>> from course_utils.models import SimpleCNN, load_pretrained
>>> from course_utils.training import fit
>>> loss = Distillation(load_pretrained("first_cnn"), temperature=4.0)
>>> fit(SimpleCNN(), load_dataset("fashion-mnist"), loss=loss, epochs=1)  # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.core import CourseError, device_of, evaluation_mode, is_number, seeded


def soften(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return probabilities at a temperature: softmax(logits / temperature) over the last axis.

    1 changes nothing. Above 1 the classes become more alike, so that the small ones can be seen;
    below 1 the largest one gets nearly all.

    Raises:
        CourseError: If the temperature is not a number above 0.
    """
    return (logits.float() / _checked_temperature(temperature)).softmax(-1)


def distillation_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor | None = None,
    *,
    temperature: float = 4.0,
    mix: float = 0.9,
) -> Tensor:
    """Return the loss of Hinton et al. 2015, a mean over the pictures, never negative.

    Args:
        student, teacher: Logits (N, classes). No gradient goes to the teacher's.
        labels: int64 (N,); not needed with mix=1.
        temperature: Above 0; 2 to 5 is usual.
        mix: Share of the teacher, from 0 (labels alone) to 1 (teacher alone, for pictures without
            labels).

    Raises:
        CourseError: If the two do not have the same pictures and classes, labels are missing, or a
            number is out of its range.
    """
    _check(student, teacher, mix)
    temperature = _checked_temperature(temperature)
    if labels is None and mix < 1:
        raise CourseError(
            f"mix={mix:g} needs labels for the other {1 - mix:.0%} of the loss: give labels, or "
            "mix=1 for the teacher alone."
        )
    loss = torch.zeros((), device=student.device)
    if mix > 0:
        ours = (student.float() / temperature).log_softmax(1)
        # kl_div takes log-probabilities first, and then probabilities, in which 0 is allowed.
        theirs = (teacher.detach().float() / temperature).softmax(1)
        divergence = F.kl_div(ours, theirs, reduction="batchmean")
        loss = loss + mix * temperature**2 * divergence
    if mix < 1:
        loss = loss + (1 - mix) * F.cross_entropy(student.float(), labels)
    return loss


@dataclass
class Distillation:
    """The loss of a student, for `fit(student, data, loss=Distillation(teacher))`.

    The teacher sees the same augmented pictures as the student, which Beyer et al. 2022 ("Knowledge
    distillation: a good teacher is patient and consistent") found to matter most, together with
    many epochs. It is in eval mode, computes without gradients, and does not change; it moves to
    the device of the pictures.

    Args:
        teacher: Returns logits (N, classes) of the same classes, in the same order.
        temperature, mix: As for `distillation_loss`.
        view: Makes the teacher's pictures of the student's, float32 (N, C, H, W), if it needs
            another size or normalisation.

    Raises:
        CourseError: If a number is out of its range.
    """

    teacher: nn.Module
    temperature: float = 4.0
    mix: float = 0.9
    view: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.teacher, nn.Module):
            raise CourseError(
                f"teacher is a {type(self.teacher).__name__}: give a trained network."
            )
        _checked_temperature(self.temperature)
        _check_mix(self.mix)

    def __call__(self, model: Any, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch; `fit` calls it."""
        return self._answers(model(images), self._asked(images), labels)

    def _asked(self, images: Tensor) -> Tensor:
        """Return the teacher's logits for the student's pictures."""
        with torch.no_grad(), evaluation_mode(self.teacher):
            if device_of(self.teacher) != images.device:
                self.teacher.to(images.device)
            return self.teacher(images if self.view is None else self.view(images))

    def _answers(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        settings = {"temperature": self.temperature, "mix": self.mix}
        return distillation_loss(student, teacher, labels, **settings)


class FeatureDistillation(Distillation):
    """A loss with hints: the student also learns the maps inside the teacher.

    Romero et al. 2015, "FitNets: hints for thin deep nets". A 1×1 convolution, the regressor, turns
    the maps of a layer of the student into as many as a layer of the teacher has; the hint loss is
    half the mean squared difference. The loss is

        hint · hint loss + (1 − hint) · (loss of `Distillation`)

    Romero et al. train with hint = 1 first and with 0 afterwards, so call `fit` twice for their
    way. The regressor learns, too, so give its parameters to the optimizer:

    >>> from course_utils.models import SimpleCNN, load_pretrained
    >>> student, teacher = SimpleCNN(widths=(4, 8)), load_pretrained("first_cnn")
    >>> hints = FeatureDistillation(teacher, student, ("conv2", "conv2"), torch.zeros(2, 1, 28, 28))
    >>> optimizer = torch.optim.AdamW([*student.parameters(), *hints.regressor.parameters()])
    >>> hints.regressor
    Conv2d(8, 32, kernel_size=(1, 1), stride=(1, 1))

    Args:
        teacher, temperature, mix, view: As for `Distillation`.
        student: The network that will be trained.
        layers: Names of a layer of the student and of one of the teacher, as in
            `named_modules()`. Each returns maps (N, C, H, W). The larger maps are averaged down to
            the size of the smaller ones.
        example_input: A few pictures as the student takes them.
        hint: Share of the hint loss, from 0 to 1.
        seed: Of the regressor's first weights.

    Raises:
        CourseError: If there is no such layer, it returns no maps, or a number is out of its range.
    """

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        layers: tuple[str, str],
        example_input: Tensor,
        *,
        hint: float = 0.5,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(teacher, **settings)
        if not (is_number(hint) and 0 <= hint <= 1):
            raise CourseError(
                f"hint={hint!r}: give the share of the hints, from 0 (none) to 1 (hints alone)."
            )
        self.hint, self.layers = float(hint), layers
        with torch.no_grad(), evaluation_mode(student):
            (ours, theirs), _, _ = self._maps(student, example_input)
        channels = ours.shape[1], theirs.shape[1]
        self.regressor = seeded(lambda: nn.Conv2d(*channels, 1), seed).to(example_input.device)

    def __call__(self, model: Any, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch; `fit` calls it."""
        maps, student, teacher = self._maps(model, images)
        ours, theirs = _of_one_size(self.regressor(maps[0].float()), maps[1].float())
        loss = self.hint * F.mse_loss(ours, theirs) / 2
        if self.hint < 1:
            loss = loss + (1 - self.hint) * self._answers(student, teacher, labels)
        return loss

    def _maps(self, model: Any, images: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return the maps of the two layers, and the logits of student and teacher."""
        kept: dict[str, Any] = {}
        with contextlib.ExitStack() as hooks:
            networks = {"student": model, "teacher": self.teacher}
            for (who, network), name in zip(networks.items(), self.layers, strict=True):
                hooks.callback(_keep_output(network, name, who, kept).remove)
            student, teacher = model(images), self._asked(images)
        for who, name in zip(networks, self.layers, strict=True):
            maps = kept.get(who)
            if not isinstance(maps, Tensor) or maps.dim() != 4:
                found = "was not called" if maps is None else "returns no maps (N, C, H, W)"
                raise CourseError(
                    f"The layer {name!r} of the {who} {found}: choose a convolution that it calls."
                )
        return [kept["student"], kept["teacher"].detach()], student, teacher


def _keep_output(network: Any, name: str, who: str, kept: dict[str, Any]) -> Any:
    """Let a layer leave what it returns in `kept`; return the handle that ends this."""
    try:
        layer = network.get_submodule(name)
    except AttributeError as error:
        names = [one for one, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
        raise CourseError(
            f"The {who} has no layer {name!r}; its convolutions are {', '.join(names) or 'none'}."
        ) from error
    return layer.register_forward_hook(lambda _layer, _inputs, output: kept.update({who: output}))


def _of_one_size(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """Return both maps, averaged down to the smaller height and the smaller width."""
    size = tuple(map(min, ours.shape[2:], theirs.shape[2:]))
    return F.adaptive_avg_pool2d(ours, size), F.adaptive_avg_pool2d(theirs, size)


def _checked_temperature(temperature: Any) -> float:
    if not (is_number(temperature) and 0 < temperature < math.inf):
        raise CourseError(
            f"temperature={temperature!r}: give a number above 0; 1 changes nothing, 2 to 5 is "
            "usual."
        )
    return float(temperature)


def _check_mix(mix: Any) -> None:
    if not (is_number(mix) and 0 <= mix <= 1):
        raise CourseError(
            f"mix={mix!r}: give the teacher's share, from 0 (labels alone) to 1 (teacher alone)."
        )


def _check(student: Any, teacher: Any, mix: float) -> None:
    _check_mix(mix)
    for name, logits in (("student", student), ("teacher", teacher)):
        if not isinstance(logits, Tensor) or logits.dim() != 2:
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise CourseError(
                f"The {name} returns {found}, but logits (N, classes) are needed: give networks "
                "that classify."
            )
    if student.shape[1] != teacher.shape[1]:
        raise CourseError(
            f"The teacher knows {teacher.shape[1]} classes and the student {student.shape[1]}: "
            "both need the same classes in the same order. Give the teacher a new last layer and "
            "train it on the student's classes."
        )
    if len(student) != len(teacher):
        raise CourseError(
            f"The student answers for {len(student)} pictures and the teacher for {len(teacher)}: "
            "show both the same pictures."
        )
