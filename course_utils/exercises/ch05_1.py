"""Exercises of notebook 05_1: normalisation, statistics, mirroring, a split, averaged weights."""

from __future__ import annotations

import torch
from torch import Tensor

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Case, Wrong
from course_utils.exercises.base import exercise


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _check_normalised_range(answer: Answer) -> str:
    cases = [(0.5, 0.5), (0.5, 0.25), (0.0, 1.0), (0.286, 0.353), (0.9, 0.1)]
    for mean, std in cases:
        where = f"for mean {mean:g} and deviation {std:g}:"
        got = answer(mean, std, where=where)
        if not isinstance(got, (tuple, list, Tensor)) or len(got) != 2:
            raise answers.wrong_kind(got, "two numbers, the smallest and the largest value", where)
        for value, pixel, name in zip(got, (0.0, 1.0), ("smallest", "largest"), strict=True):
            read = answers.number(value, f"{where} the {name} value")
            because = "this is a pixel before normalisation" if read == pixel else ""
            because = because or f"a pixel of {pixel:g} becomes ({pixel:g} − mean) / deviation"
            answers.compare_number(read, (pixel - mean) / std, f"{where} the {name} value", because)
    return "With 0.5 and 0.5 it is −1 to 1, for every data set; the mean is 0 only by chance."


@exercise(
    "05_1.normalised_range",
    check=_check_normalised_range,
    hints=(
        "Before Normalize, the pixels lie between 0 (black) and 1 (white).",
        "Normalize subtracts the mean and divides by the deviation: the same for every pixel.",
        "So the smallest value is that of a black pixel, and the largest that of a white one.",
    ),
)
def normalised_range(mean: float, std: float) -> tuple[float, float]:
    """Compute the smallest and the largest value that Normalize(mean, std) can return.

    The pixels are between 0 and 1 before it. std is above 0.
    """
    return (0 - mean) / std, (1 - mean) / std


def _check_channel_statistics(answer: Answer) -> str:
    ramp = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).to(torch.uint8)
    cases = [(ramp, "two pictures of three channels")]
    for seed, shape in enumerate([(6, 1, 8, 8), (5, 3, 6, 4), (1, 2, 5, 5)]):
        images = torch.randint(0, 256, shape, generator=_generator(seed)).to(torch.uint8)
        cases.append((images // (1 + torch.arange(shape[1]).view(1, -1, 1, 1)).byte(), "random"))
    for images, what in cases:
        where = f"{what}: for pictures of shape {tuple(images.shape)}:"
        got = answer(images, where=where)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise answers.wrong_kind(got, "two tensors, means and deviations", where)
        pixels = images.double() / 255
        wanted = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3), correction=0)
        for value, want, name in zip(got, wanted, ("means", "deviations"), strict=True):
            read = answers.tensor(value, f"{where} the {name}:", tuple(want.shape))
            if torch.allclose(read, want * 255, rtol=1e-3):
                raise Wrong(f"{where} the {name} are those of pixels from 0 to 255: divide by 255")
            if not torch.allclose(read, want, rtol=2e-2, atol=1e-6):
                shown = ", ".join(f"{v:.4f}" for v in want.tolist())
                raise Wrong(
                    f"{where} the {name} should be {shown}: take them over all pictures and all "
                    "places, separately for each channel"
                )
    return "data.train.mean_std() returns the same; it is what data.normalise uses."


@exercise(
    "05_1.channel_statistics",
    check=_check_channel_statistics,
    hints=(
        "Whole numbers have no mean in PyTorch: make floats of them first.",
        "images.float() / 255 has pixels from 0 to 1. Which of its four axes should remain?",
        "mean(dim=(0, 2, 3)) leaves the axis of the channels; std takes the same dim.",
    ),
)
def channel_statistics(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the mean and the standard deviation of each channel.

    images: uint8 (N, C, H, W). Both results are (C,), for pixels between 0 and 1.
    """
    pixels = images.float() / 255
    return pixels.mean(dim=(0, 2, 3)), pixels.std(dim=(0, 2, 3))


def _check_mirrored(answer: Answer) -> str:
    for seed, shape in enumerate([(2, 1, 2, 3), (5, 3, 4, 4), (4, 1, 3, 5), (3, 1, 4, 4)]):
        images = torch.randint(0, 256, shape, generator=_generator(seed)).to(torch.uint8)
        coins = torch.arange(shape[0]) % 2 == 0 if seed < 3 else torch.zeros(3, dtype=torch.bool)
        where = f"for {shape[0]} pictures and the coins {coins.tolist()}:"
        before = images.clone()
        got = answers.tensor(answer(images, coins, where=where, copy=False), where, shape)
        if not torch.equal(images, before):
            raise Wrong(f"{where} your function changes the pictures that it was given: copy first")
        want = torch.where(coins.view(-1, 1, 1, 1), images.flip(3), images).double()
        if torch.equal(got, want):
            continue
        upside = torch.where(coins.view(-1, 1, 1, 1), images.flip(2), images).double()
        swapped = torch.where(coins.view(-1, 1, 1, 1), images, images.flip(3)).double()
        for wrong, why in (
            (upside, "they stand on their heads: mirror left and right, the last axis"),
            (swapped, "the others are mirrored: True means mirror"),
            (images.flip(3).double(), "all are mirrored, also those whose coin is False"),
        ):
            if torch.equal(got, wrong):
                raise Wrong(f"{where} {why}")
        raise Wrong(f"{where} the pictures are not right: flip(3) mirrors a batch")
    return "Augment(flip=True) does this with new coins in every epoch."


@exercise(
    "05_1.mirrored",
    check=_check_mirrored,
    hints=(
        "images.flip(3) is the whole batch, mirrored left and right.",
        "Choose between two batches: torch.where(condition, a, b).",
        "The condition needs four axes, so that it fits the pictures: coins[:, None, None, None].",
    ),
)
def mirrored(images: torch.Tensor, coins: torch.Tensor) -> torch.Tensor:
    """Mirror, left and right, the pictures whose coin is True.

    images: (N, C, H, W). coins: bool (N,). Return new pictures; do not change the old ones.
    """
    return torch.where(coins[:, None, None, None], images.flip(3), images)


def _check_stratified_split(answer: Answer) -> str:
    cases = [
        (torch.arange(3).repeat_interleave(10), 2, "sorted by class"),
        (torch.arange(4).repeat(8), 3, "classes in turn"),
        (torch.tensor([0] * 20 + [1] * 6 + [2] * 4), 2, "classes of unequal size"),
        (torch.tensor([1, 0, 1, 1, 0, 2, 2, 0, 2, 1]), 1, "a small set"),
    ]
    for labels, count, what in cases:
        classes = labels.unique().tolist()
        where = f"{what}: with {count} of each of {len(classes)} classes:"
        got = answer(labels, count, where=where)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise answers.wrong_kind(got, "two tensors of places", where)
        train, held = (answers.tensor(one, where).long().flatten() for one in got)
        both = torch.cat([train, held]).sort().values
        if len(both) != len(labels) or not torch.equal(both, torch.arange(len(labels))):
            raise Wrong(
                f"{where} each of the {len(labels)} places has to be in exactly one of the two "
                f"parts; yours have {len(train)} and {len(held)}, {len(both.unique())} different"
            )
        for label in classes:
            found = int((labels[held] == label).sum())
            if found != count:
                raise Wrong(
                    f"{where} the second part has {found} pictures of class {label}; it should "
                    f"have {count} of every class"
                )
    return "load_dataset(name, validation=0.1) splits in this way, with a share of each class."


@exercise(
    "05_1.stratified_split",
    check=_check_stratified_split,
    hints=(
        "Go through the classes: (labels == label).nonzero()[:, 0] are the places of one class.",
        "The first `count` of these places go to one part, the others to the other part.",
        "Collect the parts in two lists, and join each with torch.cat.",
    ),
)
def stratified_split(labels: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Split the places of the labels so that the second part has `count` of every class.

    labels: int64 (N,). Return two tensors of places, such as labels[held] is the second part. Each
    class has more than `count` pictures.
    """
    train, held = [], []
    for label in labels.unique():
        places = (labels == label).nonzero()[:, 0]
        held.append(places[:count])
        train.append(places[count:])
    return torch.cat(train), torch.cat(held)


def _check_averaged(answer: Answer) -> str:
    cases = [
        Case(([1.0, 2.0, 4.0], 0.5), "three values"),
        Case(([3.0], 0.9), "one value", "the average starts at the first value"),
        Case(([5.0, 5.0, 5.0, 5.0], 0.9), "values that do not change", "so does the average not"),
        Case(([0.0] * 5 + [1.0] * 5, 0.8), "a jump"),
        Case(([2.0, -1.0, 3.0], 0.0), "decay 0", "then it is the last value"),
    ]
    for case in cases:
        values, decay = case.arguments
        where = f"{case.what}: for {values} and decay {decay:g}"
        want = other = values[0]
        for value in values[1:]:
            want = decay * want + (1 - decay) * value
            other = (1 - decay) * other + decay * value
        got = answers.number(answer(list(values), decay, where=where), where)
        because = case.because
        if answers.same(got, other) and not answers.same(want, other):
            because = "the decay belongs to the old average, not to the new value"
        answers.compare_number(got, want, where, because)
    return "AveragedWeights does this with every weight of a network, after every step."


@exercise(
    "05_1.averaged",
    check=_check_averaged,
    hints=(
        "Begin with average = values[0], and go through the values after it.",
        "The new average is a part of the old one and a part of the new value; the parts add to 1.",
        "average = decay * average + (1 - decay) * value.",
    ),
)
def averaged(values: list[float], decay: float) -> float:
    """Compute the exponential moving average of the values after the last one.

    It starts at the first value. Each further value moves it: decay times the old average, plus
    1 − decay times the value.
    """
    average = values[0]
    for value in values[1:]:
        average = decay * average + (1 - decay) * value
    return average
