"""Exercises of notebook 05_3: FGSM, PGD's way back, the worst group, membership, remedies."""

from __future__ import annotations

import torch
from torch import Tensor

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Wrong
from course_utils.exercises.base import exercise


def _rand(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def _check_fgsm_step(answer: Answer) -> str:
    middle = torch.full((1, 1, 2, 3), 0.5)
    slope = torch.tensor([[[[3.0, -0.001, 0.0], [-9.0, 0.2, 1e-7]]]])
    cases = [
        (middle, slope, 0.1, "a grey image"),
        (torch.zeros(1, 1, 2, 3), slope, 0.25, "a black image"),
        (torch.ones(1, 1, 2, 3), slope, 8 / 255, "a white image"),
        (middle, slope, 0.0, "ε = 0"),
        (_rand(1, 3, 3, 4, 4), _rand(2, 3, 3, 4, 4) - 0.5, 0.3, "three images in colour"),
    ]
    for pixels, gradient, epsilon, what in cases:
        where = f"{what}, ε = {epsilon:.3g}"
        got = answers.tensor(
            answer(pixels, gradient, epsilon, where=where), where, tuple(pixels.shape)
        )
        want = (pixels + epsilon * gradient.sign()).clamp(0, 1)
        mistakes = [
            (pixels + epsilon * gradient, "each pixel moves by ε, however long its gradient is"),
            (pixels + epsilon * gradient.sign(), "pixels stay from 0 to 1"),
            ((pixels - epsilon * gradient.sign()).clamp(0, 1), "go uphill: the loss must grow"),
        ]
        because = next((why for wrong, why in mistakes if answers.alike(got, wrong)), "")
        answers.compare_tensors(got, want, where, because)
    return "That is the whole of FGSM: one gradient, one sign, one step."


@exercise(
    "05_3.fgsm_step",
    check=_check_fgsm_step,
    hints=(
        "The gradient says for each pixel whether the loss grows when the pixel becomes brighter. "
        "Which of its properties does FGSM use, and which not?",
        "torch.sign is −1, 0 or 1. By how much may each pixel change?",
        "Afterwards some pixels may be below 0 or above 1: look at Tensor.clamp.",
    ),
)
def fgsm_step(pixels: torch.Tensor, gradient: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Compute the attacked images of FGSM.

    pixels: (N, C, H, W), from 0 to 1. gradient: of the loss, of the same shape. Each pixel moves by
    epsilon in the direction that makes the loss larger, and stays from 0 to 1.
    """
    return (pixels + epsilon * gradient.sign()).clamp(0, 1)


def _check_nearest_allowed(answer: Answer) -> str:
    grey = torch.full((1, 1, 1, 5), 0.5)
    cases = [
        (torch.tensor([[[[0.5, 0.9, 0.1, 0.55, 0.45]]]]), grey, 0.1, "a grey image"),
        (torch.tensor([[[[-0.3, 0.05, 0.3, 0.0, -0.01]]]]), 0 * grey, 0.1, "a black image"),
        (torch.tensor([[[[1.3, 0.95, 0.7, 1.0, 1.01]]]]), 2 * grey, 0.1, "a white image"),
        (grey + 0.2, grey, 0.0, "ε = 0"),
        (3 * _rand(3, 2, 3, 4, 4) - 1, _rand(4, 2, 3, 4, 4), 0.2, "two images in colour"),
    ]
    for changed, pixels, epsilon, what in cases:
        where = f"{what}, ε = {epsilon:.3g}"
        got = answers.tensor(
            answer(changed, pixels, epsilon, where=where), where, tuple(pixels.shape)
        )
        inside = torch.minimum(torch.maximum(changed, pixels - epsilon), pixels + epsilon)
        mistakes = [
            (inside, "pixels stay from 0 to 1, too"),
            (changed.clamp(0, 1), "no pixel may be further than ε from its old value"),
            (
                (pixels + epsilon * (changed - pixels).sign()).clamp(0, 1),
                "a change that is allowed already stays as it is",
            ),
        ]
        because = next((why for wrong, why in mistakes if answers.alike(got, wrong)), "")
        answers.compare_tensors(got, inside.clamp(0, 1), where, because)
    return "PGD is only this: a small step of FGSM, then back to here, again and again."


@exercise(
    "05_3.nearest_allowed",
    check=_check_nearest_allowed,
    hints=(
        "Each pixel has its own lowest and highest allowed value. Which two rules set them?",
        "The change, changed − pixels, must be from −ε to ε: clamp it, and add it to pixels again.",
        "Then one more clamp, for the range of pixels.",
    ),
)
def nearest_allowed(changed: torch.Tensor, pixels: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Compute the nearest images to `changed` that an attack of size epsilon may show.

    changed, pixels: attacked and original images, (N, C, H, W). A pixel may differ from the
    original by at most epsilon, and is from 0 to 1.
    """
    return (pixels + (changed - pixels).clamp(-epsilon, epsilon)).clamp(0, 1)


def _check_worst_group(answer: Answer) -> str:
    cases = [
        ([1, 1, 0, 1], [0, 0, 1, 1], "two groups"),
        ([1, 0, 0, 0, 1, 1], [2, 2, 5, 5, 5, 5], "groups whose numbers do not begin at 0"),
        ([0] + [1] * 9 + [0, 0, 1, 1], [0] * 10 + [1] * 4, "a large and a small group"),
        ([0, 1, 1], [7, 3, 3], "a group of one image"),
        ([1, 1], [1, 1], "one group, and all is right"),
    ]
    for seed in range(3):
        draw = _rand(seed, 2, 50)
        cases.append(((draw[0] < 0.8).int().tolist(), (4 * draw[1]).int().tolist(), "random"))
    for mark, group, what in cases:
        right, groups = torch.tensor(mark).bool(), torch.tensor(group)
        shares = {k: right[groups == k].double().mean().item() for k in sorted(set(group))}
        where = f"{what}: for {len(mark)} images in {len(shares)} group{'s' * (len(shares) > 1)}"
        got = answer(right, groups, where=where)
        read = answers.number(got, where)
        mistakes = [
            (right.double().mean().item(), "this is the accuracy of all images"),
            (max(shares.values()), "this is the best group"),
            (sum(shares.values()) / len(shares), "this is the mean of the groups"),
            (1 - min(shares.values()), "this is the share of mistakes"),
        ]
        answers.compare_number(read, min(shares.values()), where, answers.reason(mistakes, read))
    return "Write it beside the accuracy: a mean hides the group that pays for it."


@exercise(
    "05_3.worst_group",
    check=_check_worst_group,
    hints=(
        "groups.unique() returns every number of a group once.",
        "Which images belong to the group k? A comparison chooses them in `right`.",
        "The mean of True and False, as floats, is a share. Keep the smallest.",
    ),
)
def worst_group(right: torch.Tensor, groups: torch.Tensor) -> float:
    """Compute the accuracy of the group with the lowest one.

    right: True for right answers, bool (N,). groups: number of the group of each image, int64
    (N,); any numbers.
    """
    return min(right[groups == k].double().mean().item() for k in groups.unique())


def _check_advantage(answer: Answer) -> str:
    cases = [
        ([0.1, 0.1, 0.1, 0.5], [0.1, 0.9, 0.9, 0.9], "an overfitted network"),
        ([0.2, 0.4], [0.2, 0.4], "equal losses"),
        ([0.0, 0.0, 3.0], [0.5, 1.0, 2.0], "one training image with a large loss"),
        ([0.3, 0.3], [0.3, 0.4, 0.1, 0.9], "a loss that is equal to the threshold"),
        ([2.0, 4.0], [0.1, 0.2], "training images that are harder"),
    ]
    for seed in range(3):
        draw = _rand(seed, 2, 40).double()
        cases.append((draw[0].tolist(), (draw[1] * 1.5).tolist(), "random losses"))
    for seen, unseen, what in cases:
        training, others = torch.tensor(seen).double(), torch.tensor(unseen).double()
        where = f"{what}: for {len(seen)} training images and {len(unseen)} others"
        got = answers.number(answer(training, others, where=where), where)
        threshold = training.mean()
        found, alarms = ((part <= threshold).double().mean() for part in (training, others))
        strict = [(part < threshold).double().mean() for part in (training, others)]
        mistakes = [
            (float(found), "subtract the false alarms"),
            (float(alarms - found), "the training images come first"),
            (float(strict[0] - strict[1]), "a loss equal to the threshold counts as found"),
        ]
        answers.compare_number(got, float(found - alarms), where, answers.reason(mistakes, got))
    return "0 is a coin, 1 a certainty. membership_attack(...).advantage is the same number."


@exercise(
    "05_3.advantage",
    check=_check_advantage,
    hints=(
        "The threshold is one number, from the training losses alone.",
        "The attack says “training image” if the loss is at most the threshold. How often does "
        "it say so for the training images, and how often for the others?",
        "(losses <= threshold).double().mean() is such a share. The advantage is a difference.",
    ),
)
def advantage(training: torch.Tensor, others: torch.Tensor) -> float:
    """Compute the advantage of the membership attack of Yeom et al. (2018).

    training, others: losses of training images and of other images, float (N,) and (M,). The
    attack takes an image for a training image if its loss is at most the mean of `training`. The
    advantage is the share of training images that it finds, minus its share of false alarms.
    """
    threshold = training.mean()
    found, alarms = ((part <= threshold).double().mean().item() for part in (training, others))
    return found - alarms


REMEDIES = (
    "adversarial training",
    "augmentation",
    "int8 and a smaller network",
    "more images of the group",
    "regularisation and more images",
)
_WHY = {
    "A": "the images change by chance, nobody looks for the worst change",
    "B": "somebody with the network's gradients looks for the worst change",
    "C": "the mean is good; who is missing among the training images?",
    "D": "the training losses are much smaller than those of other images",
    "E": "nothing is wrong with its answers; they come too late",
}


def _check_remedies(answer: object) -> str:
    if not isinstance(answer, dict):
        raise answers.wrong_kind(answer, "a dict with the keys 'A' to 'E'")
    missing = [name for name in _WHY if answer.get(name) in (None, ...)]
    if missing:
        raise answers.Unsolved(f"there is no remedy for {', '.join(missing)}")
    for name, want in remedies().items():
        got = answer[name]
        if got not in REMEDIES:
            known = ", ".join(map(repr, REMEDIES))
            raise Wrong(f"{name}: {answers.one_line(repr(got), 60)} is not one of {known}")
        if got != want:
            raise Wrong(f"{name}: {got!r} is not the first remedy to try: {_WHY[name]}")
    return "Each has its price, so measure first which of the five problems you have."


@exercise(
    "05_3.remedies",
    check=_check_remedies,
    is_value=True,
    hints=(
        "Which problems come from chance, and which from somebody who means it?",
        "One of the remedies makes nothing more accurate and nothing safer. What is it for?",
        "Membership is the gap between training and test; a bad group is a lack of examples.",
    ),
)
def remedies() -> dict[str, str]:
    """Choose the first remedy to try for each of the five networks, with these words.

    "adversarial training", "augmentation", "int8 and a smaller network", "more images of the
    group", "regularisation and more images"; each once: {"A": "...", "B": "...", ...}
    """
    return {
        "A": "augmentation",
        "B": "adversarial training",
        "C": "more images of the group",
        "D": "regularisation and more images",
        "E": "int8 and a smaller network",
    }
